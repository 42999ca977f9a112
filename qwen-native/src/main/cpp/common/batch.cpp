#include "common/batch.h"

namespace qw {
namespace {

constexpr int64_t kHeader = 16;

const int32_t* section(const IntArray& array, int64_t at, int64_t count) {
  const int64_t place = array.data[at];
  require(place >= kHeader && place <= array.size && count <= array.size - place, "a section of the batch lies outside its array");
  return array.data + place;
}

}  // namespace

BatchView::BatchView(const IntArray& array) {
  require(array.size >= kHeader, "the array of the batch is too short");
  const int32_t* header = array.data;
  tokens = header[0];
  sequences = header[1];
  outputs = header[2];
  page_stride = header[3];
  require(tokens >= 0 && sequences >= 0 && outputs >= 0 && page_stride >= 0, "a count of the batch is negative");
  ids = section(array, 4, tokens);
  slots = section(array, 6, tokens);
  starts = section(array, 7, sequences + 1);
  cached = section(array, 8, sequences);
  page_tables = section(array, 9, times(sequences, page_stride));
  output_rows = section(array, 10, outputs);
  require(starts[0] == 0 && starts[sequences] == tokens, "the slices of the batch do not cover its tokens");
  for (int64_t b = 0; b < sequences; b++) {
    require(starts[b] <= starts[b + 1] && cached[b] >= 0, "a slice of the batch is not in order");
  }
}

void BatchView::check_slots(int64_t pages, int64_t page_tokens) const {
  const int64_t end = times(pages, page_tokens);
  for (int64_t t = 0; t < tokens; t++) require(slots[t] >= 0 && slots[t] < end, "a slot lies outside the KV cache");
}

void BatchView::check_pages(int64_t pages, int64_t page_tokens) const {
  for (int64_t b = 0; b < sequences; b++) {
    const int64_t length = int64_t{cached[b]} + starts[b + 1] - starts[b];
    const int64_t used = (length + page_tokens - 1) / page_tokens;
    require(used <= page_stride, "a page table is too short for its sequence");
    const int32_t* table = page_tables + b * page_stride;
    for (int64_t i = 0; i < used; i++) require(table[i] >= 0 && table[i] < pages, "a page lies outside the KV cache");
  }
}

}  // namespace qw
