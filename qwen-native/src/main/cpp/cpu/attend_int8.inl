// Products with keys and values of 8 bits, in integers: queries and weights get 15 bits and a sign for it. vpmaddwd makes sixteen products
// where an FMA makes eight, its sums wait one cycle and not four, and nothing is converted to floats on the way. With AVX2 one token at 4096
// tokens takes 0.77 (128 elements) to 0.85 (64) of the time of products of floats, which were at most 10 % faster than half precision.

namespace qw::QW_TARGET::fp {

// Queries as integers: elements 2 i and 2 i + 1 of all rows side by side, so that a tile reads them from one pointer.
struct NarrowRows {
  const int16_t* pairs;  // [E / 2, rows, 2]
  int64_t rows;
  float scales[kAttendRows];
};

// What belongs to a panel of 8 bits beside its values.
struct PanelScales {
  const float* keys;
  const float* values;
  const uint16_t* centre;
};

// Integers of at most 32767, whose products with 127 must not exceed 31 bits in a sum of `count`.
QW_LANES float most_narrow(int64_t count) {
  const float most = 16.9e6f / static_cast<float>(count);  // 2^31 / 127 is 16.909e6
  return most < 32767.f ? most : 32767.f;
}

// Row `row` of `out.rows` queries.
static void narrow_query(const float* q, int64_t size, int64_t row, int16_t* pairs, NarrowRows& out) {
  Magnitudes m;
  for (int64_t e = 0; e < size; e += 16) add_magnitudes(m, load(q + e));
  const Rounding r = rounding(m, most_narrow(size));
  for (int64_t e = 0; e < size; e += 16) {
    int16_t narrow[16];
    store_i16(narrow, scaled(load(q + e), r));
    for (int64_t i = 0; i < 16; i += 2) __builtin_memcpy(pairs + ((e + i) / 2 * out.rows + row) * 2, narrow + i, 4);
  }
  out.scales[row] = r.scale;
}

template <int kRows>
QW_LANES void score_rows_int8(const NarrowRows& q, int64_t row, const int8_t* keys, const uint8_t* ahead, int64_t size, Lanes key_scales,
                              const float* centre_scores, float* scores, int64_t stride) {
  Ints sums[kRows];
  QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = no_ints();
  const int16_t* pairs = q.pairs + 2 * row;
  for (int64_t e = 0; e < size; e += 4, ahead += 64) {
    __builtin_prefetch(ahead);
    QW_UNROLL for (int i = 0; i < 2; i++, keys += 2 * kKeysPerPanel, pairs += 2 * q.rows) {
      const Pairs key = load_pairs(keys);
      QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = dot(key, all_pairs(pairs + 2 * r), sums[r]);
    }
  }
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    const Lanes products = mul(to_floats(sums[r]), all(q.scales[row + r]));
    store(scores + r * stride, fma(products, key_scales, all(centre_scores[r])));
  }
}

template <int kRows>
static void score_tile_int8(const NarrowRows& q, int64_t row, int64_t rows, const int8_t* keys, const uint8_t* ahead, int64_t size,
                            Lanes key_scales, const float* centre_scores, float* scores, int64_t stride) {
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return score_tile_int8<kRows - 1>(q, row, rows, keys, ahead, size, key_scales, centre_scores, scores, stride);
    }
  }
  score_rows_int8<kRows>(q, row, keys, ahead, size, key_scales, centre_scores, scores, stride);
}

// Scores of 16 keys; centre_scores are those of the centre that was taken off them.
static void score_panel_int8(const NarrowRows& q, int64_t rows, const uint8_t* keys, const uint8_t* next_keys, int64_t size,
                             const float* key_scales, const float* centre_scores, float* scores, int64_t stride) {
  for_tiles<kScoreRows>(rows, [&](int64_t row, int64_t count) __attribute__((always_inline)) {
    score_tile_int8<kScoreRows>(q, row, count, reinterpret_cast<const int8_t*>(keys), row == 0 ? next_keys : keys, size, load(key_scales),
                                centre_scores + row, scores + row * stride, stride);
  });
}

template <int kRows>
QW_LANES void centre_rows(const float* const* q, const uint16_t* centre, int64_t size, float* scores) {
  Lanes sums[kRows];
  QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = zero();
  for (int64_t e = 0; e < size; e += 16) {
    const Lanes c = load_f16(centre + e);
    QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = fma(c, load(q[r] + e), sums[r]);
  }
  QW_UNROLL for (int r = 0; r < kRows; r++) scores[r] = sum(sums[r]);
}

