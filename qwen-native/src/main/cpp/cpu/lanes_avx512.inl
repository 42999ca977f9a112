// Sixteen floats side by side in one 512-bit register.

namespace qw::QW_TARGET::fp {

struct Lanes { __m512 v; };

constexpr int kTilePanels = 2;  // 2 panels x 8 tokens: 16 sums, two independent chains for each of the two FMA ports
constexpr int kTileTokens = 8;
constexpr bool kFetchSingle = false;  // a single token is fastest without

QW_LANES Lanes zero() { return {_mm512_setzero_ps()}; }
QW_LANES Lanes all(float a) { return {_mm512_set1_ps(a)}; }
QW_LANES Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
QW_LANES void store(float* p, Lanes a) { _mm512_storeu_ps(p, a.v); }
QW_LANES Lanes add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
QW_LANES Lanes sub(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
QW_LANES Lanes mul(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
QW_LANES Lanes div(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
QW_LANES Lanes max(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
QW_LANES Lanes min(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
QW_LANES Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
QW_LANES Lanes round(Lanes a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
QW_LANES Lanes times_power_of_two(Lanes a, Lanes n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// a in lanes 0 .. count - 1, b in the others
QW_LANES Lanes first(Lanes a, int count, Lanes b) {
  return {_mm512_mask_blend_ps(static_cast<__mmask16>((1u << count) - 1), b.v, a.v)};
}
// a where x is above `limit`, b elsewhere, NaN included
QW_LANES Lanes where_above(Lanes x, float limit, Lanes a, Lanes b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_set1_ps(limit), _CMP_GT_OQ), b.v, a.v)};
}

QW_LANES Lanes load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
QW_LANES void store_f16(uint16_t* p, Lanes a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
QW_LANES Lanes load_bf16(const uint16_t* p) {
  const __m512i a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(a, 16))};
}

// Sixteen int32, and sixteen pairs of int16.
struct Ints { __m512i v; };
struct Pairs { __m512i v; };
QW_LANES Ints no_ints() { return {_mm512_setzero_si512()}; }
QW_LANES Lanes to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
QW_LANES Pairs load_pairs(const int8_t* p) { return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
// The same pair sixteen times.
QW_LANES __m512i all_pairs(const int16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, 4);
  return _mm512_set1_epi32(two);
}
// sums + both products of each pair
QW_LANES Ints dot(Pairs a, __m512i b, Ints sums) {
#if defined(__AVX512VNNI__)
  return {_mm512_dpwssd_epi32(sums.v, a.v, b)};
#else
  sums.v = _mm512_add_epi32(sums.v, _mm512_madd_epi16(a.v, b));
  asm("" : "+v"(sums.v));  // as with AVX2
  return sums;
#endif
}
QW_LANES void store_i16(int16_t* p, Lanes a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
}

// Sums and maxima over lanes: always halves first, so that every target adds in the same order.
QW_LANES float sum(Lanes a) {
  __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
QW_LANES float largest(Lanes a) {
  __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

}  // namespace qw::QW_TARGET::fp
