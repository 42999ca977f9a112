// How activations are rounded for products with quantized weights, of few tokens and of many.
#pragma once

#include "cuda/lanes.h"

namespace qw::cuda {

// Products of at most so many tokens read each weight once for all of them; those of more are computed on tensor cores.
constexpr int kFewTokens = 8;

// Of a group of 32 values: scale = largest magnitude / 127, q = value / scale to nearest even. A group of zeros, or of numbers so small (below
// 1e-35) that 127 / magnitude would not be finite, becomes 0; one with a NaN or an infinity gets scale NaN, so that all products are.
struct Rounding {
  float scale;
  float factor;  // 0: all q are

  QW_DEVICE int operator()(float value) const { return factor == 0.f ? 0 : static_cast<int>(round_to_even(value * factor)); }
};
QW_DEVICE Rounding rounding_of(float largest, bool finite) {
  if (!finite) return {not_a_number(), 0.f};
  if (largest < 1e-35f) return {0.f, 0.f};
  return {largest / 127.f, 127.f / largest};
}

}  // namespace qw::cuda
