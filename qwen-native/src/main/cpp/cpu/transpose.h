// Squares turned about their diagonal: what packing mostly does. SSE2, which every x86-64 has, suffices: F16 packs
// at 8 GB/s a thread, where one element at a time made 5.
#pragma once

#include <emmintrin.h>

#include "cpu/quant_base.h"

namespace qw::QW_TARGET {
namespace {

// 4 rows of 4 elements of 4 bytes; strides in bytes.
QW_INLINE void transpose_4x4(const uint8_t* from, int64_t from_stride, uint8_t* to, int64_t to_stride) {
  __m128i row[4];
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { row[i.value] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i.value * from_stride)); });
  const __m128i low01 = _mm_unpacklo_epi32(row[0], row[1]), high01 = _mm_unpackhi_epi32(row[0], row[1]);
  const __m128i low23 = _mm_unpacklo_epi32(row[2], row[3]), high23 = _mm_unpackhi_epi32(row[2], row[3]);
  const __m128i column[4] = {_mm_unpacklo_epi64(low01, low23), _mm_unpackhi_epi64(low01, low23), _mm_unpacklo_epi64(high01, high23),
                             _mm_unpackhi_epi64(high01, high23)};
  unroll<4>([&](auto i) QW_INLINE_LAMBDA { _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i.value * to_stride), column[i.value]); });
}

// 8 rows of 8 elements of 2 bytes; strides in bytes.
QW_INLINE void transpose_8x8(const uint8_t* from, int64_t from_stride, uint8_t* to, int64_t to_stride) {
  __m128i a[8], b[8];
  unroll<8>([&](auto i) QW_INLINE_LAMBDA { a[i.value] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i.value * from_stride)); });
  // Rows 4 apart are joined first, then 2, then 1: after three times eight elements of one column stand in a register.
  unroll<4>([&](auto i) QW_INLINE_LAMBDA {
    b[2 * i.value] = _mm_unpacklo_epi16(a[i.value], a[i.value + 4]);
    b[2 * i.value + 1] = _mm_unpackhi_epi16(a[i.value], a[i.value + 4]);
  });
  unroll<4>([&](auto i) QW_INLINE_LAMBDA {
    a[2 * i.value] = _mm_unpacklo_epi16(b[i.value], b[i.value + 4]);
    a[2 * i.value + 1] = _mm_unpackhi_epi16(b[i.value], b[i.value + 4]);
  });
  unroll<4>([&](auto i) QW_INLINE_LAMBDA {
    b[2 * i.value] = _mm_unpacklo_epi16(a[i.value], a[i.value + 4]);
    b[2 * i.value + 1] = _mm_unpackhi_epi16(a[i.value], a[i.value + 4]);
  });
  unroll<8>([&](auto i) QW_INLINE_LAMBDA { _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i.value * to_stride), b[i.value]); });
}

}  // namespace
}  // namespace qw::QW_TARGET
