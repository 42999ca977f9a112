#include "common/choice.h"

namespace qw {
namespace {

constexpr int64_t kHeader = 8;

int32_t* section(const IntArray& array, int64_t at, int64_t count) {
  const int64_t place = array.data[at];
  require(place >= kHeader && place <= array.size && count <= array.size - place, "a section of the choice lies outside its array");
  return array.data + place;
}

void check_ascending(const int32_t* values, int64_t count, int64_t end) {
  for (int64_t i = 0; i < count; i++) {
    require(values[i] >= 0 && values[i] < end && (i == 0 || values[i - 1] < values[i]), "chosen keys do not ascend within their sequence");
  }
}

}  // namespace

ChoiceView::ChoiceView(const IntArray& array, const BatchView& batch, int64_t h, int64_t chunk_length) {
  require(array.size >= kHeader, "the array of the choice is too short");
  const int32_t* header = array.data;
  runs = header[0];
  heads = header[1];
  most_columns = header[2];
  most_diagonals = header[3];
  require(runs >= 0 && most_columns >= 0 && most_diagonals >= 0, "a count of the choice is negative");
  require(heads == h, "the choice has another number of heads");
  run = reinterpret_cast<const Run*>(section(array, 4, times(runs, 3)));
  budgets = section(array, 5, times(heads, 2));
  choices_ = section(array, 6, times(times(runs, heads), plus(2, plus(most_columns, most_diagonals))));
  for (int64_t r = 0; r < runs; r++) {
    const int64_t b = run[r].sequence;
    require(b >= 0 && b < batch.sequences, "a run is of no sequence of the batch");
    const int64_t count = batch.starts[b + 1] - batch.starts[b];
    const bool follows = r > 0 && run[r - 1].sequence == b;
    const bool last = r + 1 == runs || run[r + 1].sequence != b;
    require(r == 0 || run[r - 1].sequence <= b, "the runs are not in the order of their sequences");
    require(run[r].begin == (follows ? run[r - 1].end : 0) && run[r].begin < run[r].end && run[r].end <= count && (!last || run[r].end == count),
            "the runs do not cover their slice");
    if (chunk_length > 0) {
      const int64_t first = int64_t{batch.cached[b]} + run[r].begin;
      const int64_t behind = int64_t{batch.cached[b]} + run[r].end;
      require(first / chunk_length == (behind - 1) / chunk_length, "a run crosses the border of a chunk");
    }
  }
}

bool ChoiceView::has_sequence(int64_t b) const {
  for (int64_t r = 0; r < runs; r++) {
    if (run[r].sequence == b) return true;
  }
  return false;
}

void ChoiceView::check_choice(int64_t r, int64_t head, int64_t length) const {
  const int32_t* found = choice(r, head);
  if (found[0] < 0) return;
  require(found[0] <= most_columns && found[1] >= 0 && found[1] <= most_diagonals, "more keys are chosen than there is room for");
  check_ascending(found + 2, found[0], length);
  check_ascending(found + 2 + most_columns, found[1], length);
}

}  // namespace qw
