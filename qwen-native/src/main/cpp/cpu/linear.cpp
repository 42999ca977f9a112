#include <algorithm>

#include "cpu/ops.h"

namespace qw {
namespace {

// Pieces are small enough that a slow thread delays the end by little, and large enough (16 KiB of weights) to be worth taking.
constexpr int64_t kPiecesPerThread = 8;
constexpr int64_t kPieceBytes = 16 << 10;
// Tokens are divided only where panels are too few for all threads.
constexpr int64_t kTokensPerPiece = 32;

Q8Rows from_row(const Q8Rows& rows, int64_t t, int64_t columns) {
  return {rows.q + t * columns, rows.scale + t * (columns / 32), rows.sum16 + t * (columns / 16)};
}

// What quantizing leaves over of x [tokens, columns].
void subtract(const float* x, const Q8Rows& q8, int64_t tokens, int64_t columns, float* left) {
  for (int64_t group = 0; group < tokens * columns / 32; group++) {
    for (int64_t i = group * 32; i < group * 32 + 32; i++) left[i] = x[i] - q8.scale[group] * q8.q[i];
  }
}

// The rows quantized; coarse[1] is what is left over of them, quantized again, where the backend is fine.
struct Quantized {
  Q8Rows coarse[2];
  int count;
};

Quantized quantize(Backend& backend, const Buffer& x, int64_t rows, int64_t columns) {
  const int64_t values = times(rows, columns);
  const int64_t scale_at = (values + 63) & ~int64_t{63};
  const int64_t sum_at = (scale_at + values / 32 * 4 + 63) & ~int64_t{63};
  const int64_t bytes = (sum_at + values / 16 * 2 + 127) & ~int64_t{63};
  Quantized all{{}, backend.fine ? 2 : 1};
  backend.quantized.grow(times(bytes, all.count));
  for (int i = 0; i < all.count; i++) {
    uint8_t* data = backend.quantized.data() + i * bytes;
    all.coarse[i] = {reinterpret_cast<int8_t*>(data), reinterpret_cast<float*>(data + scale_at), reinterpret_cast<int16_t*>(data + sum_at)};
  }
  if (backend.fine) backend.residual.grow(times(values, 4));
  const int64_t each = std::max<int64_t>(1, (64 << 10) / columns);
  backend.pool.each((rows + each - 1) / each, [&](int64_t i, int) {
    const int64_t t = i * each;
    const int64_t tokens = std::min(each, rows - t);
    const float* from = x.floats() + t * columns;
    backend.table.quantize_rows(from, tokens, columns, from_row(all.coarse[0], t, columns));
    if (!backend.fine) return;
    float* left = reinterpret_cast<float*>(backend.residual.data()) + t * columns;
    subtract(from, from_row(all.coarse[0], t, columns), tokens, columns, left);
    backend.table.quantize_rows(left, tokens, columns, from_row(all.coarse[1], t, columns));
  });
  return all;
}

}  // namespace

void linear(Backend& backend, const Buffer& x, int64_t rows, const Weight& w, const Buffer* bias, bool add, const Buffer& y) {
  check_rows(x, rows, w.columns, "x does not fit the rows of a linear layer");
  check_rows(y, rows, w.rows, "y does not fit the rows of a linear layer");
  require(&x != &y, "a linear layer cannot write over its input");
  require(!add || bias == nullptr, "a linear layer adds either a bias or what is there");
  if (bias != nullptr) check_rows(*bias, 1, w.rows, "the bias does not fit the linear layer");
  if (rows == 0) return;

  const bool integer = std::any_of(w.segments.begin(), w.segments.end(), [](const Segment& s) { return s.format->integer; });
  const Quantized q8 = integer ? quantize(backend, x, rows, w.columns) : Quantized{};

  const int64_t threads = backend.pool.threads();
  int64_t panels = 0;
  for (const Segment& s : w.segments) panels += s.panels;
  const auto panels_per_piece = [&](const Segment& s) {
    const int64_t enough = (kPieceBytes + s.panel_bytes - 1) / s.panel_bytes;
    const int64_t share = std::max(enough, panels / (threads * kPiecesPerThread));
    return (share + 1) / 2 * 2;  // tiles take two panels
  };
  int64_t panel_pieces = 0;
  for (const Segment& s : w.segments) panel_pieces += (s.panels + panels_per_piece(s) - 1) / panels_per_piece(s);
  int64_t token_pieces = 1;
  if (threads > 1 && panel_pieces < threads * kPiecesPerThread / 2) {
    const int64_t wanted = (threads * kPiecesPerThread / 2 + panel_pieces - 1) / panel_pieces;
    token_pieces = std::max<int64_t>(1, std::min(wanted, rows / kTokensPerPiece));
  }
  const int64_t tokens_per_piece = ((rows + token_pieces - 1) / token_pieces + 7) / 8 * 8;

  backend.pool.each(panel_pieces * token_pieces, [&](int64_t piece, int) {
    int64_t at = piece / token_pieces;
    const int64_t t = piece % token_pieces * tokens_per_piece;
    if (t >= rows) return;
    size_t i = 0;
    for (;; i++) {
      const int64_t each = panels_per_piece(w.segments[i]);
      const int64_t count = (w.segments[i].panels + each - 1) / each;
      if (at < count) break;
      at -= count;
    }
    const Segment& s = w.segments[i];
    const int64_t each = panels_per_piece(s);
    MultiplyArgs args{};
    args.panels = s.memory.data();
    args.rows = s.rows;
    args.columns = w.columns;
    args.panel_begin = at * each;
    args.panel_end = std::min(s.panels, args.panel_begin + each);
    args.tokens = std::min(tokens_per_piece, rows - t);
    args.x = x.floats() + t * w.columns;
    if (s.format->integer) args.q8 = from_row(q8.coarse[0], t, w.columns);
    args.bias = bias != nullptr ? bias->floats() + s.first_row : nullptr;
    args.y = y.floats() + t * w.rows + s.first_row;
    args.y_stride = w.rows;
    args.add = add;
    s.format->multiply(args);
    if (s.format->integer && q8.count == 2) {
      args.q8 = from_row(q8.coarse[1], t, w.columns);
      args.bias = nullptr;
      args.add = true;
      s.format->multiply(args);
    }
  });
}

}  // namespace qw
