// The queries of a piece, and in dual chunk attention their rotations for each range of keys.

namespace qw::QW_TARGET::fp {

// Queries as the keys of one range see them. Ranges ascend by position.
struct QueryRange {
  int64_t begin;  // position of its first key
  const float* q[kAttendRows];
  // kKvInt8: the queries as integers, and their products with the centre of keys that was met last
  NarrowRows narrow;
  const uint16_t* centre;
  float centre_scores[kAttendRows];
};

struct QueryRanges {
  int64_t count;
  QueryRange at[kQueryRanges];
};

// The ranges of the keys at the positions begin .. end - 1, with the queries rotated for each; beyond: what is added to the section of
// other chunks.
static void rotate_queries(const AttendArgs& args, int64_t begin, int64_t end, QueryRanges& ranges, int64_t beyond = 0) {
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
      const int64_t shown = section == kSameChunk ? section : section + beyond;
      for (int64_t r = 0; r < rows; r++, to += size) {
        const float* rotation = args.rotations + r / args.heads * args.rotation_stride + shown * size;
        rotate_head(q(r), rotation, size / 2, to);
        range.q[r] = to;
      }
    }
    from = until;
  }
}

static void narrow_queries(const AttendArgs& args, QueryRanges& ranges) {
  const int64_t size = args.kv->head_size;
  const int64_t rows = args.tokens * args.heads;
  int16_t* to = args.narrow;
  for (int64_t i = 0; i < ranges.count; i++) {
    QueryRange& range = ranges.at[i];
    range.centre = nullptr;
    range.narrow.pairs = to;
    range.narrow.rows = rows;
    for (int64_t r = 0; r < rows; r++) narrow_query(range.q[r], size, r, to, range.narrow);
    to += rows * size;
  }
}

template <class Type>
static void score_range(QueryRange& range, int64_t rows, const Panel& panel, const PanelScales& scales, int64_t size, float* scores,
                        int64_t stride) {
  if constexpr (kIntegers<Type>) {
    if (range.centre != scales.centre) score_centre(range.q, rows, scales.centre, size, range.centre_scores);
    range.centre = scales.centre;
    score_panel_int8(range.narrow, rows, panel.keys, panel.next_keys, size, scales.keys, range.centre_scores, scores, stride);
  } else {
    score_panel<Type>(range.q, rows, panel, size, scores, stride);
  }
}

// Where ranges meet within a panel, it is computed for each of them and put together.
template <class Type>
static void score_ranges(QueryRanges& ranges, int64_t rows, const Panel& panel, const PanelScales& scales, int64_t size, float* scores,
                         int64_t stride) {
  int64_t i = ranges.count - 1;
  while (i > 0 && ranges.at[i].begin > panel.position) i--;
  score_range<Type>(ranges.at[i], rows, panel, scales, size, scores, stride);
  for (i++; i < ranges.count && ranges.at[i].begin < panel.position + panel.count; i++) {
    float later[kAttendRows * kKeysPerPanel];
    score_range<Type>(ranges.at[i], rows, panel, scales, size, later, kKeysPerPanel);
    const int cut = static_cast<int>(ranges.at[i].begin - panel.position);
    for (int64_t r = 0; r < rows; r++) {
      store(scores + r * stride, first(load(scores + r * stride), cut, load(later + r * kKeysPerPanel)));
    }
  }
}

}  // namespace qw::QW_TARGET::fp
