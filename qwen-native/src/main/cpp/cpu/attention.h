// What dense and sparse attention share.
#pragma once

#include <algorithm>

#include "common/choice.h"
#include "cpu/ops.h"

namespace qw {

// Operands of one attention operation.
struct AttentionCall {
  Backend& backend;
  const Buffer& qkv;
  const Buffer& rotations;
  const BatchView& batch;
  const AttentionShape& shape;
  const KvPages& kv;
  int64_t layer;
  const Buffer* out;
  const Buffer* log_sum_exp;  // or null

  // First position of the chunk of a position.
  int64_t chunk_of(int64_t position) const { return shape.chunk_length == 0 ? 0 : position - position % shape.chunk_length; }

  int64_t ranges() const { return shape.chunk_length == 0 ? 1 : kQueryRanges; }

  // Floats of rotated queries, and of queries of 16 bits behind them.
  int64_t rotated_floats() const { return shape.chunk_length == 0 ? 0 : ranges() * kAttendRows * shape.head_size; }
  int64_t narrow_floats() const { return kv.type != kKvInt8 ? 0 : ranges() * kAttendRows * shape.head_size / 2; }

  // Floats of scratch that args take.
  int64_t query_floats() const { return kAttendRows * kBlockPanels * kKeysPerPanel + rotated_floats() + narrow_floats(); }

  // For the tokens token_begin .. token_end - 1 of a slice, which are of one chunk, and some heads of one kv head.
  AttendArgs args(int64_t b, int64_t token_begin, int64_t token_end, int64_t head_begin, int64_t head_end, float* scratch) const;

  // Writes the results of the rows of args.
  void finish(int64_t b, int64_t token_begin, int64_t head_begin, const AttendArgs& args, const AttendPart& total) const;
};

// Floats of a part: sums, maximum and weight of kAttendRows rows.
inline int64_t part_floats(int64_t head_size) { return kAttendRows * (head_size + 2); }

inline AttendPart part_at(float* at, int64_t head_size) {
  return {at, at + kAttendRows * head_size, at + kAttendRows * (head_size + 1)};
}

// Chooses keys for every run and head.
void choose_keys(const AttentionCall& call, const ChoiceView& choice);
// Attends the slices of the runs, each with its chosen keys.
void attend_sparse(const AttentionCall& call, const ChoiceView& choice);

}  // namespace qw
