// Vectors of 16 rows for baseline x86-64 (SSE2): four registers each. Same names and meaning as in quant_simd_avx512.h.
#pragma once

#include <emmintrin.h>

#include "cpu/quant_base.h"

namespace qw::QW_TARGET {
namespace {

struct F32x16 { __m128 v[4]; };
struct I32x16 { __m128i v[4]; };
struct U8x64 { __m128i v[4]; };  // 16 rows of 4 columns

QW_INLINE __m128i load_128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

QW_INLINE F32x16 broadcast(float x) {
  const __m128 a = _mm_set1_ps(x);
  return {{a, a, a, a}};
}
QW_INLINE F32x16 zero_f32() { return broadcast(0.0f); }
QW_INLINE F32x16 load_f32(const float* p) { return {{_mm_loadu_ps(p), _mm_loadu_ps(p + 4), _mm_loadu_ps(p + 8), _mm_loadu_ps(p + 12)}}; }
QW_INLINE void store_f32(float* p, const F32x16& x) {
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { _mm_storeu_ps(p + 4 * i.value, x.v[i.value]); });
}
QW_INLINE F32x16 add(const F32x16& x, const F32x16& y) {
  F32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_add_ps(x.v[i.value], y.v[i.value]); });
  return z;
}
QW_INLINE F32x16 sub(const F32x16& x, const F32x16& y) {
  F32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_sub_ps(x.v[i.value], y.v[i.value]); });
  return z;
}
QW_INLINE F32x16 mul(const F32x16& x, const F32x16& y) {
  F32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_mul_ps(x.v[i.value], y.v[i.value]); });
  return z;
}
QW_INLINE F32x16 fma(const F32x16& x, const F32x16& y, const F32x16& z) { return add(mul(x, y), z); }
QW_INLINE __m128 abs_f32(__m128 x) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), x); }
QW_INLINE F32x16 max_abs(const F32x16& x, const F32x16& y) {
  F32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_max_ps(abs_f32(x.v[i.value]), abs_f32(y.v[i.value])); });
  return z;
}
QW_INLINE bool any_nan(const F32x16& x) {
  return _mm_movemask_ps(_mm_or_ps(_mm_cmpunord_ps(x.v[0], x.v[1]), _mm_cmpunord_ps(x.v[2], x.v[3]))) != 0;
}
QW_INLINE float reduce_max(const F32x16& x) {
  __m128 c = _mm_max_ps(_mm_max_ps(x.v[0], x.v[1]), _mm_max_ps(x.v[2], x.v[3]));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

// Four halves in the low 16 bits of each lane. The exponent is rebiased with integers (infinities and NaN get the largest one);
// subnormal halves are mantissa * 2^-24, a normal float, so the result does not depend on flush-to-zero modes.
QW_INLINE __m128 half_to_f32(__m128i h) {
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
  const __m128i magnitude = _mm_and_si128(h, _mm_set1_epi32(0x7fff));
  const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7bff));
  const __m128i rebias = _mm_add_epi32(_mm_set1_epi32(112 << 23), _mm_and_si128(special, _mm_set1_epi32(112 << 23)));
  const __m128i normal = _mm_add_epi32(_mm_slli_epi32(magnitude, 13), rebias);
  const __m128i small = _mm_castps_si128(_mm_mul_ps(_mm_cvtepi32_ps(magnitude), _mm_set1_ps(1.0f / (1 << 24))));
  const __m128i is_small = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(0x0400));
  const __m128i value = _mm_or_si128(_mm_and_si128(is_small, small), _mm_andnot_si128(is_small, normal));
  return _mm_castsi128_ps(_mm_or_si128(value, sign));
}
QW_INLINE F32x16 load_half(const uint8_t* p) {
  const __m128i zero = _mm_setzero_si128(), a = load_128(p), b = load_128(p + 16);
  return {{half_to_f32(_mm_unpacklo_epi16(a, zero)), half_to_f32(_mm_unpackhi_epi16(a, zero)),
           half_to_f32(_mm_unpacklo_epi16(b, zero)), half_to_f32(_mm_unpackhi_epi16(b, zero))}};
}

// 16-bit lanes and their upper halves (zero or sign) interleaved to 32-bit lanes
QW_INLINE F32x16 widen_f32(__m128i a, __m128i a_high, __m128i b, __m128i b_high) {
  return {{_mm_cvtepi32_ps(_mm_unpacklo_epi16(a, a_high)), _mm_cvtepi32_ps(_mm_unpackhi_epi16(a, a_high)),
           _mm_cvtepi32_ps(_mm_unpacklo_epi16(b, b_high)), _mm_cvtepi32_ps(_mm_unpackhi_epi16(b, b_high))}};
}
QW_INLINE F32x16 widen_u8(__m128i x) {
  const __m128i zero = _mm_setzero_si128();
  return widen_f32(_mm_unpacklo_epi8(x, zero), zero, _mm_unpackhi_epi8(x, zero), zero);
}
QW_INLINE F32x16 load_u8(const uint8_t* p) { return widen_u8(load_128(p)); }
QW_INLINE void load_nibbles(const uint8_t* p, F32x16& low, F32x16& high) {
  const __m128i x = load_128(p), mask = _mm_set1_epi8(15);
  low = widen_u8(_mm_and_si128(x, mask));
  high = widen_u8(_mm_and_si128(_mm_srli_epi16(x, 4), mask));
}
QW_INLINE F32x16 load_i8(const uint8_t* p) {
  const __m128i x = load_128(p), zero = _mm_setzero_si128(), sign = _mm_cmpgt_epi8(zero, x);
  const __m128i a = _mm_unpacklo_epi8(x, sign), b = _mm_unpackhi_epi8(x, sign);
  return widen_f32(a, _mm_cmpgt_epi16(zero, a), b, _mm_cmpgt_epi16(zero, b));
}
QW_INLINE F32x16 to_f32(const I32x16& x) {
  F32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_cvtepi32_ps(x.v[i.value]); });
  return z;
}
QW_INLINE void store_i32(int32_t* p, const I32x16& x) {
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 4 * i.value), x.v[i.value]); });
}

