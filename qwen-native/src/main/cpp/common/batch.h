// The batch of a step as Java's Batch lays it out in one array of integers; see there. Checked before use.
#pragma once

#include "common/object.h"

namespace qw {

struct BatchView {
  explicit BatchView(const IntArray& array);

  int64_t tokens;     // T
  int64_t sequences;  // B
  int64_t outputs;    // R
  int64_t page_stride;
  const int32_t* ids;
  const int32_t* slots;
  const int32_t* starts;
  const int32_t* cached;
  const int32_t* page_tables;
  const int32_t* output_rows;

  // Slots lie in a cache of so many pages; page tables too, as far as cached and new tokens reach.
  void check_slots(int64_t pages, int64_t page_tokens) const;
  void check_pages(int64_t pages, int64_t page_tokens) const;
};

}  // namespace qw
