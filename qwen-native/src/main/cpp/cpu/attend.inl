// Attention over pages with an online softmax. All query heads of a group and several tokens are the rows of one piece, so that keys
// and values are read once for all of them: 16 keys are a panel, scores = q x panel like a small matrix product; 4 panels are a block
// (its scores stay in L1), and sums += weights x values runs over the block's keys.
//
// Each row is computed by the same operations in the same order whatever other rows the piece has.

namespace qw::QW_TARGET::fp {

struct Panel {
  const uint8_t* keys;
  const uint8_t* values;
  int64_t position;  // of its first key
  int64_t count;     // keys that some row of the piece sees
  // What is fetched while this panel is computed: the panel one block ahead, or this one at the end.
  const uint8_t* next_keys;
  const uint8_t* next_values;
};

// Largest tiles of rows (and of 16 elements side by side): sums, what they are fed with and one broadcast fill the registers.
#if defined(__AVX512F__)
constexpr int kScoreRows = 8, kSumRows = 4, kSumColumns = 4;
#elif defined(__AVX2__)
constexpr int kScoreRows = 6, kSumRows = 6, kSumColumns = 1;
#else
constexpr int kScoreRows = 2, kSumRows = 1, kSumColumns = 2;
#endif

// Tiles of at most kMost rows and even size: 7 rows as 4 and 3, since small tiles wait for the latency of their sums.
template <int64_t kMost, class Fn>
QW_LANES void for_tiles(int64_t rows, Fn fn) {
  const int64_t tiles = (rows + kMost - 1) / kMost;
  int64_t row = 0;
  for (int64_t i = 1; i <= tiles; i++) {
    const int64_t end = rows * i / tiles;
    fn(row, end - row);
    row = end;
  }
}

QW_LANES int64_t panels_per_page(const KvPages& kv) { return (kv.page_tokens + kKeysPerPanel - 1) / kKeysPerPanel; }

static Panel panel_at(const AttendArgs& args, int64_t index, int64_t limit) {
  const KvPages& kv = *args.kv;
  const int64_t each = panels_per_page(kv);
  const int64_t within = index % each * kKeysPerPanel;
  const int64_t element = kv.type == kKvF32 ? 4 : 2;
  const uint8_t* page = kv.memory + (args.layer * kv.pages + args.page_table[index / each]) * kv.page_bytes;
  Panel panel;
  panel.keys = page + args.kv_head * kv.key_bytes + within * kv.head_size * element;
  panel.values = page + kv.kv_heads * kv.key_bytes + args.kv_head * kv.value_bytes + within * kv.head_size * element;
  panel.position = index / each * kv.page_tokens + within;
  panel.count = least(least(kKeysPerPanel, kv.page_tokens - within), limit - panel.position);
  return panel;
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

// Scores of one row in a block -> weights; returns the factor for what was summed before.
static float soften(float* scores, const Panel* panels, int64_t count, int64_t limit, float scale, float& maximum, float& weight) {
  const Lanes nothing = all(-__builtin_inff());
  Lanes row[kBlockPanels];
  Lanes top = nothing;
  bool any = false;
  for (int64_t p = 0; p < count; p++) {
    const int64_t seen = least(panels[p].count, limit - panels[p].position);
    any |= seen > 0;
    row[p] = first(mul(load(scores + p * kKeysPerPanel), all(scale)), static_cast<int>(seen > 0 ? seen : 0), nothing);
    top = max(top, row[p]);
  }
  if (!any) {
    for (int64_t p = 0; p < count; p++) store(scores + p * kKeysPerPanel, zero());
    return 1.f;
  }
  const float block = largest(top);
  const float higher = block > maximum ? block : maximum;
  float factor_lanes[16];
  store(factor_lanes, exp(all(maximum - higher)));
  const float factor = weight == 0.f ? 0.f : factor_lanes[0];
  Lanes total = zero();
  for (int64_t p = 0; p < count; p++) {
    const int64_t seen = least(panels[p].count, limit - panels[p].position);
    const Lanes w = first(exp(sub(row[p], all(higher))), static_cast<int>(seen > 0 ? seen : 0), zero());
    store(scores + p * kKeysPerPanel, w);
    total = add(total, w);
  }
  weight = weight * factor + sum(total);
  maximum = higher;
  return factor;
}

// Queries as the keys of one range see them. Ranges ascend by position.
struct QueryRange {
  int64_t begin;  // position of its first key
  const float* q[kAttendRows];
};

struct QueryRanges {
  int64_t count;
  QueryRange at[kQueryRanges];
};

// The ranges of the keys at the positions begin .. end - 1, with the queries rotated for each.
static void rotate_queries(const AttendArgs& args, int64_t begin, int64_t end, QueryRanges& ranges) {
  const int64_t size = args.kv->head_size;
  const int64_t rows = args.tokens * args.heads;
  const auto q = [&](int64_t r) { return args.q + r / args.heads * args.q_stride + r % args.heads * size; };
  if (args.chunk_length == 0) {
    ranges.count = 1;
    ranges.at[0].begin = 0;
    for (int64_t r = 0; r < rows; r++) ranges.at[0].q[r] = q(r);
    return;
  }
  ranges.count = 0;
  int64_t from = 0;
  for (int64_t section = kOlderChunks; section >= kSameChunk; section--) {
    const int64_t until = section == kSameChunk ? end : args.chunk_begin - (section - kChunkBefore) * args.chunk_length;
    if (until <= from) continue;
    if (until > begin && from < end) {
      float* to = args.rotated + ranges.count * kAttendRows * size;
      QueryRange& range = ranges.at[ranges.count++];
      range.begin = from;
      for (int64_t r = 0; r < rows; r++, to += size) {
        const float* rotation = args.rotations + r / args.heads * args.rotation_stride + section * size;
        rotate_head(q(r), rotation, size / 2, to);
        range.q[r] = to;
      }
    }
    from = until;
  }
}

// Where ranges meet within a panel, it is computed for each of them and put together.
template <class Type>
static void score_ranges(const QueryRanges& ranges, int64_t rows, const Panel& panel, int64_t size, float* scores, int64_t stride) {
  int64_t i = ranges.count - 1;
  while (i > 0 && ranges.at[i].begin > panel.position) i--;
  score_panel<Type>(ranges.at[i].q, rows, panel, size, scores, stride);
  for (i++; i < ranges.count && ranges.at[i].begin < panel.position + panel.count; i++) {
    float later[kAttendRows * kKeysPerPanel];
    score_panel<Type>(ranges.at[i].q, rows, panel, size, later, kKeysPerPanel);
    const int cut = static_cast<int>(ranges.at[i].begin - panel.position);
    for (int64_t r = 0; r < rows; r++) {
      store(scores + r * stride, first(load(scores + r * stride), cut, load(later + r * kKeysPerPanel)));
    }
  }
}

template <class Type>
static void attend_type(const AttendArgs& args, int64_t split, const AttendPart& part) {
  const KvPages& kv = *args.kv;
  const int64_t size = kv.head_size;
  const int64_t rows = args.tokens * args.heads;
  const int64_t stride = kBlockPanels * kKeysPerPanel;
  const int64_t limit = args.first_limit + args.tokens - 1;
  const int64_t last = limit - 1;
  const int64_t each = panels_per_page(kv);
  const int64_t panels_total = last / kv.page_tokens * each + last % kv.page_tokens / kKeysPerPanel + 1;
  const int64_t end = least(panels_total, (split + 1) * kSplitPanels);
  float factors[kAttendRows];
  QueryRanges ranges;
  rotate_queries(args, panel_at(args, split * kSplitPanels, limit).position, limit, ranges);
  for (int64_t r = 0; r < rows; r++) {
    part.maximum[r] = -__builtin_inff();
    part.weight[r] = 0;
  }
  for (int64_t i = 0; i < rows * size; i += 16) store(part.sums + i, zero());

  for (int64_t index = split * kSplitPanels; index < end; index += kBlockPanels) {
    const int64_t count = least(kBlockPanels, end - index);
    Panel panels[kBlockPanels];
    for (int64_t p = 0; p < count; p++) {
      panels[p] = panel_at(args, index + p, limit);
      panels[p].next_keys = panels[p].keys;
      panels[p].next_values = panels[p].values;
      if (index + kBlockPanels + p < end) {
        const Panel next = panel_at(args, index + kBlockPanels + p, limit);
        panels[p].next_keys = next.keys;
        panels[p].next_values = next.values;
      }
      score_ranges<Type>(ranges, rows, panels[p], size, args.scores + p * kKeysPerPanel, stride);
    }
    for (int64_t r = 0; r < rows; r++) {
      factors[r] = soften(args.scores + r * stride, panels, count, args.first_limit + r / args.heads, args.scale, part.maximum[r],
                          part.weight[r]);
    }
    int64_t at = 0;
    for (; at + 16 * kSumColumns <= size; at += 16 * kSumColumns) {
      add_column<Type, kSumColumns>(panels, count, size, at, rows, args.scores, stride, factors, part.sums);
    }
    for (; at < size; at += 16) add_column<Type, 1>(panels, count, size, at, rows, args.scores, stride, factors, part.sums);
  }
}

static void attend(const AttendArgs& args, int64_t split, const AttendPart& part) {
  switch (args.kv->type) {
    case kKvF32: attend_type<F32>(args, split, part); break;
    case kKvF16: attend_type<F16>(args, split, part); break;
    default: attend_type<BF16>(args, split, part);
  }
}

static void attend_merge(int64_t rows, int64_t head_size, const AttendPart& part, const AttendPart& total) {
  for (int64_t r = 0; r < rows; r++) {
    if (part.weight[r] == 0.f) continue;
    const float higher = part.maximum[r] > total.maximum[r] ? part.maximum[r] : total.maximum[r];
    float old_factor[16], new_factor[16];
    store(old_factor, exp(all(total.maximum[r] - higher)));
    store(new_factor, exp(all(part.maximum[r] - higher)));
    for (int64_t e = 0; e < head_size; e += 16) {
      float* to = total.sums + r * head_size + e;
      store(to, fma(load(part.sums + r * head_size + e), all(new_factor[0]), mul(load(to), all(old_factor[0]))));
    }
    total.weight[r] = total.weight[r] * old_factor[0] + part.weight[r] * new_factor[0];
    total.maximum[r] = higher;
  }
}

static void attend_finish(int64_t tokens, int64_t heads, int64_t head_size, const AttendPart& total, float* out, int64_t out_stride) {
  for (int64_t r = 0; r < tokens * heads; r++) {
    const Lanes scale = all(1.f / total.weight[r]);
    float* to = out + r / heads * out_stride + r % heads * head_size;
    for (int64_t e = 0; e < head_size; e += 16) store(to + e, mul(load(total.sums + r * head_size + e), scale));
  }
}

}  // namespace qw::QW_TARGET::fp
