// Sparse attention: which keys the last queries of a run find heavy, and attention over chosen keys.

namespace qw::QW_TARGET::fp {

// diagonals[c] += sum over r of skewed[r][c]: the weights of a row stand one place further left than those of the row before it, so that
// weights of one distance stand in one column. Only the places that every panel writes are ever other than 0.
QW_LANES void add_skewed(const float* skewed, int64_t rows, float* diagonals) {
  constexpr int64_t stride = kAttendRows + kKeysPerPanel;
  for (int64_t c = 0; c < stride; c += 16) {
    Lanes total = load(diagonals + c);
    for (int64_t r = 0; r < rows; r++) total = add(total, load(skewed + r * stride + c));
    store(diagonals + c, total);
  }
}

// Scores of the keys of one panel.
template <class Type>
static Panel score_keys(const AttendArgs& args, QueryRanges& ranges, int64_t index, int64_t limit) {
  const Panel panel = panel_at(args, index, limit);
  PanelScales scales{};
  if constexpr (kIntegers<Type>) scales = scales_at(args, index);
  score_ranges<Type>(ranges, args.tokens, panel, scales, args.kv->head_size, args.scores, kBlockPanels * kKeysPerPanel);
  return panel;
}

template <class Type>
static void weigh_keys_type(const AttendArgs& args, const KeyWeights& weights, const AttendPart& part) {
  const int64_t size = args.kv->head_size;
  const int64_t rows = args.tokens;
  const int64_t limit = args.first_limit + rows - 1;
  const int64_t panels = panels_of(*args.kv, limit);
  constexpr int64_t stride = kBlockPanels * kKeysPerPanel;
  constexpr int64_t skew = kAttendRows + kKeysPerPanel;
  QueryRanges ranges;
  rotate_queries(args, 0, limit, ranges, kUncappedChunkBefore - kChunkBefore);
  if constexpr (kIntegers<Type>) narrow_queries(args, ranges);
  begin_part(rows, size, part);
  for (int64_t i = 0; i < panels; i++) {
    const Panel panel = score_keys<Type>(args, ranges, i, limit);
    for (int64_t r = 0; r < rows; r++) {
      soften<false>(args.scores + r * stride, &panel, 1, args.first_limit + r, args.scale, part.maximum[r], part.weight[r]);
    }
  }
  for (int64_t i = 0; i < rows * skew; i += 16) store(weights.skewed + i, zero());
  for (int64_t i = 0; i < limit + kKeysPerPanel; i++) weights.columns[i] = 0;
  for (int64_t i = 0; i < limit + skew; i++) weights.diagonals[i] = 0;
  for (int64_t i = 0; i < panels; i++) {
    const Panel panel = score_keys<Type>(args, ranges, i, limit);
    Lanes column = load(weights.columns + panel.position);
    for (int64_t r = 0; r < rows; r++) {
      const int64_t seen = least(panel.count, args.first_limit + r - panel.position);
      const Lanes score = sub(mul(load(args.scores + r * stride), all(args.scale)), all(part.maximum[r]));
      const Lanes weight = first(mul(exp(score), all(1.f / part.weight[r])), static_cast<int>(seen > 0 ? seen : 0), zero());
      column = add(column, weight);
      store(weights.skewed + r * skew + rows - 1 - r, weight);
    }
    store(weights.columns + panel.position, column);
    add_skewed(weights.skewed, rows, weights.diagonals + panel.position);
  }
}

static void weigh_keys(const AttendArgs& args, const KeyWeights& weights, const AttendPart& part) {
  switch (args.kv->type) {
    case kKvF32: weigh_keys_type<F32>(args, weights, part); break;
    case kKvF16: weigh_keys_type<F16>(args, weights, part); break;
    case kKvInt8: weigh_keys_type<Int8>(args, weights, part); break;
    default: weigh_keys_type<BF16>(args, weights, part);
  }
}

static void clear_from(int64_t count, int64_t size, float* keys, float* values) {
  for (int64_t i = count; i < kKeysPerPanel; i++) {
    for (int64_t e = 0; e < size; e++) keys[e * kKeysPerPanel + i] = 0;
    for (int64_t e = 0; e < size; e += 16) store(values + i * size + e, zero());
  }
}

template <class Type>
static void gather_type(const AttendArgs& args, const int32_t* positions, int64_t count, float* keys, float* values) {
  const int64_t size = args.kv->head_size;
  for (int64_t i = 0; i < count; i++) {
    const int64_t within = positions[i] % kKeysPerPanel;
    const Panel panel = panel_at(args, positions[i] / kKeysPerPanel, positions[i] + 1);
    const auto* from = reinterpret_cast<const typename Type::Element*>(panel.keys);
    for (int64_t e = 0; e < size; e++) {
      float lanes[kKeysPerPanel];
      store(lanes, Type::read(from + e * kKeysPerPanel));
      keys[e * kKeysPerPanel + i] = lanes[within];
    }
    const auto* value = reinterpret_cast<const typename Type::Element*>(panel.values) + within * size;
    for (int64_t e = 0; e < size; e += 16) store(values + i * size + e, Type::read(value + e));
  }
  clear_from(count, size, keys, values);
}

static void gather_int8(const AttendArgs& args, const int32_t* positions, int64_t count, float* keys, float* values) {
  const int64_t size = args.kv->head_size;
  for (int64_t i = 0; i < count; i++) {
    const int64_t within = positions[i] % kKeysPerPanel;
    const Panel panel = panel_at(args, positions[i] / kKeysPerPanel, positions[i] + 1);
    const PanelScales scales = scales_at(args, positions[i] / kKeysPerPanel);
    const auto* key = reinterpret_cast<const int8_t*>(panel.keys) + 2 * within;
    const auto* value = reinterpret_cast<const int8_t*>(panel.values) + within / 2 * (2 * size) + within % 2;
    for (int64_t first = 0; first < size; first += 16) {
      float centre[16];
      store(centre, load_f16(scales.centre + first));
      for (int64_t e = first; e < first + 16; e++) {
        keys[e * kKeysPerPanel + i] = scales.keys[within] * key[e / 2 * (2 * kKeysPerPanel) + e % 2] + centre[e - first];
        values[i * size + e] = scales.values[within] * value[2 * e];
      }
    }
  }
  clear_from(count, size, keys, values);
}

static void gather_keys(const AttendArgs& args, const int32_t* positions, int64_t count, float* keys, float* values) {
  switch (args.kv->type) {
    case kKvF32: gather_type<F32>(args, positions, count, keys, values); break;
    case kKvF16: gather_type<F16>(args, positions, count, keys, values); break;
    case kKvInt8: gather_int8(args, positions, count, keys, values); break;
    default: gather_type<BF16>(args, positions, count, keys, values);
  }
}

static Panel gathered_panel(const AttendArgs& args, const ChosenKeys& keys, int64_t index) {
  const int64_t size = args.kv->head_size;
  Panel panel;
  panel.keys = reinterpret_cast<const uint8_t*>(keys.keys + index * kKeysPerPanel * size);
  panel.values = reinterpret_cast<const uint8_t*>(keys.values + index * kKeysPerPanel * size);
  panel.position = keys.positions[index * kKeysPerPanel];
  panel.count = keys.counts[index];
  panel.hidden = keys.hidden + index * kKeysPerPanel;
  panel.next_keys = panel.keys;
  panel.next_values = panel.values;
  return panel;
}

template <class Type>
static void attend_chosen_type(const AttendArgs& args, const ChosenKeys& keys, const AttendPart& part) {
  const int64_t limit = args.first_limit + args.tokens - 1;
  QueryRanges ranges;
  rotate_queries(args, 0, limit, ranges);
  if constexpr (kIntegers<Type>) narrow_queries(args, ranges);
  begin_part(args.tokens * args.heads, args.kv->head_size, part);
  Panel panels[kBlockPanels];
  PanelScales scales[kBlockPanels];
  for (int64_t at = 0; at < keys.panel_count; at += kBlockPanels) {
    const int64_t count = least(kBlockPanels, keys.panel_count - at);
    open_block<Type>(args, limit, count, keys.panel_count - at, [&](int64_t p) __attribute__((always_inline)) { return keys.panels[at + p]; },
                     panels, scales);
    attend_block<Type, false>(args, ranges, panels, scales, count, part);
  }
  for (int64_t at = 0; at < keys.gathered_count; at += kBlockPanels) {
    const int64_t count = least(kBlockPanels, keys.gathered_count - at);
    for (int64_t p = 0; p < count; p++) panels[p] = gathered_panel(args, keys, keys.gathered[at + p]);
    attend_block<F32, true>(args, ranges, panels, scales, count, part);
  }
}

static void attend_chosen(const AttendArgs& args, const ChosenKeys& keys, const AttendPart& part) {
  switch (args.kv->type) {
    case kKvF32: attend_chosen_type<F32>(args, keys, part); break;
    case kKvF16: attend_chosen_type<F16>(args, keys, part); break;
    case kKvInt8: attend_chosen_type<Int8>(args, keys, part); break;
    default: attend_chosen_type<BF16>(args, keys, part);
  }
}

}  // namespace qw::QW_TARGET::fp
