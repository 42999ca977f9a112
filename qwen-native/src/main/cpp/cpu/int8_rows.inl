// Rows of integers: scale = largest magnitude / most, value = x / scale rounded to nearest even. A row of zeros, or of numbers so small
// (below 1e-33) that most / magnitude might not be finite, gets scale 0; one with a NaN or an infinity gets scale NaN, so that whatever is
// computed with it is NaN. Keys and values of kKvInt8 have 8 bits (most = 127).

namespace qw::QW_TARGET::fp {

struct Int8 {
  using Element = int8_t;
};

template <class Type>
constexpr bool kIntegers = sizeof(typename Type::Element) == 1;

struct Rounding {
  float scale;
  float inverse;  // 0 where all integers are 0
};

// Magnitudes of a row, 16 at a time.
struct Magnitudes {
  Lanes top = zero();
  Lanes rest = zero();
};

QW_LANES void add_magnitudes(Magnitudes& m, Lanes a) {
  m.top = max(m.top, max(a, sub(zero(), a)));
  m.rest = add(m.rest, sub(a, a));  // 0, but NaN for NaN and infinities
}

QW_LANES Rounding rounding(const Magnitudes& m, float most) {
  if (!(sum(m.rest) == 0.f)) return {__builtin_nanf(""), 0.f};
  const float magnitude = largest(m.top);
  if (magnitude < 1e-33f) return {0.f, 0.f};
  return {magnitude / most, most / magnitude};
}

// What is to be rounded, also where x is not finite.
QW_LANES Lanes scaled(Lanes x, const Rounding& r) { return r.inverse == 0.f ? zero() : mul(x, all(r.inverse)); }

// 16 elements of a row, less the centre (null for none).
QW_LANES Lanes less_centre(const float* x, const uint16_t* centre, int64_t e) {
  return centre == nullptr ? load(x + e) : sub(load(x + e), load_f16(centre + e));
}

// Writes a row of 8 bits, elements 2 i and 2 i + 1 at to + i * pair_stride and `element` bytes behind it; returns its scale.
static float store_int8(const float* x, const uint16_t* centre, int64_t size, uint8_t* to, int64_t pair_stride, int64_t element) {
  Magnitudes m;
  for (int64_t e = 0; e < size; e += 16) add_magnitudes(m, less_centre(x, centre, e));
  const Rounding r = rounding(m, 127.f);
  for (int64_t e = 0; e < size; e += 16) {
    int16_t values[16];
    store_i16(values, scaled(less_centre(x, centre, e), r));
    for (int64_t i = 0; i < 16; i++) to[(e + i) / 2 * pair_stride + i % 2 * element] = static_cast<uint8_t>(values[i]);
  }
  return r.scale;
}

}  // namespace qw::QW_TARGET::fp
