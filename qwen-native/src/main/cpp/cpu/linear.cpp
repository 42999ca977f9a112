#include <algorithm>

#include "cpu/ops.h"

namespace qw {
namespace {

// Pieces are small enough that a slow thread delays the end by little, and large enough (16 KiB of weights) to be worth taking.
constexpr int64_t kPiecesPerThread = 8;
constexpr int64_t kPieceBytes = 16 << 10;
// Tokens are divided only where panels are too few for all threads.
constexpr int64_t kTokensPerPiece = 32;

Q8Rows quantize(Backend& backend, const Buffer& x, int64_t rows, int64_t columns) {
  const int64_t values = times(rows, columns);
  const int64_t scale_at = (values + 63) & ~int64_t{63};
  const int64_t sum_at = (scale_at + values / 32 * 4 + 63) & ~int64_t{63};
  backend.quantized.grow(sum_at + values / 16 * 2 + 64);
  uint8_t* data = backend.quantized.data();
  const Q8Rows all{reinterpret_cast<int8_t*>(data), reinterpret_cast<float*>(data + scale_at), reinterpret_cast<int16_t*>(data + sum_at)};
  const int64_t each = std::max<int64_t>(1, (64 << 10) / columns);
  backend.pool.each((rows + each - 1) / each, [&](int64_t i, int) {
    const int64_t t = i * each;
    const Q8Rows some{all.q + t * columns, all.scale + t * (columns / 32), all.sum16 + t * (columns / 16)};
    backend.table.quantize_rows(x.floats() + t * columns, std::min(each, rows - t), columns, some);
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
  const Q8Rows q8 = integer ? quantize(backend, x, rows, w.columns) : Q8Rows{};

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
    if (integer) args.q8 = {q8.q + t * w.columns, q8.scale + t * (w.columns / 32), q8.sum16 + t * (w.columns / 16)};
    args.bias = bias != nullptr ? bias->floats() + s.first_row : nullptr;
    args.y = y.floats() + t * w.rows + s.first_row;
    args.y_stride = w.rows;
    args.add = add;
    s.format->multiply(args);
  });
}

}  // namespace qw