QW_INLINE I32x16 pair_sums(const int16_t* p, int factor) {
  const __m128i f = _mm_set1_epi16(static_cast<int16_t>(factor));
  I32x16 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_madd_epi16(load_128(p + 8 * i.value), f); });
  return z;
}
// madd with (factor, 0): what lies in the upper half of a lane does not count
QW_INLINE I32x16 widen_times(const int16_t* p, int factor) {
  const __m128i f = _mm_set1_epi32(factor & 0xffff), a = load_128(p), b = load_128(p + 8);
  return {{_mm_madd_epi16(_mm_unpacklo_epi16(a, a), f), _mm_madd_epi16(_mm_unpackhi_epi16(a, a), f),
           _mm_madd_epi16(_mm_unpacklo_epi16(b, b), f), _mm_madd_epi16(_mm_unpackhi_epi16(b, b), f)}};
}

QW_INLINE void store_i8(int8_t* p, const F32x16& x) {
  const __m128i low = _mm_packs_epi32(_mm_cvtps_epi32(x.v[0]), _mm_cvtps_epi32(x.v[1]));
  const __m128i high = _mm_packs_epi32(_mm_cvtps_epi32(x.v[2]), _mm_cvtps_epi32(x.v[3]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}

QW_INLINE U8x64 load_bytes(const uint8_t* p) { return {{load_128(p), load_128(p + 16), load_128(p + 32), load_128(p + 48)}}; }
QW_INLINE void store_bytes(uint8_t* p, const U8x64& x) {
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16 * i.value), x.v[i.value]); });
}

template <int kShift>
QW_INLINE __m128i shifted(__m128i x) {
  if constexpr (kShift > 0) return _mm_slli_epi16(x, kShift);
  if constexpr (kShift < 0) return _mm_srli_epi16(x, -kShift);
  return x;
}
template <int kShift, int kMask>
QW_INLINE U8x64 bits(const U8x64& x) {
  U8x64 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_and_si128(shifted<kShift>(x.v[i.value]), _mm_set1_epi8(kMask)); });
  return z;
}
template <int kShift, int kMask>
QW_INLINE U8x64 or_bits(const U8x64& low, const U8x64& x) {
  U8x64 z = bits<kShift, kMask>(x);
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = _mm_or_si128(low.v[i.value], z.v[i.value]); });
  return z;
}

// SSE2 has no byte shuffle: a tree of 15 selections driven by the four bits of the index, about 3 instructions per weight
// where 16 scalar look-ups would need the round trip through memory.
QW_INLINE __m128i select_bits(__m128i mask, __m128i if_clear, __m128i if_set) {
  return _mm_or_si128(_mm_and_si128(mask, if_set), _mm_andnot_si128(mask, if_clear));
}
template <int kBit>
QW_INLINE __m128i bit_mask(__m128i index) {
  const __m128i bit = _mm_set1_epi8(1 << kBit);
  return _mm_cmpeq_epi8(_mm_and_si128(index, bit), bit);
}
QW_INLINE __m128i lookup16(__m128i index, const uint8_t* table) {
  __m128i level[8];
  const __m128i m0 = bit_mask<0>(index), m1 = bit_mask<1>(index), m2 = bit_mask<2>(index), m3 = bit_mask<3>(index);
  unroll<8>([&](auto i) QW_INLINE_LAMBDA {
    const __m128i even = _mm_set1_epi8(static_cast<char>(table[2 * i.value]));
    const __m128i change = _mm_set1_epi8(static_cast<char>(table[2 * i.value] ^ table[2 * i.value + 1]));
    level[i.value] = _mm_xor_si128(even, _mm_and_si128(m0, change));
  });
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { level[i.value] = select_bits(m1, level[2 * i.value], level[2 * i.value + 1]); });
  return select_bits(m3, select_bits(m2, level[0], level[1]), select_bits(m2, level[2], level[3]));
}
QW_INLINE U8x64 lookup16(const U8x64& index, const uint8_t* table) {
  U8x64 z;
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { z.v[i.value] = lookup16(index.v[i.value], table); });
  return z;
}

}  // namespace
}  // namespace qw::QW_TARGET
