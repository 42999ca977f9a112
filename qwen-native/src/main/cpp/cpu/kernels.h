// The kernels of one instruction set, as a table. Every kernel file (*.inl) is written once and compiled once per target
// (baseline x86-64, AVX2+FMA+F16C, AVX-512 F/BW/DQ/VL, AVX-512 with VNNI), each time into a namespace of its own; the table
// of the best target that processor and operating system support is chosen when the library is loaded.
//
// Shapes: T tokens, D hidden, H query heads, K kv heads, E head size, S cached length.
#pragma once

#include <cstdint>

namespace qw {

// Order of the formats in tables; Java's WeightType has the same order.
enum WeightType : int32_t {
  kF32, kF16, kBF16, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kIQ4_XS,
  kINT4_G32, kINT4_G128, kINT8_G32, kINT8_G128,
  kWeightTypes
};

// Weights are kept in panels of this many rows; the last panel of a matrix is filled up with zero rows.
constexpr int64_t kPanelRows = 16;

// Activations quantized once per linear operation, for all integer kernels alike. One row of n columns (n a multiple of 32) has
// n int8 values q with x = scale * q in groups of 32, n / 32 scales, and n / 16 sums of 16 values of q each (for weights with a
// minimum or an offset). Rows follow each other without gaps.
struct Q8Rows {
  int8_t* q;
  float* scale;
  int16_t* sum16;
};

// y[t, r] = (add ? y[t, r] : bias ? bias[r] : 0) + sum over c of w[r, c] * x[t, c]
// for the tokens 0 .. tokens - 1 and the rows of the panels panel_begin .. panel_end - 1 (rows beyond `rows` are not written).
struct MultiplyArgs {
  const uint8_t* panels;  // packed weights of this segment
  int64_t rows;           // rows of this segment
  int64_t columns;
  int64_t panel_begin;
  int64_t panel_end;
  int64_t tokens;
  const float* x;         // [tokens, columns], for kernels on float activations
  Q8Rows q8;              // the same rows quantized, for integer kernels
  const float* bias;      // [rows] or null
  float* y;               // element [t, r] at y[t * y_stride + r]
  int64_t y_stride;       // in floats
  bool add;
};

// How one weight type is kept and multiplied on one target.
struct WeightFormat {
  bool integer;                                     // multiply reads q8, not x
  int64_t (*panel_bytes)(int64_t columns);          // size of a packed panel, a multiple of 64
  // rows: `count` (1 .. 16) rows in the file's row-major block format, one after another. Missing rows become zeros.
  void (*pack)(const uint8_t* rows, int64_t count, int64_t columns, uint8_t* panel);
  void (*decode_row)(const uint8_t* panel, int64_t columns, int64_t row_in_panel, float* out);
  void (*multiply)(const MultiplyArgs& args);
};

// Fills q8 from x [tokens, columns], columns a multiple of 32.
using QuantizeRows = void (*)(const float* x, int64_t tokens, int64_t columns, const Q8Rows& out);

}  // namespace qw
