// Operations that go row by row.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/ops.h"

namespace qw {
namespace {

// Below this many values a second thread costs more than it saves.
constexpr int64_t kPieceValues = 8 << 10;

template <class Fn>
void by_rows(Backend& backend, int64_t rows, int64_t columns, Fn fn) {
  const int64_t each = std::max<int64_t>(1, kPieceValues / columns);
  backend.pool.each((rows + each - 1) / each, [&](int64_t i, int) { fn(i * each, std::min(each, rows - i * each)); });
}

}  // namespace

void embed(Backend& backend, const Weight& table, const BatchView& batch, const Buffer& x) {
  check_rows(x, batch.tokens, table.columns, "x does not fit the embedding");
  for (int64_t t = 0; t < batch.tokens; t++) {
    require(batch.ids[t] >= 0 && batch.ids[t] < table.rows, "a token id lies outside the embedding");
  }
  by_rows(backend, batch.tokens, table.columns, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; t++) {
      const int64_t id = batch.ids[t];
      size_t i = 0;
      while (id >= table.segments[i].first_row + table.segments[i].rows) i++;
      const Segment& s = table.segments[i];
      const int64_t row = id - s.first_row;
      const uint8_t* panel = s.memory.data() + row / kPanelRows * s.panel_bytes;
      s.format->decode_row(panel, table.columns, row % kPanelRows, x.floats() + t * table.columns);
    }
  });
}

void rms_norm(Backend& backend, const Buffer& x, int64_t rows, const Buffer& gain, float epsilon, const Buffer& y) {
  check_rows(x, rows, gain.columns, "x does not fit the norm");
  check_rows(y, rows, gain.columns, "y does not fit the norm");
  require(!gain.discarded && gain.rows == 1, "the gain of a norm is one row");
  by_rows(backend, rows, gain.columns, [&](int64_t first, int64_t count) {
    const int64_t at = first * gain.columns;
    backend.table.rms_norm(x.floats() + at, count, gain.columns, gain.floats(), epsilon, y.floats() + at);
  });
}

void swiglu(Backend& backend, const Buffer& x, int64_t rows, const Buffer& out) {
  const int64_t columns = out.columns;
  check_rows(x, rows, 2 * columns, "x does not fit the gated unit");
  check_rows(out, rows, columns, "out does not fit the gated unit");
  // A single row is cut too: with large F it is the longest of the small operations of a decode step.
  const int64_t parts = (columns + kPieceValues - 1) / kPieceValues;
  const int64_t width = ((columns + parts - 1) / parts + 15) / 16 * 16;
  by_rows(backend, rows * parts, width, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i++) {
      const int64_t t = i / parts, begin = i % parts * width;
      if (begin >= columns) continue;
      const float* gate = x.floats() + t * 2 * columns + begin;
      backend.table.swiglu(gate, gate + columns, std::min(width, columns - begin), out.floats() + t * columns + begin);
    }
  });
}

void sigmoid_gate(Backend& backend, const Buffer& x, int64_t rows, const Buffer& gate) {
  check_rows(x, rows, x.columns, "x has no such rows");
  check_rows(gate, rows, 1, "the gate does not fit x");
  by_rows(backend, rows, x.columns, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; t++) {
      const float factor = 1.f / (1.f + std::exp(-gate.floats()[t]));
      float* row = x.floats() + t * x.columns;
      for (int64_t i = 0; i < x.columns; i++) row[i] *= factor;
    }
  });
}

void relu(Backend& backend, const Buffer& x, int64_t rows) {
  check_rows(x, rows, x.columns, "x has no such rows");
  by_rows(backend, rows, x.columns, [&](int64_t first, int64_t count) {
    float* values = x.floats() + first * x.columns;
    for (int64_t i = 0; i < count * x.columns; i++) values[i] = values[i] < 0 ? 0 : values[i];
  });
}

void gather_outputs(Backend&, const Buffer& x, const BatchView& batch, const Buffer& out) {
  check_rows(x, batch.tokens, out.columns, "x does not fit the outputs");
  check_rows(out, batch.outputs, x.columns, "out does not fit the outputs");
  for (int64_t r = 0; r < batch.outputs; r++) {
    require(batch.output_rows[r] >= 0 && batch.output_rows[r] < batch.tokens, "an output row lies outside the batch");
  }
  for (int64_t r = 0; r < batch.outputs; r++) {
    memcpy(out.floats() + r * x.columns, x.floats() + batch.output_rows[r] * x.columns, static_cast<size_t>(x.columns) * 4);
  }
}

}  // namespace qw
