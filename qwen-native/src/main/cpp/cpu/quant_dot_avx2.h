// Dot products of 16 rows with AVX2. vpmaddubsw adds two products u8 * s8 into an int16, which saturates: |activation| <= 127,
// so weights up to 15 may be added up 8 times before widening (8 * 2 * 15 * 127 = 30480), up to 31 four times (31496), up to 63
// twice (32004). Weights of 8 bits are kept signed and multiplied as |w| * (x with the sign of w); the worst pair
// 2 * 128 * 127 = 32512 fits.
//
// Empty assembly keeps the order of the additions as written: left to itself GCC 12 multiplies all columns of a span first and keeps
// the products in memory, which takes 30 to 40 % longer in prefill.
#pragma once

#include "cpu/quant_simd_avx2.h"

namespace qw::QW_TARGET {
namespace {

constexpr int kByteOffset = 0;  // weights with a range of 8 bits are kept signed

// 4 tokens: 8 integer accumulators, 2 weights, 1 activation, 1 product of 16 registers; the float accumulators are touched
// once per 32 columns and may live in memory.
constexpr int kTilePanels = 1;
constexpr int kTileTokens = 4;
constexpr int kDirectTokens = 4;
constexpr int kDirectMost = 8;

struct DotAcc { __m256i run_a, run_b, a, b; };

template <int kMaxCode>
struct Dot {
  static constexpr int kRun = kMaxCode <= 15 ? 8 : kMaxCode <= 31 ? 4 : 2;
  using Weight = U8x64;
  using Input = __m256i;
  using Acc = DotAcc;

  static QW_INLINE Weight weight(U8x64 w) { return w; }
  static QW_INLINE Input input(const int8_t* x) { return _mm256_set1_epi32(load_i32(x)); }
  static QW_INLINE Acc start() {
    const __m256i zero = _mm256_setzero_si256();
    return {zero, zero, zero, zero};
  }
  static QW_INLINE Acc start(const int32_t*) { return start(); }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, const Weight& w, Input x) {
    const __m256i pairs_a = _mm256_maddubs_epi16(w.a, x), pairs_b = _mm256_maddubs_epi16(w.b, x);
    acc.run_a = kStep % kRun == 0 ? pairs_a : _mm256_add_epi16(acc.run_a, pairs_a);
    acc.run_b = kStep % kRun == 0 ? pairs_b : _mm256_add_epi16(acc.run_b, pairs_b);
    asm("" : "+x"(acc.run_a), "+x"(acc.run_b));
    if constexpr (kStep % kRun == kRun - 1 || kStep == kSteps - 1) {
      const __m256i ones = _mm256_set1_epi16(1);
      const __m256i quads_a = _mm256_madd_epi16(acc.run_a, ones), quads_b = _mm256_madd_epi16(acc.run_b, ones);
      acc.a = kStep < kRun ? quads_a : _mm256_add_epi32(acc.a, quads_a);
      acc.b = kStep < kRun ? quads_b : _mm256_add_epi32(acc.b, quads_b);
    }
  }
  static QW_INLINE I32x16 finish(const Acc& acc) { return {acc.a, acc.b}; }
  static QW_INLINE I32x16 finish(const Acc& acc, const int32_t* correction) {
    const __m256i c = _mm256_set1_epi32(*correction);
    return {_mm256_add_epi32(acc.a, c), _mm256_add_epi32(acc.b, c)};
  }
};

template <>
struct Dot<255> {
  struct Weight { U8x64 magnitude, sign; };
  using Input = __m256i;
  struct Acc { __m256i a, b; };

  static QW_INLINE Weight weight(U8x64 w) { return {{_mm256_abs_epi8(w.a), _mm256_abs_epi8(w.b)}, w}; }
  static QW_INLINE Input input(const int8_t* x) { return _mm256_set1_epi32(load_i32(x)); }
  static QW_INLINE Acc start() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static QW_INLINE __m256i quads(__m256i magnitude, __m256i sign, __m256i x) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, sign)), _mm256_set1_epi16(1));
  }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, const Weight& w, Input x) {
    acc.a = _mm256_add_epi32(acc.a, quads(w.magnitude.a, w.sign.a, x));
    acc.b = _mm256_add_epi32(acc.b, quads(w.magnitude.b, w.sign.b, x));
    asm("" : "+x"(acc.a), "+x"(acc.b));
  }
  static QW_INLINE I32x16 finish(const Acc& acc) { return {acc.a, acc.b}; }
};

}  // namespace
}  // namespace qw::QW_TARGET
