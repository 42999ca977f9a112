// Sixteen floats side by side in two 256-bit registers.

namespace qw::QW_TARGET::fp {

struct Lanes { __m256 a, b; };

constexpr int kTilePanels = 1;  // 1 panel x 6 tokens: 12 of the 16 registers are sums
constexpr int kTileTokens = 6;
constexpr bool kFetchSingle = true;

QW_LANES Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
QW_LANES Lanes all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
QW_LANES Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
QW_LANES void store(float* p, Lanes x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
QW_LANES Lanes add(Lanes x, Lanes y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
QW_LANES Lanes sub(Lanes x, Lanes y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
QW_LANES Lanes mul(Lanes x, Lanes y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
QW_LANES Lanes div(Lanes x, Lanes y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
QW_LANES Lanes max(Lanes x, Lanes y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
QW_LANES Lanes min(Lanes x, Lanes y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
QW_LANES Lanes fma(Lanes x, Lanes y, Lanes z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
QW_LANES Lanes round(Lanes x) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, kMode), _mm256_round_ps(x.b, kMode)};
}
// n: whole, in -126 .. 128; 128 gives infinity
QW_LANES __m256 power_of_two(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
QW_LANES Lanes times_power_of_two(Lanes x, Lanes n) {
  return {_mm256_mul_ps(x.a, power_of_two(n.a)), _mm256_mul_ps(x.b, power_of_two(n.b))};
}
QW_LANES Lanes first(Lanes x, int count, Lanes y) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256 low = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
  const __m256 high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), lane));
  return {_mm256_blendv_ps(y.a, x.a, low), _mm256_blendv_ps(y.b, x.b, high)};
}
QW_LANES Lanes where_above(Lanes x, float limit, Lanes y, Lanes z) {
  const __m256 t = _mm256_set1_ps(limit);
  return {_mm256_blendv_ps(z.a, y.a, _mm256_cmp_ps(x.a, t, _CMP_GT_OQ)), _mm256_blendv_ps(z.b, y.b, _mm256_cmp_ps(x.b, t, _CMP_GT_OQ))};
}

QW_LANES __m128i half_of(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
QW_LANES Lanes load_f16(const uint16_t* p) { return {_mm256_cvtph_ps(half_of(p)), _mm256_cvtph_ps(half_of(p + 8))}; }
QW_LANES void store_f16(uint16_t* p, Lanes x) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, kMode));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, kMode));
}
QW_LANES __m256 widen_bf16(__m128i a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a), 16)); }
QW_LANES Lanes load_bf16(const uint16_t* p) { return {widen_bf16(half_of(p)), widen_bf16(half_of(p + 8))}; }
struct Ints { __m256i a, b; };
struct Pairs { __m256i a, b; };
QW_LANES Ints no_ints() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
QW_LANES Lanes to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
QW_LANES __m256i widen_i8(const int8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
QW_LANES Pairs load_pairs(const int8_t* p) { return {widen_i8(p), widen_i8(p + 16)}; }
QW_LANES __m256i all_pairs(const int16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, 4);
  return _mm256_set1_epi32(two);
}
// sums + both products of each pair. GCC 12 would add up products of several steps first and spill sums for it.
QW_LANES Ints dot(Pairs x, __m256i y, Ints sums) {
  sums.a = _mm256_add_epi32(sums.a, _mm256_madd_epi16(x.a, y));
  sums.b = _mm256_add_epi32(sums.b, _mm256_madd_epi16(x.b, y));
  asm("" : "+x"(sums.a), "+x"(sums.b));
  return sums;
}
QW_LANES void store_i16(int16_t* p, Lanes x) {
  const __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(both, 0xd8));
}

QW_LANES float sum(Lanes x) {
  const __m256 b = _mm256_add_ps(x.a, x.b);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
QW_LANES float largest(Lanes x) {
  const __m256 b = _mm256_max_ps(x.a, x.b);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

}  // namespace qw::QW_TARGET::fp