template <int kRows>
static void centre_tile(const float* const* q, int64_t rows, const uint16_t* centre, int64_t size, float* scores) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return centre_tile<kRows - 1>(q, rows, centre, size, scores);
  }
  centre_rows<kRows>(q, centre, size, scores);
}

// Products with a centre of keys.
static void score_centre(const float* const* q, int64_t rows, const uint16_t* centre, int64_t size, float* scores) {
  for_tiles<kScoreRows>(rows, [&](int64_t row, int64_t count) __attribute__((always_inline)) {
    centre_tile<kScoreRows>(q + row, count, centre, size, scores + row);
  });
}

// Weights of one row in a block, times the scales of the values -> integers in their place; returns the scale. `seen[p]` is how many keys
// of panel p the row sees: the scales of others may be anything.
static float narrow_weights(float* weights, const PanelScales* scales, const int64_t* seen, int64_t count) {
  Lanes row[kBlockPanels];
  Magnitudes m;
  for (int64_t p = 0; p < count; p++) {
    row[p] = first(mul(load(weights + p * kKeysPerPanel), load(scales[p].values)), static_cast<int>(seen[p]), zero());
    add_magnitudes(m, row[p]);
  }
  const Rounding r = rounding(m, 32767.f);
  for (int64_t p = 0; p < count; p++) store_i16(reinterpret_cast<int16_t*>(weights) + p * kKeysPerPanel, scaled(row[p], r));
  return r.scale;
}

// Scores of a row in a block; weights of 16 bits take half of their place.
constexpr int64_t kBlockKeys = kBlockPanels * kKeysPerPanel;

// The values of a panel in a block: those of tokens 2 i and 2 i + 1 side by side, at values + i * 2 * size.
struct ValuePanel {
  const uint8_t* values;
  const uint8_t* next_values;
  int64_t count;
};

// sums[r] = factor[r] * sums[r] + scale[r] * (sum over keys j of weights[r][j] * values[j]), for kRows rows and kColumns times 16 elements
// from `at` on.
template <int kRows, int kColumns>
QW_LANES void add_values_int8(const ValuePanel* panels, int64_t count, int64_t size, int64_t at, const float* weights,
                              const float* factors, const float* scales, float* sums) {
  Ints total[kRows][kColumns];
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    QW_UNROLL for (int c = 0; c < kColumns; c++) total[r][c] = no_ints();
  }
  for (int64_t p = 0; p < count; p++) {
    const int8_t* values = reinterpret_cast<const int8_t*>(panels[p].values) + 2 * at;
    const uint8_t* ahead = panels[p].next_values + 2 * at;
    const int16_t* weight = reinterpret_cast<const int16_t*>(weights) + p * kKeysPerPanel;
    for (int64_t j = 0; j < panels[p].count; j += 2, values += 2 * size, ahead += 2 * size) {
      Pairs value[kColumns];
      QW_UNROLL for (int c = 0; c < kColumns; c++) {
        if (c % 2 == 0) __builtin_prefetch(ahead + 32 * c);
        value[c] = load_pairs(values + 32 * c);
      }
      QW_UNROLL for (int r = 0; r < kRows; r++) {
        const auto w = all_pairs(weight + r * 2 * kBlockKeys + j);
        QW_UNROLL for (int c = 0; c < kColumns; c++) total[r][c] = dot(value[c], w, total[r][c]);
      }
    }
  }
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    QW_UNROLL for (int c = 0; c < kColumns; c++) {
      float* to = sums + r * size + at + 16 * c;
      store(to, fma(to_floats(total[r][c]), all(scales[r]), mul(load(to), all(factors[r]))));
    }
  }
}

template <int kRows, int kColumns>
static void add_tile_int8(int64_t rows, const ValuePanel* panels, int64_t count, int64_t size, int64_t at, const float* weights,
                          const float* factors, const float* scales, float* sums) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return add_tile_int8<kRows - 1, kColumns>(rows, panels, count, size, at, weights, factors, scales, sums);
  }
  add_values_int8<kRows, kColumns>(panels, count, size, at, weights, factors, scales, sums);
}

template <int kColumns>
static void add_column_int8(const ValuePanel* panels, int64_t count, int64_t size, int64_t at, int64_t rows, const float* weights,
                            const float* factors, const float* scales, float* sums) {
  for_tiles<kSumRows>(rows, [&](int64_t r, int64_t tile) __attribute__((always_inline)) {
    add_tile_int8<kSumRows, kColumns>(tile, panels, count, size, at, weights + r * kBlockKeys, factors + r, scales + r, sums + r * size);
  });
}

}  // namespace qw::QW_TARGET::fp
