// Dot products of 16 rows with AVX-512 VNNI: one vpdpbusd adds 16 x 4 products of unsigned weights and signed activations to
// 16 int32, without saturation and without any fix-up of signs.
#pragma once

#include "cpu/quant_simd_avx512.h"

namespace qw::QW_TARGET {
namespace {

// Weights with a range of 8 bits are kept with an offset of 128.
constexpr int kByteOffset = 128;

// 2 panels x 6 tokens: 12 int and 12 float accumulators, 2 weights, 1 activation = 27 of 32 registers.
constexpr int kTilePanels = 2;
constexpr int kTileTokens = 6;
constexpr int kDirectTokens = 8;
constexpr int kDirectMost = 16;

template <int kMaxCode>
struct Dot {
  using Weight = __m512i;
  using Input = __m512i;
  struct Acc { __m512i v; };

  static QW_INLINE Weight weight(U8x64 w) { return w.v; }
  static QW_INLINE Input input(const int8_t* x) { return _mm512_set1_epi32(load_i32(x)); }
  static QW_INLINE Acc start() { return {_mm512_setzero_si512()}; }
  static QW_INLINE Acc start(const int32_t* correction) { return {_mm512_set1_epi32(*correction)}; }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, Weight w, Input x) { acc.v = _mm512_dpbusd_epi32(acc.v, w, x); }
  static QW_INLINE I32x16 finish(const Acc& acc) { return {acc.v}; }
  static QW_INLINE I32x16 finish(const Acc& acc, const int32_t*) { return {acc.v}; }
};

}  // namespace
}  // namespace qw::QW_TARGET
