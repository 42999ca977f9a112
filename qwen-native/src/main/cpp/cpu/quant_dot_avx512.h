// Dot products of 16 rows with AVX-512 BW, without VNNI. vpmaddubsw adds two products u8 * s8 into an int16, which saturates:
// |activation| <= 127, so weights up to 15 may be added up 8 times before widening (8 * 2 * 15 * 127 = 30480), up to 31 four
// times (31496), up to 63 twice (32004). Weights of 8 bits are kept signed and multiplied as |w| * (x with the sign of w);
// the worst pair 2 * 128 * 127 = 32512 fits.
#pragma once

#include "cpu/quant_simd_avx512.h"

namespace qw::QW_TARGET {
namespace {

constexpr int kByteOffset = 0;  // weights with a range of 8 bits are kept signed

constexpr int kTilePanels = 1;
constexpr int kTileTokens = 8;
constexpr int kDirectTokens = 4;
constexpr int kDirectMost = 8;

struct DotAcc { __m512i run, sum; };

template <int kMaxCode>
struct Dot {
  static constexpr int kRun = kMaxCode <= 15 ? 8 : kMaxCode <= 31 ? 4 : 2;
  using Weight = __m512i;
  using Input = __m512i;
  using Acc = DotAcc;

  static QW_INLINE Weight weight(U8x64 w) { return w.v; }
  static QW_INLINE Input input(const int8_t* x) { return _mm512_set1_epi32(load_i32(x)); }
  static QW_INLINE Acc start() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
  static QW_INLINE Acc start(const int32_t*) { return start(); }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, Weight w, Input x) {
    const __m512i pairs = _mm512_maddubs_epi16(w, x);
    acc.run = kStep % kRun == 0 ? pairs : _mm512_add_epi16(acc.run, pairs);
    if constexpr (kStep % kRun == kRun - 1 || kStep == kSteps - 1) {
      const __m512i quads = _mm512_madd_epi16(acc.run, _mm512_set1_epi16(1));
      acc.sum = kStep < kRun ? quads : _mm512_add_epi32(acc.sum, quads);
    }
  }
  static QW_INLINE I32x16 finish(const Acc& acc) { return {acc.sum}; }
  static QW_INLINE I32x16 finish(const Acc& acc, const int32_t* correction) {
    return {_mm512_add_epi32(acc.sum, _mm512_set1_epi32(*correction))};
  }
};

template <>
struct Dot<255> {
  struct Weight {
    __m512i magnitude;
    __mmask64 negative;
  };
  using Input = __m512i;
  using Acc = DotAcc;

  static QW_INLINE Weight weight(U8x64 w) { return {_mm512_abs_epi8(w.v), _mm512_movepi8_mask(w.v)}; }
  static QW_INLINE Input input(const int8_t* x) { return _mm512_set1_epi32(load_i32(x)); }
  static QW_INLINE Acc start() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, const Weight& w, Input x) {
    const __m512i signed_x = _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x);
    const __m512i pairs = _mm512_maddubs_epi16(w.magnitude, signed_x);
    acc.sum = _mm512_add_epi32(acc.sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
  static QW_INLINE I32x16 finish(const Acc& acc) { return {acc.sum}; }
};

}  // namespace
}  // namespace qw::QW_TARGET
