#include <algorithm>

#include "cpu/ops.h"
#include "cpu/products.h"

namespace qw {
namespace {

// Tokens are divided only where panels are too few for all threads.
constexpr int64_t kTokensPerPiece = 32;

}  // namespace

void linear(Backend& backend, const Buffer& x, int64_t rows, const Weight& w, const Buffer* bias, bool add, const Buffer& y) {
  check_rows(x, rows, w.columns, "x does not fit the rows of a linear layer");
  check_rows(y, rows, w.rows, "y does not fit the rows of a linear layer");
  require(&x != &y, "a linear layer cannot write over its input");
  require(!add || bias == nullptr, "a linear layer adds either a bias or what is there");
  if (bias != nullptr) check_rows(*bias, 1, w.rows, "the bias does not fit the linear layer");
  if (rows == 0) return;

  backend.row_orders.clear();
  if (has_orders(w)) {
    for (const ColumnOrder& order : w.orders) backend.row_orders.insert(backend.row_orders.end(), static_cast<size_t>(rows), &order);
  }
  const Rows taken = take_rows(backend, w, x.floats(), nullptr, rows);
  const int threads = backend.pool.threads();
  int64_t panels = 0;
  for (const Segment& s : w.segments) panels += s.panels;
  const auto pieces_of = [&](const Segment& s) {
    const int64_t each = panels_per_piece(s, panels, threads);
    return (s.panels + each - 1) / each;
  };
  int64_t panel_pieces = 0;
  for (const Segment& s : w.segments) panel_pieces += pieces_of(s);
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
    for (; at >= pieces_of(w.segments[i]); i++) at -= pieces_of(w.segments[i]);
    const Segment& s = w.segments[i];
    const int64_t panel = at * panels_per_piece(s, panels, threads);
    const int64_t row = s.first_row + panel * kPanelRows;
    multiply(s, taken, s.order, t, std::min(tokens_per_piece, rows - t), panel,
             std::min(s.panels, panel + panels_per_piece(s, panels, threads)),
             bias != nullptr ? bias->floats() + row : nullptr, add, y.floats() + t * w.rows + row, w.rows);
  });
}

}  // namespace qw
