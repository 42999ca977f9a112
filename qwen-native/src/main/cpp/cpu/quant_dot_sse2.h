// Dot products of 16 rows with SSE2: bytes widened to int16, then pmaddwd. Four columns of a row fill half a register, so each
// four rows need two accumulators of two partial sums a row, folded at the end.
#pragma once

#include "cpu/quant_simd_sse2.h"

namespace qw::QW_TARGET {
namespace {

constexpr int kByteOffset = 128;  // weights with a range of 8 bits are kept unsigned: widening them needs no sign

constexpr int kTilePanels = 1;
constexpr int kTileTokens = 1;  // one token alone holds 8 accumulators of 16 registers
constexpr int kDirectTokens = 1;
constexpr int kDirectMost = 1;

template <int kMaxCode>
struct Dot {
  using Weight = U8x64;
  using Input = __m128i;
  struct Acc { __m128i low[4], high[4]; };

  static QW_INLINE Weight weight(const U8x64& w) { return w; }
  static QW_INLINE Input input(const int8_t* x) {
    const __m128i bytes = _mm_cvtsi32_si128(load_i32(x));
    const __m128i words = _mm_unpacklo_epi8(bytes, _mm_cmpgt_epi8(_mm_setzero_si128(), bytes));
    return _mm_unpacklo_epi64(words, words);
  }
  static QW_INLINE Acc start() {
    Acc acc;
    unroll<4>([&](auto i) QW_INLINE_LAMBDA { acc.low[i.value] = acc.high[i.value] = _mm_setzero_si128(); });
    return acc;
  }
  static QW_INLINE Acc start(const int32_t*) { return start(); }
  template <int kStep, int kSteps>
  static QW_INLINE void step(Acc& acc, const Weight& w, Input x) {
    unroll<4>([&](auto i) QW_INLINE_LAMBDA {
      const __m128i zero = _mm_setzero_si128(), rows = w.v[i.value];
      acc.low[i.value] = _mm_add_epi32(acc.low[i.value], _mm_madd_epi16(_mm_unpacklo_epi8(rows, zero), x));
      acc.high[i.value] = _mm_add_epi32(acc.high[i.value], _mm_madd_epi16(_mm_unpackhi_epi8(rows, zero), x));
    });
  }
  static QW_INLINE I32x16 finish(const Acc& acc) {
    I32x16 z;
    unroll<4>([&](auto i) QW_INLINE_LAMBDA {
      const __m128 low = _mm_castsi128_ps(acc.low[i.value]), high = _mm_castsi128_ps(acc.high[i.value]);
      z.v[i.value] = _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))),
                                   _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
    });
    return z;
  }
  static QW_INLINE I32x16 finish(const Acc& acc, const int32_t* correction) {
    I32x16 z = finish(acc);
    unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_add_epi32(z.v[i.value], _mm_set1_epi32(*correction)); });
    return z;
  }
};

}  // namespace
}  // namespace qw::QW_TARGET
