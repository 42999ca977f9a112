// Vectors of 16 rows for AVX2 + FMA + F16C: two registers each. Same names and meaning as in quant_simd_avx512.h.
#pragma once

#include <immintrin.h>

#include "cpu/quant_base.h"

namespace qw::QW_TARGET {
namespace {

struct F32x16 { __m256 a, b; };
struct I32x16 { __m256i a, b; };
struct U8x64 { __m256i a, b; };  // 16 rows of 4 columns

QW_INLINE F32x16 zero_f32() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
QW_INLINE F32x16 load_f32(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
QW_INLINE void store_f32(float* p, F32x16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
QW_INLINE F32x16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
QW_INLINE F32x16 add(F32x16 x, F32x16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
QW_INLINE F32x16 sub(F32x16 x, F32x16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
QW_INLINE F32x16 mul(F32x16 x, F32x16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
QW_INLINE F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
QW_INLINE __m256 abs_f32(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
QW_INLINE F32x16 max_abs(F32x16 x, F32x16 y) {
  return {_mm256_max_ps(abs_f32(x.a), abs_f32(y.a)), _mm256_max_ps(abs_f32(x.b), abs_f32(y.b))};
}
QW_INLINE bool any_nan(F32x16 x) { return _mm256_movemask_ps(_mm256_cmp_ps(x.a, x.b, _CMP_UNORD_Q)) != 0; }

QW_INLINE float reduce_max(F32x16 x) {
  const __m256 b = _mm256_max_ps(x.a, x.b);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

QW_INLINE __m128i load_128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
QW_INLINE __m128i load_64(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
QW_INLINE __m256i load_256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

QW_INLINE F32x16 load_half(const uint8_t* p) { return {_mm256_cvtph_ps(load_128(p)), _mm256_cvtph_ps(load_128(p + 16))}; }
QW_INLINE F32x16 load_u8(const uint8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_64(p))), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_64(p + 8)))};
}
QW_INLINE F32x16 load_i8(const uint8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_64(p))), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_64(p + 8)))};
}
QW_INLINE void load_nibbles(const uint8_t* p, F32x16& low, F32x16& high) {
  const __m256i a = _mm256_cvtepu8_epi32(load_64(p)), b = _mm256_cvtepu8_epi32(load_64(p + 8)), mask = _mm256_set1_epi32(15);
  low = {_mm256_cvtepi32_ps(_mm256_and_si256(a, mask)), _mm256_cvtepi32_ps(_mm256_and_si256(b, mask))};
  high = {_mm256_cvtepi32_ps(_mm256_srli_epi32(a, 4)), _mm256_cvtepi32_ps(_mm256_srli_epi32(b, 4))};
}
QW_INLINE F32x16 to_f32(I32x16 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
QW_INLINE void store_i32(int32_t* p, I32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.b);
}

QW_INLINE I32x16 pair_sums(const int16_t* p, int factor) {
  const __m256i f = _mm256_set1_epi16(static_cast<int16_t>(factor));
  return {_mm256_madd_epi16(load_256(p), f), _mm256_madd_epi16(load_256(p + 16), f)};
}
QW_INLINE I32x16 widen_times(const int16_t* p, int factor) {
  const __m256i f = _mm256_set1_epi32(factor & 0xffff);
  return {_mm256_madd_epi16(_mm256_cvtepi16_epi32(load_128(p)), f), _mm256_madd_epi16(_mm256_cvtepi16_epi32(load_128(p + 8)), f)};
}

QW_INLINE void store_i8(int8_t* p, F32x16 x) {
  const __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
  const __m128i low = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i high = _mm_packs_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}

QW_INLINE U8x64 load_bytes(const uint8_t* p) { return {load_256(p), load_256(p + 32)}; }
QW_INLINE void store_bytes(uint8_t* p, U8x64 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), x.b);
}

template <int kShift>
QW_INLINE __m256i shifted(__m256i x) {
  if constexpr (kShift > 0) return _mm256_slli_epi16(x, kShift);
  if constexpr (kShift < 0) return _mm256_srli_epi16(x, -kShift);
  return x;
}
template <int kShift, int kMask>
QW_INLINE U8x64 bits(U8x64 x) {
  const __m256i m = _mm256_set1_epi8(kMask);
  return {_mm256_and_si256(shifted<kShift>(x.a), m), _mm256_and_si256(shifted<kShift>(x.b), m)};
}
template <int kShift, int kMask>
QW_INLINE U8x64 or_bits(U8x64 low, U8x64 x) {
  const U8x64 high = bits<kShift, kMask>(x);
  return {_mm256_or_si256(low.a, high.a), _mm256_or_si256(low.b, high.b)};
}
QW_INLINE U8x64 lookup16(U8x64 index, const uint8_t* table) {
  const __m256i t = _mm256_broadcastsi128_si256(load_128(table));
  return {_mm256_shuffle_epi8(t, index.a), _mm256_shuffle_epi8(t, index.b)};
}

}  // namespace
}  // namespace qw::QW_TARGET
