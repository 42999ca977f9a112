// Sixteen floats side by side in four 128-bit registers; no fused multiply-add, half precision in integer arithmetic.

namespace qw::QW_TARGET::fp {

struct Lanes { __m128 a, b, c, d; };

constexpr int kTilePanels = 1;  // 1 panel x 3 tokens: 12 of the 16 registers are sums
constexpr int kTileTokens = 3;
constexpr bool kFetchSingle = false;

QW_LANES Lanes all(float x) { return {_mm_set1_ps(x), _mm_set1_ps(x), _mm_set1_ps(x), _mm_set1_ps(x)}; }
QW_LANES Lanes zero() { return all(0); }
QW_LANES Lanes load(const float* p) { return {_mm_loadu_ps(p), _mm_loadu_ps(p + 4), _mm_loadu_ps(p + 8), _mm_loadu_ps(p + 12)}; }
QW_LANES void store(float* p, Lanes x) {
  _mm_storeu_ps(p, x.a);
  _mm_storeu_ps(p + 4, x.b);
  _mm_storeu_ps(p + 8, x.c);
  _mm_storeu_ps(p + 12, x.d);
}
#define QW_EACH(function) {function(x.a, y.a), function(x.b, y.b), function(x.c, y.c), function(x.d, y.d)}
QW_LANES Lanes add(Lanes x, Lanes y) { return QW_EACH(_mm_add_ps); }
QW_LANES Lanes sub(Lanes x, Lanes y) { return QW_EACH(_mm_sub_ps); }
QW_LANES Lanes mul(Lanes x, Lanes y) { return QW_EACH(_mm_mul_ps); }
QW_LANES Lanes div(Lanes x, Lanes y) { return QW_EACH(_mm_div_ps); }
QW_LANES Lanes max(Lanes x, Lanes y) { return QW_EACH(_mm_max_ps); }
QW_LANES Lanes min(Lanes x, Lanes y) { return QW_EACH(_mm_min_ps); }
QW_LANES Lanes fma(Lanes x, Lanes y, Lanes z) { return add(mul(x, y), z); }
// |x| below 2^31
QW_LANES __m128 round(__m128 x) { return _mm_cvtepi32_ps(_mm_cvtps_epi32(x)); }
QW_LANES Lanes round(Lanes x) { return {round(x.a), round(x.b), round(x.c), round(x.d)}; }
QW_LANES __m128 scale_by(__m128 x, __m128 n) {
  return _mm_mul_ps(x, _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(n), _mm_set1_epi32(127)), 23)));
}
QW_LANES Lanes times_power_of_two(Lanes x, Lanes y) { return QW_EACH(scale_by); }
QW_LANES __m128 blend(__m128 mask, __m128 x, __m128 y) { return _mm_or_ps(_mm_and_ps(mask, x), _mm_andnot_ps(mask, y)); }
QW_LANES __m128 below(int count) { return _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3))); }
QW_LANES Lanes first(Lanes x, int count, Lanes y) {
  return {blend(below(count), x.a, y.a), blend(below(count - 4), x.b, y.b), blend(below(count - 8), x.c, y.c),
          blend(below(count - 12), x.d, y.d)};
}
QW_LANES Lanes where_above(Lanes x, float limit, Lanes y, Lanes z) {
  const __m128 t = _mm_set1_ps(limit);
  return {blend(_mm_cmpgt_ps(x.a, t), y.a, z.a), blend(_mm_cmpgt_ps(x.b, t), y.b, z.b), blend(_mm_cmpgt_ps(x.c, t), y.c, z.c),
          blend(_mm_cmpgt_ps(x.d, t), y.d, z.d)};
}

QW_LANES __m128i low_half(const uint16_t* p) {
  return _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_setzero_si128());
}
// Exponent and mantissa moved to their place in f32 and multiplied by 2^112 for the other bias, which makes subnormals right too.
QW_LANES __m128 widen_f16(const uint16_t* p) {
  const __m128i h = low_half(p);
  const __m128i magnitude = _mm_and_si128(h, _mm_set1_epi32(0x7fff));
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
  const __m128i special = _mm_and_si128(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7bff)), _mm_set1_epi32(0x7f800000));
  const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(magnitude, 13)), _mm_castsi128_ps(_mm_set1_epi32(239 << 23)));
  return _mm_castsi128_ps(_mm_or_si128(_mm_or_si128(_mm_castps_si128(scaled), special), sign));
}
QW_LANES Lanes load_f16(const uint16_t* p) { return {widen_f16(p), widen_f16(p + 4), widen_f16(p + 8), widen_f16(p + 12)}; }
static uint16_t narrow_f16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (bits >> 13 & 0x3ff));
  if (bits >= 0x47800000) return sign | 0x7c00;
  if (bits < 0x38800000) {  // subnormal: the sum with 0.5 rounds to a multiple of 2^-24
    float magnitude;
    __builtin_memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    __builtin_memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((bits + 0xfff + (bits >> 13 & 1) - (112u << 23)) >> 13));
}
QW_LANES void store_f16(uint16_t* p, Lanes x) {
  float values[16];
  store(values, x);
  for (int i = 0; i < 16; i++) p[i] = narrow_f16(values[i]);
}
QW_LANES __m128 widen_bf16(const uint16_t* p) { return _mm_castsi128_ps(_mm_slli_epi32(low_half(p), 16)); }
QW_LANES Lanes load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 4), widen_bf16(p + 8), widen_bf16(p + 12)}; }
struct Ints { __m128i a, b, c, d; };
struct Pairs { __m128i a, b, c, d; };
QW_LANES Ints no_ints() { return {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()}; }
QW_LANES Lanes to_floats(Ints x) { return {_mm_cvtepi32_ps(x.a), _mm_cvtepi32_ps(x.b), _mm_cvtepi32_ps(x.c), _mm_cvtepi32_ps(x.d)}; }
QW_LANES Pairs load_pairs(const int8_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16));
  return {_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8), _mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8),
          _mm_srai_epi16(_mm_unpacklo_epi8(y, y), 8), _mm_srai_epi16(_mm_unpackhi_epi8(y, y), 8)};
}
QW_LANES __m128i all_pairs(const int16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, 4);
  return _mm_set1_epi32(two);
}
QW_LANES __m128i dot(__m128i x, __m128i y, __m128i sums) {
  sums = _mm_add_epi32(sums, _mm_madd_epi16(x, y));
  asm("" : "+x"(sums));  // as with AVX2
  return sums;
}
QW_LANES Ints dot(Pairs x, __m128i y, Ints sums) {
  return {dot(x.a, y, sums.a), dot(x.b, y, sums.b), dot(x.c, y, sums.c), dot(x.d, y, sums.d)};
}
QW_LANES void store_i16(int16_t* p, Lanes x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi32(_mm_cvtps_epi32(x.a), _mm_cvtps_epi32(x.b)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm_packs_epi32(_mm_cvtps_epi32(x.c), _mm_cvtps_epi32(x.d)));
}

QW_LANES float sum(Lanes x) {
  __m128 c = _mm_add_ps(_mm_add_ps(x.a, x.c), _mm_add_ps(x.b, x.d));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
QW_LANES float largest(Lanes x) {
  __m128 c = _mm_max_ps(_mm_max_ps(x.a, x.c), _mm_max_ps(x.b, x.d));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}
#undef QW_EACH

}  // namespace qw::QW_TARGET::fp
