#include "common/selection.h"

namespace qw {
namespace {

constexpr int64_t kIntegers = 5;  // of head and request

}  // namespace

SelectionView::SelectionView(const IntArray& array) {
  require(array.size >= kIntegers, "the array of the selection is too short");
  requests = array.data[0];
  sampleable = array.data[1];
  apart_ = array.data[2];
  apart_cell = array.data[3];
  most_requests = array.data[4];
  require(requests >= 0 && requests <= most_requests && most_requests <= array.size / kIntegers - 1,
          "the selection has no room for its requests");
  most_apart = array.size - kIntegers * (most_requests + 1);
  require(apart_ >= 0 && apart_ <= most_apart, "the selection has no room for its ids");
  static_assert(sizeof(Request) == 4 * kIntegers);
  request = reinterpret_cast<const Request*>(array.data + kIntegers);
  apart = array.data + kIntegers * (most_requests + 1);
}

void SelectionView::check(int64_t rows, int64_t columns, int64_t cells) const {
  require(columns <= kMostIds && sampleable >= 1 && sampleable <= columns, "the selection does not fit the logits");
  require(apart_cell >= 0 && apart_cell <= cells - apart_, "what is selected has no room for its ids");
  int64_t before = 0, last = -1;
  for (int64_t r = 0; r < requests; r++) {
    const Request& asked = request[r];
    require(asked.row > last && asked.row < rows, "a row of the selection is none of the logits or not in order");
    require(asked.count >= 1 && asked.count <= kMostCandidates, "a row of the selection has 1 to 256 candidates");
    require(asked.temperature >= 0, "a temperature of the selection is below 0");
    require(asked.cell >= 0 && asked.cell <= apart_cell - kHead - 2 * asked.count, "what is selected has no room for its candidates");
    require(asked.first_apart == before && apart_end(r) >= before && apart_end(r) <= apart_, "ids of the selection are not in order");
    for (int64_t i = before; i < apart_end(r); i++) {
      require(apart[i] >= 0 && apart[i] < columns && (i == before || apart[i] > apart[i - 1]), "an id of the selection is not in order");
    }
    before = apart_end(r);
    last = asked.row;
  }
  require(before == apart_, "an id of the selection has no row");
}

}  // namespace qw
