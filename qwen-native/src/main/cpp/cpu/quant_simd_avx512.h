// Vectors of 16 rows for AVX-512 F/BW/DQ/VL: one register each. Same names and meaning as in quant_simd_avx2.h and quant_simd_sse2.h.
#pragma once

#include <immintrin.h>

#include "cpu/quant_base.h"

// GCC 12 builds unmasked AVX-512 intrinsics from masked ones with a self-initialised operand and then warns of it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

namespace qw::QW_TARGET {
namespace {

struct F32x16 { __m512 v; };
struct I32x16 { __m512i v; };
struct U8x64 { __m512i v; };  // 16 rows of 4 columns

QW_INLINE F32x16 zero_f32() { return {_mm512_setzero_ps()}; }
QW_INLINE F32x16 load_f32(const float* p) { return {_mm512_loadu_ps(p)}; }
QW_INLINE void store_f32(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
QW_INLINE F32x16 broadcast(float a) { return {_mm512_set1_ps(a)}; }
QW_INLINE F32x16 add(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
QW_INLINE F32x16 sub(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
QW_INLINE F32x16 mul(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
QW_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
QW_INLINE F32x16 max_abs(F32x16 a, F32x16 b) { return {_mm512_max_ps(_mm512_abs_ps(a.v), _mm512_abs_ps(b.v))}; }
QW_INLINE bool any_nan(F32x16 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q) != 0; }

QW_INLINE float reduce_max(F32x16 a) {
  __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

QW_INLINE F32x16 load_half(const uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
QW_INLINE F32x16 load_u8(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
QW_INLINE F32x16 load_i8(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
// low and high nibbles of 16 bytes
QW_INLINE void load_nibbles(const uint8_t* p, F32x16& low, F32x16& high) {
  const __m512i a = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  low.v = _mm512_cvtepi32_ps(_mm512_and_si512(a, _mm512_set1_epi32(15)));
  high.v = _mm512_cvtepi32_ps(_mm512_srli_epi32(a, 4));
}
QW_INLINE F32x16 to_f32(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
QW_INLINE void store_i32(int32_t* p, I32x16 a) { _mm512_storeu_si512(p, a.v); }

// factor * (p[2 i] + p[2 i + 1]) and factor * p[i]
QW_INLINE I32x16 pair_sums(const int16_t* p, int factor) {
  return {_mm512_madd_epi16(_mm512_loadu_si512(p), _mm512_set1_epi16(static_cast<int16_t>(factor)))};
}
QW_INLINE I32x16 widen_times(const int16_t* p, int factor) {
  const __m512i a = _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_madd_epi16(a, _mm512_set1_epi32(factor & 0xffff))};
}

// 16 floats in -127.5 .. 127.5, rounded to nearest even
QW_INLINE void store_i8(int8_t* p, F32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

QW_INLINE U8x64 load_bytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
QW_INLINE void store_bytes(uint8_t* p, U8x64 a) { _mm512_storeu_si512(p, a.v); }

// Bits of each byte moved left by kShift (right if negative), then masked: the mask drops what came from the neighbour.
template <int kShift>
QW_INLINE __m512i shifted(__m512i a) {
  if constexpr (kShift > 0) return _mm512_slli_epi16(a, kShift);
  if constexpr (kShift < 0) return _mm512_srli_epi16(a, -kShift);
  return a;
}
template <int kShift, int kMask>
QW_INLINE U8x64 bits(U8x64 a) {
  return {_mm512_and_si512(shifted<kShift>(a.v), _mm512_set1_epi8(kMask))};
}
// low | bits<kShift, kMask>(a), one vpternlog after the shift
template <int kShift, int kMask>
QW_INLINE U8x64 or_bits(U8x64 low, U8x64 a) {
  return {_mm512_ternarylogic_epi32(low.v, shifted<kShift>(a.v), _mm512_set1_epi8(kMask), 0xf8)};
}
QW_INLINE U8x64 lookup16(U8x64 index, const uint8_t* table) {
  const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm512_shuffle_epi8(t, index.v)};
}

}  // namespace
}  // namespace qw::QW_TARGET
