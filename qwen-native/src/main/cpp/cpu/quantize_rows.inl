// Activations to int8, in groups of 32: scale = largest magnitude / 127, q = x / scale rounded to nearest even.
// A group of zeros, or of numbers so small (below 1e-35) that 127 / magnitude would not be finite, gets scale 0 and q 0.
// A group with a NaN or an infinity gets scale NaN and q 0: every product with it is NaN, as a float product would be in all
// but the cases where an infinity would have stayed one.

#include "cpu/kernels.h"
#include "cpu/quant_target.h"

namespace qw::QW_TARGET {
namespace {

// Sum of 16 int8: psadbw of the values moved to 0 .. 255
QW_INLINE int16_t sum_of_16(const int8_t* q) {
  const __m128i moved = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)), _mm_set1_epi8(-128));
  const __m128i s = _mm_sad_epu8(moved, _mm_setzero_si128());
  return static_cast<int16_t>(_mm_cvtsi128_si32(s) + _mm_extract_epi16(s, 4) - 16 * 128);
}

QW_INLINE void quantize_group(const float* x, int8_t* q, float* scale, int16_t* sum16) {
  const F32x16 a = load_f32(x), b = load_f32(x + 16);
  // x - x is NaN for NaN and infinities, 0 otherwise
  const bool finite = !any_nan(add(sub(a, a), sub(b, b)));
  const float largest = finite ? reduce_max(max_abs(a, b)) : 0.0f;
  if (largest < 1e-35f) {
    memset(q, 0, 32);
    *scale = finite ? 0.0f : __builtin_nanf("");
    sum16[0] = sum16[1] = 0;
    return;
  }
  const F32x16 inverse = broadcast(127.0f / largest);
  store_i8(q, mul(a, inverse));
  store_i8(q + 16, mul(b, inverse));
  *scale = largest / 127.0f;
  sum16[0] = sum_of_16(q);
  sum16[1] = sum_of_16(q + 16);
}

}  // namespace

void quantize_rows(const float* x, int64_t tokens, int64_t columns, const Q8Rows& out) {
  const int64_t groups = tokens * (columns / 32);
  for (int64_t i = 0; i < groups; i++) quantize_group(x + 32 * i, out.q + 32 * i, out.scale + i, out.sum16 + 2 * i);
}

}  // namespace qw::QW_TARGET
