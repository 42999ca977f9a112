// Attention over pages with an online softmax. All query heads of a group and several tokens are the rows of one piece, so that keys
// and values are read once for all of them: 16 keys are a panel, scores = q x panel like a small matrix product; 4 panels are a block
// (its scores stay in L1), and sums += weights x values runs over the block's keys.
//
// Each row is computed by the same operations in the same order whatever other rows the piece has.

namespace qw::QW_TARGET::fp {

// Scores of one row in a block -> weights; returns the factor for what was summed before.
template <bool kHidden>
static float soften(float* scores, const Panel* panels, int64_t count, int64_t limit, float scale, float& maximum, float& weight) {
  const Lanes nothing = all(-__builtin_inff());
  Lanes row[kBlockPanels];
  Lanes top = nothing;
  bool any = false;
  for (int64_t p = 0; p < count; p++) {
    const int64_t seen = least(panels[p].count, limit - panels[p].position);
    any |= seen > 0;
    row[p] = first(mul(load(scores + p * kKeysPerPanel), all(scale)), static_cast<int>(seen > 0 ? seen : 0), nothing);
    if constexpr (kHidden) row[p] = add(row[p], load(panels[p].hidden));
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

static void begin_part(int64_t rows, int64_t size, const AttendPart& part) {
  for (int64_t r = 0; r < rows; r++) {
    part.maximum[r] = -__builtin_inff();
    part.weight[r] = 0;
  }
  for (int64_t i = 0; i < rows * size; i += 16) store(part.sums + i, zero());
}

// Softened scores of a block -> sums; what was summed before is multiplied by `factors`.
template <class Type>
static void add_block(const AttendArgs& args, const Panel* panels, const PanelScales* scales, int64_t count, const float* factors,
                      float* sums) {
  const int64_t size = args.kv->head_size;
  const int64_t rows = args.tokens * args.heads;
  const int64_t stride = kBlockPanels * kKeysPerPanel;
  int64_t at = 0;
  if constexpr (kIntegers<Type>) {
    float weight_scales[kAttendRows];
    for (int64_t r = 0; r < rows; r++) {
      int64_t seen[kBlockPanels];
      for (int64_t p = 0; p < count; p++) {
        const int64_t before = least(panels[p].count, args.first_limit + r / args.heads - panels[p].position);
        seen[p] = before > 0 ? before : 0;
      }
      weight_scales[r] = narrow_weights(args.scores + r * stride, scales, seen, count);
    }
    ValuePanel values[kBlockPanels];
    for (int64_t p = 0; p < count; p++) values[p] = {panels[p].values, panels[p].next_values, panels[p].count};
    for (; at + 16 * kSumColumns <= size; at += 16 * kSumColumns) {
      add_column_int8<kSumColumns>(values, count, size, at, rows, args.scores, factors, weight_scales, sums);
    }
    for (; at < size; at += 16) add_column_int8<1>(values, count, size, at, rows, args.scores, factors, weight_scales, sums);
  } else {
    for (; at + 16 * kSumColumns <= size; at += 16 * kSumColumns) {
      add_column<Type, kSumColumns>(panels, count, size, at, rows, args.scores, stride, factors, sums);
    }
    for (; at < size; at += 16) add_column<Type, 1>(panels, count, size, at, rows, args.scores, stride, factors, sums);
  }
}

// Adds a block of at most kBlockPanels panels to a part. With kHidden every panel has hidden keys, and each row has seen a key before.
template <class Type, bool kHidden>
static void attend_block(const AttendArgs& args, QueryRanges& ranges, const Panel* panels, const PanelScales* scales, int64_t count,
                         const AttendPart& part) {
  const int64_t size = args.kv->head_size;
  const int64_t rows = args.tokens * args.heads;
  constexpr int64_t stride = kBlockPanels * kKeysPerPanel;
  float factors[kAttendRows];
  for (int64_t p = 0; p < count; p++) {
    score_ranges<Type>(ranges, rows, panels[p], scales[p], size, args.scores + p * kKeysPerPanel, stride);
  }
  for (int64_t r = 0; r < rows; r++) {
    factors[r] = soften<kHidden>(args.scores + r * stride, panels, count, args.first_limit + r / args.heads, args.scale, part.maximum[r],
                                 part.weight[r]);
  }
  add_block<Type>(args, panels, scales, count, factors, part.sums);
}

// The panels at `count` indices, with those of one block later fetched ahead while there are any.
template <class Type, class Index>
QW_LANES void open_block(const AttendArgs& args, int64_t limit, int64_t count, int64_t left, Index index, Panel* panels, PanelScales* scales) {
  for (int64_t p = 0; p < count; p++) {
    panels[p] = panel_at(args, index(p), limit);
    if constexpr (kIntegers<Type>) scales[p] = scales_at(args, index(p));
    if (kBlockPanels + p < left) {
      fetch_ahead(panels[p], panel_at(args, index(kBlockPanels + p), limit));
      if constexpr (kIntegers<Type>) fetch_scales(scales_at(args, index(kBlockPanels + p)), args.kv->head_size);
    }
  }
}

template <class Type>
static void attend_type(const AttendArgs& args, int64_t split, const AttendPart& part) {
  const int64_t limit = args.first_limit + args.tokens - 1;
  const int64_t end = least(panels_of(*args.kv, limit), (split + 1) * kSplitPanels);
  QueryRanges ranges;
  rotate_queries(args, panel_at(args, split * kSplitPanels, limit).position, limit, ranges);
  if constexpr (kIntegers<Type>) narrow_queries(args, ranges);
  begin_part(args.tokens * args.heads, args.kv->head_size, part);
  Panel panels[kBlockPanels];
  PanelScales scales[kBlockPanels];
  for (int64_t first = split * kSplitPanels; first < end; first += kBlockPanels) {
    const int64_t count = least(kBlockPanels, end - first);
    open_block<Type>(args, limit, count, end - first, [&](int64_t p) __attribute__((always_inline)) { return first + p; }, panels, scales);
    attend_block<Type, false>(args, ranges, panels, scales, count, part);
  }
}

static void attend(const AttendArgs& args, int64_t split, const AttendPart& part) {
  switch (args.kv->type) {
    case kKvF32: attend_type<F32>(args, split, part); break;
    case kKvF16: attend_type<F16>(args, split, part); break;
    case kKvInt8: attend_type<Int8>(args, split, part); break;
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
