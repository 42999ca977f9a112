// What is asked of rows of logits, as Java's LogitSelection lays it out in one array of integers; see there. Checked before use.
#pragma once

#include "common/object.h"

namespace qw {

struct SelectionView {
  // Of a row of logits.
  struct Request {
    int32_t row;
    int32_t count;  // of candidates
    float temperature;
    int32_t first_apart;
    int32_t cell;  // of what is found: kHead cells, `count` ids, `count` logits
  };

  static constexpr int kMostCandidates = 256;
  static constexpr int64_t kMostIds = 1 << 24;  // ids are found as floats
  // Of the cells of a request: lowest id whose logit is no number or infinite or -1, its logit, candidates, their sum in two parts.
  static constexpr int kHead = 5;

  explicit SelectionView(const IntArray& array);

  int64_t most_requests;
  int64_t most_apart;
  int64_t requests;
  int64_t sampleable;
  int64_t apart_cell;  // of what is found for the first id apart
  const Request* request;
  const int32_t* apart;  // ids, of one request after the other

  int64_t apart_end(int64_t r) const { return r + 1 < requests ? request[r + 1].first_apart : apart_; }
  int64_t cells() const { return apart_cell + apart_; }
  // Each request is of one of `rows` rows of `columns` logits, and what is found has its place among so many cells.
  void check(int64_t rows, int64_t columns, int64_t cells) const;

 private:
  int64_t apart_;
};

}  // namespace qw
