// Sixteen keys and values against the rows of a piece: scores = q x panel, sums += weights x values.

namespace qw::QW_TARGET::fp {

struct Panel {
  const uint8_t* keys;
  const uint8_t* values;
  int64_t position;  // of its first key
  int64_t count;     // keys that some row of the piece sees
  const float* hidden;  // 0 or -infinity for each key, or null where every row sees all keys up to its limit
  // What is fetched while this panel is computed: the panel one block ahead, or this one at the end.
  const uint8_t* next_keys;
  const uint8_t* next_values;
};

QW_LANES int64_t panels_per_page(const KvPages& kv) { return (kv.page_tokens + kKeysPerPanel - 1) / kKeysPerPanel; }

static Panel panel_at(const AttendArgs& args, int64_t index, int64_t limit) {
  const KvPages& kv = *args.kv;
  const int64_t each = panels_per_page(kv);
  const int64_t within = index % each * kKeysPerPanel;
  const int64_t element = kv.element_bytes;
  const uint8_t* page = kv.memory + (args.layer * kv.pages + args.page_table[index / each]) * kv.page_bytes;
  Panel panel;
  panel.keys = page + args.kv_head * kv.key_bytes + within * kv.head_size * element;
  panel.values = page + kv.kv_heads * kv.key_bytes + args.kv_head * kv.value_bytes + within * kv.head_size * element;
  panel.position = index / each * kv.page_tokens + within;
  panel.count = least(least(kKeysPerPanel, kv.page_tokens - within), limit - panel.position);
  panel.hidden = nullptr;
  panel.next_keys = panel.keys;
  panel.next_values = panel.values;
  return panel;
}

static void fetch_ahead(Panel& panel, const Panel& next) {
  panel.next_keys = next.keys;
  panel.next_values = next.values;
}

static PanelScales scales_at(const AttendArgs& args, int64_t index) {
  const KvPages& kv = *args.kv;
  const int64_t each = panels_per_page(kv);
  const int64_t within = index % each * kKeysPerPanel;
  const uint8_t* page = kv.memory + (args.layer * kv.pages + args.page_table[index / each]) * kv.page_bytes;
  const uint8_t* keys = page + args.kv_head * kv.key_bytes;
  const uint8_t* values = page + kv.kv_heads * kv.key_bytes + args.kv_head * kv.value_bytes;
  return {reinterpret_cast<const float*>(keys + kv.key_scales) + within, reinterpret_cast<const float*>(values + kv.value_scales) + within,
          reinterpret_cast<const uint16_t*>(keys + kv.key_centre)};
}

static void fetch_scales(const PanelScales& next, int64_t size) {
  __builtin_prefetch(next.keys);
  __builtin_prefetch(next.values);
  for (int64_t e = 0; e < size; e += 32) __builtin_prefetch(next.centre + e);
}

// Panels of the first `length` keys.
static int64_t panels_of(const KvPages& kv, int64_t length) {
  const int64_t last = length - 1;
  return last / kv.page_tokens * panels_per_page(kv) + last % kv.page_tokens / kKeysPerPanel + 1;
}

// Pages are too short (4 to 8 KiB) for the hardware's own prefetch, and a burst of fetches holds up the arithmetic: keys and values of
// the next block are fetched line by line between the products of this one. At 4096 tokens that doubles the speed of decode.
template <class Type>
constexpr int64_t kElementsPerLine = 64 / static_cast<int64_t>(sizeof(typename Type::Element));

template <class Type, int kRows>
QW_LANES void score_rows(const float* const* q, const typename Type::Element* keys, const uint8_t* ahead, int64_t size, float* scores,
                         int64_t stride) {
  constexpr int64_t kStep = kElementsPerLine<Type> / kKeysPerPanel;
  Lanes sums[kRows];
  QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = zero();
  for (int64_t first = 0; first < size; first += kStep, ahead += 64) {
    __builtin_prefetch(ahead);
    QW_UNROLL for (int64_t e = first; e < first + kStep; e++) {
      const Lanes key = Type::read(keys + e * kKeysPerPanel);
      QW_UNROLL for (int r = 0; r < kRows; r++) sums[r] = fma(key, all(q[r][e]), sums[r]);
    }
  }
  QW_UNROLL for (int r = 0; r < kRows; r++) store(scores + r * stride, sums[r]);
}

template <class Type, int kRows>
static void score_tile(const float* const* q, int64_t rows, const typename Type::Element* keys, const uint8_t* ahead, int64_t size,
                       float* scores, int64_t stride) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return score_tile<Type, kRows - 1>(q, rows, keys, ahead, size, scores, stride);
  }
  score_rows<Type, kRows>(q, keys, ahead, size, scores, stride);
}

