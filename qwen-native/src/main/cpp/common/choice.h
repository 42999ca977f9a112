// The keys that sparse slices attend to, as Java's KeyChoice lays them out in one array of integers; see there. Checked before use.
#pragma once

#include "common/batch.h"

namespace qw {

constexpr int64_t kChoosingQueries = 64;
constexpr int64_t kBlockTokens = 64;
constexpr int64_t kSureColumns = 30;
constexpr int64_t kSureDiagonals = 100;
constexpr int64_t kShortestSparse = 256;

// Tokens of a slice that lie in one chunk, counted from the slice's first one.
struct Run {
  int32_t sequence;
  int32_t begin;
  int32_t end;
};

struct ChoiceView {
  // The runs cover whole slices of the batch, and each lies in one chunk.
  ChoiceView(const IntArray& array, const BatchView& batch, int64_t heads, int64_t chunk_length);

  int64_t runs;
  int64_t heads;
  int64_t most_columns;
  int64_t most_diagonals;
  const Run* run;
  const int32_t* budgets;  // [H][2]

  bool has_sequence(int64_t b) const;
  // Of a run and head: {columns or -1, diagonals, columns ..., diagonals ...}
  int32_t* choice(int64_t r, int64_t head) const {
    return choices_ + (r * heads + head) * (2 + most_columns + most_diagonals);
  }
  // Columns ascend below `length`, diagonals ascend from 0.
  void check_choice(int64_t r, int64_t head, int64_t length) const;

 private:
  int32_t* choices_;
};

}  // namespace qw
