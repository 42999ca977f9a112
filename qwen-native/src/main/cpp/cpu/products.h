// What products of activations and weights share: quantized rows, and the call of a kernel.
#pragma once

#include "cpu/objects.h"

namespace qw {

// Rows of activations. Where a backend is fine, coarse[1] is what quantizing leaves over of coarse[0], quantized again. Where segments have
// their columns in different orders, all rows are quantized once for each slot, one slot after the other.
struct Rows {
  const float* x;  // for kernels on float activations
  Q8Rows coarse[2];
  int count;  // of quantized forms; 0 if no kernel reads them
  int64_t columns;
  int64_t rows;  // of a slot
};

bool has_integers(const Weight& w);

// Whether columns of w have any order but their own.
inline bool has_orders(const Weight& w) { return w.orders.size() > 1 || (w.orders.size() == 1 && !w.orders[0].empty()); }

// The rows of x as kernels of w want them, until the next call: row i is row picked[i] of x, or row i if picked is null. Where w has
// orders, the columns of row i of slot s are in the order backend.row_orders[s * rows + i].
Rows take_rows(Backend& backend, const Weight& w, const float* x, const int32_t* picked, int64_t rows);

// The panels panel_begin .. panel_end - 1 of a segment times the rows first .. first + tokens - 1 of a slot; see MultiplyArgs. bias and
// y begin at the first row of these panels.
void multiply(const Segment& segment, const Rows& rows, int64_t slot, int64_t first, int64_t tokens, int64_t panel_begin,
              int64_t panel_end, const float* bias, bool add, float* y, int64_t y_stride);

// Pieces of a product are small enough that a slow thread delays the end by little, and large enough (16 KiB of weights) to be worth taking.
constexpr int64_t kPiecesPerThread = 8;
constexpr int64_t kPieceBytes = 16 << 10;

// Panels of a segment in one piece of a product over `panels` panels.
inline int64_t panels_per_piece(const Segment& segment, int64_t panels, int threads) {
  const int64_t enough = (kPieceBytes + segment.panel_bytes - 1) / segment.panel_bytes;
  const int64_t share = panels / (threads * kPiecesPerThread);
  return ((enough > share ? enough : share) + 1) / 2 * 2;  // tiles take two panels
}

}  // namespace qw