template <class Type>
static void score_panel(const float* const* q, int64_t rows, const Panel& panel, int64_t size, float* scores, int64_t stride) {
  const auto* keys = reinterpret_cast<const typename Type::Element*>(panel.keys);
  for_tiles<kScoreRows>(rows, [&](int64_t row, int64_t count) __attribute__((always_inline)) {
    const uint8_t* ahead = row == 0 ? panel.next_keys : panel.keys;
    score_tile<Type, kScoreRows>(q + row, count, keys, ahead, size, scores + row * stride, stride);
  });
}

// sums[r] = factor[r] * sums[r] + sum over keys j of weights[r][j] * values[j], for kRows rows and kColumns times 16 elements
template <class Type, int kRows, int kColumns>
QW_LANES void add_values(const Panel* panels, int64_t count, int64_t size, const float* weights, int64_t stride, const float* factors,
                         float* sums) {
  Lanes total[kRows][kColumns];
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    QW_UNROLL for (int c = 0; c < kColumns; c++) total[r][c] = mul(load(sums + r * size + 16 * c), all(factors[r]));
  }
  for (int64_t p = 0; p < count; p++) {
    const auto* values = reinterpret_cast<const typename Type::Element*>(panels[p].values);
    const float* weight = weights + p * kKeysPerPanel;
    const auto* ahead = reinterpret_cast<const typename Type::Element*>(panels[p].next_values);
    for (int64_t j = 0; j < panels[p].count; j++, values += size, ahead += size) {
      __builtin_prefetch(ahead);
      Lanes value[kColumns];
      QW_UNROLL for (int c = 0; c < kColumns; c++) value[c] = Type::read(values + 16 * c);
      QW_UNROLL for (int r = 0; r < kRows; r++) {
        const Lanes w = all(weight[r * stride + j]);
        QW_UNROLL for (int c = 0; c < kColumns; c++) total[r][c] = fma(value[c], w, total[r][c]);
      }
    }
  }
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    QW_UNROLL for (int c = 0; c < kColumns; c++) store(sums + r * size + 16 * c, total[r][c]);
  }
}

template <class Type, int kRows, int kColumns>
static void add_tile(int64_t rows, const Panel* panels, int64_t count, int64_t size, const float* weights, int64_t stride,
                     const float* factors, float* sums) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return add_tile<Type, kRows - 1, kColumns>(rows, panels, count, size, weights, stride, factors, sums);
  }
  add_values<Type, kRows, kColumns>(panels, count, size, weights, stride, factors, sums);
}

template <class Type, int kColumns>
static void add_column(const Panel* panels, int64_t count, int64_t size, int64_t at, int64_t rows, const float* weights, int64_t stride,
                       const float* factors, float* sums) {
  using Element = typename Type::Element;
  Panel shifted[kBlockPanels];
  for (int64_t p = 0; p < count; p++) {
    shifted[p] = panels[p];
    shifted[p].values += at * static_cast<int64_t>(sizeof(Element));
    shifted[p].next_values += at * static_cast<int64_t>(sizeof(Element));
  }
  for_tiles<kSumRows>(rows, [&](int64_t r, int64_t tile) __attribute__((always_inline)) {
    add_tile<Type, kSumRows, kColumns>(tile, shifted, count, size, weights + r * stride, stride, factors + r, sums + r * size + at);
  });
}

}  // namespace qw::QW_TARGET::fp
