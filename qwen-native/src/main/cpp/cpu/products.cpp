#include "cpu/products.h"

#include <algorithm>
#include <cstring>

namespace qw {
namespace {

// Values of a piece of quantizing.
constexpr int64_t kPieceValues = 64 << 10;

Q8Rows from_row(const Q8Rows& rows, int64_t t, int64_t columns) {
  return {rows.q + t * columns, rows.scale + t * (columns / 32), rows.sum16 + t * (columns / 16)};
}

// What quantizing leaves over of x [tokens, columns].
void subtract(const float* x, const Q8Rows& q8, int64_t tokens, int64_t columns, float* left) {
  for (int64_t group = 0; group < tokens * columns / 32; group++) {
    for (int64_t i = group * 32; i < group * 32 + 32; i++) left[i] = x[i] - q8.scale[group] * q8.q[i];
  }
}

// A row with its columns in an order.
const float* in_order(const float* x, const ColumnOrder& order, float* out) {
  if (order.empty()) return x;
  for (size_t i = 0; i < order.size(); i++) out[i] = x[order[i]];
  return out;
}

void quantize(Backend& backend, bool ordered, const float* x, const int32_t* picked, Rows& out) {
  const int64_t columns = out.columns;
  const int64_t rows = ordered ? static_cast<int64_t>(backend.row_orders.size()) : out.rows;
  const int64_t values = times(rows, columns);
  const int64_t scale_at = (values + 63) & ~int64_t{63};
  const int64_t sum_at = (scale_at + values / 32 * 4 + 63) & ~int64_t{63};
  const int64_t bytes = (sum_at + values / 16 * 2 + 127) & ~int64_t{63};
  out.count = backend.fine ? 2 : 1;
  backend.quantized.grow(times(bytes, out.count));
  for (int i = 0; i < out.count; i++) {
    uint8_t* data = backend.quantized.data() + i * bytes;
    out.coarse[i] = {reinterpret_cast<int8_t*>(data), reinterpret_cast<float*>(data + scale_at), reinterpret_cast<int16_t*>(data + sum_at)};
  }
  if (backend.fine) backend.residual.grow(times(values, 4));
  if (ordered) backend.gathered.grow(times(times(backend.pool.threads(), columns), 4));
  const int64_t each = std::max<int64_t>(1, kPieceValues / columns);
  backend.pool.each((rows + each - 1) / each, [&](int64_t piece, int worker) {
    const int64_t end = std::min(rows, (piece + 1) * each);
    for (int64_t t = piece * each, tokens; t < end; t += tokens) {
      tokens = picked != nullptr || ordered ? 1 : end - t;
      const int64_t row = t % out.rows;
      const float* from = x + (picked != nullptr ? picked[row] : row) * columns;
      if (ordered) {
        float* gathered = reinterpret_cast<float*>(backend.gathered.data()) + worker * columns;
        from = in_order(from, *backend.row_orders[static_cast<size_t>(t)], gathered);
      }
      backend.table.quantize_rows(from, tokens, columns, from_row(out.coarse[0], t, columns));
      if (!backend.fine) continue;
      float* left = reinterpret_cast<float*>(backend.residual.data()) + t * columns;
      subtract(from, from_row(out.coarse[0], t, columns), tokens, columns, left);
      backend.table.quantize_rows(left, tokens, columns, from_row(out.coarse[1], t, columns));
    }
  });
}

}  // namespace

bool has_integers(const Weight& w) {
  return std::any_of(w.segments.begin(), w.segments.end(), [](const Segment& s) { return s.format->integer; });
}

Rows take_rows(Backend& backend, const Weight& w, const float* x, const int32_t* picked, int64_t rows) {
  Rows out{x, {}, 0, w.columns, rows};
  if (has_integers(w)) quantize(backend, has_orders(w), x, picked, out);
  const bool floats = std::any_of(w.segments.begin(), w.segments.end(), [](const Segment& s) { return !s.format->integer; });
  if (picked != nullptr && floats) {
    backend.picked.grow(times(times(rows, w.columns), 4));
    float* to = reinterpret_cast<float*>(backend.picked.data());
    const size_t bytes = static_cast<size_t>(w.columns) * 4;
    for (int64_t t = 0; t < rows; t++) memcpy(to + t * w.columns, x + picked[t] * w.columns, bytes);
    out.x = to;
  }
  return out;
}

void multiply(const Segment& segment, const Rows& rows, int64_t slot, int64_t first, int64_t tokens, int64_t panel_begin,
              int64_t panel_end, const float* bias, bool add, float* y, int64_t y_stride) {
  const int64_t quantized = slot * rows.rows + first;
  MultiplyArgs args{};
  args.panels = segment.memory.data() + panel_begin * segment.panel_bytes;
  args.rows = segment.rows - panel_begin * kPanelRows;
  args.columns = rows.columns;
  args.panel_end = panel_end - panel_begin;
  args.tokens = tokens;
  args.x = rows.x + first * rows.columns;
  args.bias = bias;
  args.y = y;
  args.y_stride = y_stride;
  args.add = add;
  if (segment.format->integer) args.q8 = from_row(rows.coarse[0], quantized, rows.columns);
  segment.format->multiply(args);
  if (segment.format->integer && rows.count == 2) {
    args.q8 = from_row(rows.coarse[1], quantized, rows.columns);
    args.bias = nullptr;
    args.add = true;
    segment.format->multiply(args);
  }
}

}  // namespace qw
