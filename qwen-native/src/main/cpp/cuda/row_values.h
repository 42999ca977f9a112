// Values of rows that several kernels compute, with the same bits in each: where an operation writes them, and where a product takes them
// without their being written.
#pragma once

#include "cuda/lanes.h"

namespace qw::cuda {

// Of a block that computes the factor of a norm.
constexpr int kNormThreads = 256;
constexpr int kNormWarps = kNormThreads / kLanes;

// Columns 4 piece .. 4 piece + 3 of a row; zeros beyond its end.
QW_DEVICE void read_piece(const float* row, int columns, int piece, float (&v)[4]) {
  const int begin = 4 * piece;
  if (columns % 4 == 0 && begin < columns) {
    const Words4 w = read4(row + begin);
    v[0] = float_of(w.x), v[1] = float_of(w.y), v[2] = float_of(w.z), v[3] = float_of(w.w);
    return;
  }
  QW_UNROLL for (int i = 0; i < 4; i++) v[i] = begin + i < columns ? row[begin + i] : 0.f;
}

// A warp's part of the sum of squares of a row, in all lanes: each thread of the block takes every 256th piece, four at a time.
QW_DEVICE float part_of_squares(const float* row, int columns) {
  constexpr int kAtOnce = 4;
  float sum = 0;
  for (int first = thread_index(); 4 * first < columns; first += kAtOnce * kNormThreads) {
    float v[kAtOnce][4];
    QW_UNROLL for (int u = 0; u < kAtOnce; u++) read_piece(row, columns, first + u * kNormThreads, v[u]);
    QW_UNROLL for (int u = 0; u < kAtOnce; u++) {
      QW_UNROLL for (int i = 0; i < 4; i++) sum = fma(v[u][i], v[u][i], sum);
    }
  }
  return sum_of_lanes(sum);
}
// What the row is multiplied with, from the parts of all warps.
QW_DEVICE float norm_factor(const float* parts, int columns, float epsilon) {
  float total = 0;
  QW_UNROLL for (int i = 0; i < kNormWarps; i++) total += parts[i];
  return inverse_root(total / static_cast<float>(columns) + epsilon);
}

QW_DEVICE float gated_value(float gate, float up) { return gate / (1.f + exponential(-gate)) * up; }

// Rows of activations as a product takes them.
enum RowKind { kPlainRow, kNormedRow, kGatedRow };
struct RowSource {
  RowKind kind;
  const float* x;        // [rows][columns]; kGatedRow: [rows][2 columns], gate and up
  int32_t columns;
  const int32_t* order;  // value i is that of column order[i]; or null
  const float* gain;     // of kNormedRow
  float epsilon;         // of kNormedRow
};
inline RowSource plain_rows(const float* x, int64_t columns) { return {kPlainRow, x, static_cast<int32_t>(columns), nullptr, nullptr, 0}; }

// Values i .. i + 3 of a row, i a multiple of 4 and columns too. factor: the norm's
template <int kKind>
QW_DEVICE void take_values(const RowSource& source, int row, int i, float factor, float (&v)[4]) {
  const float* x = source.x + static_cast<int64_t>(row) * source.columns * (kKind == kGatedRow ? 2 : 1);
  float second[4];
  if (source.order == nullptr) {
    read_piece(x, source.columns, i / 4, v);
    if constexpr (kKind == kNormedRow) read_piece(source.gain, source.columns, i / 4, second);
    if constexpr (kKind == kGatedRow) read_piece(x + source.columns, source.columns, i / 4, second);
  } else {
    QW_UNROLL for (int k = 0; k < 4; k++) {
      const int column = source.order[i + k];
      v[k] = x[column];
      if constexpr (kKind == kNormedRow) second[k] = source.gain[column];
      if constexpr (kKind == kGatedRow) second[k] = x[source.columns + column];
    }
  }
  QW_UNROLL for (int k = 0; k < 4; k++) {
    if constexpr (kKind == kNormedRow) v[k] = v[k] * factor * second[k];
    if constexpr (kKind == kGatedRow) v[k] = gated_value(v[k], second[k]);
  }
}

}  // namespace qw::cuda
