// What is the same for every width of Lanes.

namespace qw::QW_TARGET::fp {

QW_LANES int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// e^x to 2e-7 (relative); 0 below -87, infinity above 88.4, NaN for NaN.
// x = n ln 2 + r with ln 2 in two parts, |r| <= 0.347; the polynomial is the Taylor series to r^7 (rest 5e-9).
QW_LANES Lanes exp(Lanes x) {
  // Operand order: of max and min the second is taken where a lane is NaN, so that NaN comes through.
  const Lanes y = min(all(89.f), max(all(-87.33654f), x));
  const Lanes n = min(all(128.f), round(mul(y, all(1.44269504f))));
  Lanes r = fma(n, all(-0.693359375f), y);
  r = fma(n, all(2.12194440e-4f), r);
  Lanes p = all(1.f / 5040);
  p = fma(p, r, all(1.f / 720));
  p = fma(p, r, all(1.f / 120));
  p = fma(p, r, all(1.f / 24));
  p = fma(p, r, all(1.f / 6));
  p = fma(p, r, all(0.5f));
  p = fma(mul(r, r), p, r);
  p = add(p, all(1.f));
  const Lanes e = times_power_of_two(p, n);
  // Below every difference that matters to a softmax: exact zeros.
  return where_above(sub(all(-87.f), x), 0, zero(), e);
}

QW_LANES uint16_t narrow_bf16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
QW_LANES void store_bf16(uint16_t* p, Lanes a) {
  float values[16];
  store(values, a);
  for (int i = 0; i < 16; i++) p[i] = narrow_bf16(values[i]);
}

// How one element type is read and written; Element is what memory holds.
struct F32 {
  using Element = float;
  QW_LANES Lanes read(const float* p) { return load(p); }
  QW_LANES void write(float* p, Lanes a) { store(p, a); }
};
struct F16 {
  using Element = uint16_t;
  QW_LANES Lanes read(const uint16_t* p) { return load_f16(p); }
  QW_LANES void write(uint16_t* p, Lanes a) { store_f16(p, a); }
};
struct BF16 {
  using Element = uint16_t;
  QW_LANES Lanes read(const uint16_t* p) { return load_bf16(p); }
  QW_LANES void write(uint16_t* p, Lanes a) { store_bf16(p, a); }
};

}  // namespace qw::QW_TARGET::fp
