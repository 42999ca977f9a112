// Products of experts with the tokens that were routed to them. Panels of experts that nobody chose are not read.
#include <algorithm>

#include "cpu/ops.h"
#include "cpu/products.h"

namespace qw {
namespace {

// Results of a piece wait here for their weights: 15 KiB, of as many tokens as a kernel takes at once and two panels, or of fewer tokens
// and more panels.
constexpr int64_t kWaiting = 120 * 2 * kPanelRows;

// Rows of one expert; its segments are first_segment .. first_segment + segments - 1.
struct ExpertShape {
  ExpertShape(const Weight& w, const RoutingView& routing) {
    require(w.rows % routing.experts == 0, "the rows of the matrix are not those of so many experts");
    rows = w.rows / routing.experts;
    require(w.segments.size() % static_cast<size_t>(routing.experts) == 0, "a part of the matrix belongs to two experts");
    segments = static_cast<int64_t>(w.segments.size()) / routing.experts;
    for (int64_t e = 0; e < routing.experts; e++) {
      require(first(w, e).first_row == e * rows, "a part of the matrix belongs to two experts");
    }
  }
  // One where the segments of an expert have their columns in the same order, else one for each segment.
  int64_t slots(const Weight& w) const {
    for (size_t i = 0; i < w.segments.size(); i++) {
      if (w.segments[i].order != w.segments[i / static_cast<size_t>(segments) * static_cast<size_t>(segments)].order) return segments;
    }
    return 1;
  }
  const Segment& first(const Weight& w, int64_t e) const { return w.segments[static_cast<size_t>(e * segments)]; }

  int64_t rows;
  int64_t segments;
};

// Sets the order of columns of each pair and slot, where there are any.
void set_orders(Backend& backend, const ExpertShape& shape, const RoutingView& routing, const Weight& w, int64_t slots) {
  backend.row_orders.clear();
  if (!has_orders(w)) return;
  for (int64_t slot = 0; slot < slots; slot++) {
    for (int64_t e = 0; e < routing.experts; e++) {
      const ColumnOrder& order = w.orders[static_cast<size_t>((&shape.first(w, e))[slot].order)];
      backend.row_orders.insert(backend.row_orders.end(), static_cast<size_t>(routing.first[e + 1] - routing.first[e]), &order);
    }
  }
}

}  // namespace

void expert_linear(Backend& backend, const Buffer& x, const RoutingView& routing, const Weight& w, const Buffer& y) {
  const ExpertShape shape(w, routing);
  check_rows(x, routing.tokens, w.columns, "x does not fit the experts");
  check_rows(y, routing.pairs(), shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  routing.check_pairs();

  const int64_t slots = shape.slots(w);
  set_orders(backend, shape, routing, w, slots);
  const Rows taken = take_rows(backend, w, x.floats(), routing.token, routing.pairs());
  const int threads = backend.pool.threads();
  int64_t panels = 0;
  for (int64_t e = 0; e < routing.experts; e++) {
    if (routing.first[e] == routing.first[e + 1]) continue;
    for (int64_t i = 0; i < shape.segments; i++) panels += (&shape.first(w, e))[i].panels;
  }
  backend.expert_pieces.clear();
  for (int64_t e = 0; e < routing.experts; e++) {
    if (routing.first[e] == routing.first[e + 1]) continue;
    for (int64_t i = 0; i < shape.segments; i++) {
      const Segment& s = (&shape.first(w, e))[i];
      const int64_t each = panels_per_piece(s, panels, threads);
      for (int64_t panel = 0; panel < s.panels; panel += each) {
        backend.expert_pieces.push_back({&s, e, panel, std::min(s.panels, panel + each)});
      }
    }
  }
  backend.pool.each(static_cast<int64_t>(backend.expert_pieces.size()), [&](int64_t i, int) {
    const ExpertPiece& piece = backend.expert_pieces[static_cast<size_t>(i)];
    const int64_t pair = routing.first[piece.expert];
    const int64_t row = piece.segment->first_row - piece.expert * shape.rows + piece.panel_begin * kPanelRows;
    float* to = y.floats() + pair * shape.rows + row;
    const int64_t slot = slots == 1 ? 0 : piece.segment - &shape.first(w, piece.expert);
    multiply(*piece.segment, taken, slot, pair, routing.first[piece.expert + 1] - pair, piece.panel_begin, piece.panel_end, nullptr, false,
             to, shape.rows);
  });
}

void expert_linear_add(Backend& backend, const Buffer& x, const RoutingView& routing, const Weight& w, const Buffer& y) {
  const ExpertShape shape(w, routing);
  check_rows(x, routing.pairs(), w.columns, "x does not fit the experts");
  check_rows(y, routing.tokens, shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  require(shape.segments == 1, "what is added of an expert is one matrix");
  routing.check_pairs();

  set_orders(backend, shape, routing, w, 1);
  const Rows taken = take_rows(backend, w, x.floats(), nullptr, routing.pairs());
  // A piece is some rows of all experts, one after the other: so each row of y has one writer, and its sum one order.
  const int64_t panels = w.segments[0].panels;
  const int64_t each = std::max<int64_t>(2, (panels / (backend.pool.threads() * kPiecesPerThread) + 1) / 2 * 2);
  backend.pool.each((panels + each - 1) / each, [&](int64_t piece, int) {
    alignas(64) float waiting[kWaiting];
    const int64_t begin = piece * each, end = std::min(panels, begin + each);
    for (int64_t e = 0; e < routing.experts; e++) {
      const Segment& s = shape.first(w, e);
      const int64_t pair_end = routing.first[e + 1];
      for (int64_t pair = routing.first[e], tokens; pair < pair_end; pair += tokens) {
        tokens = std::min(pair_end - pair, kWaiting / (2 * kPanelRows));
        const int64_t at_once = kWaiting / (tokens * kPanelRows);
        for (int64_t panel = begin; panel < end; panel += at_once) {
          const int64_t last = std::min(end, panel + at_once);
          const int64_t first_row = panel * kPanelRows;
          const int64_t rows = std::min(shape.rows, last * kPanelRows) - first_row;
          multiply(s, taken, 0, pair, tokens, panel, last, nullptr, false, waiting, rows);
          for (int64_t t = 0; t < tokens; t++) {
            float* to = y.floats() + routing.token[pair + t] * shape.rows + first_row;
            const float weight = routing.weight[pair + t];
            for (int64_t r = 0; r < rows; r++) to[r] += weight * waiting[t * rows + r];
          }
        }
      }
    }
  });
}

}  // namespace qw
