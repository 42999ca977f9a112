// The two ways through a quantized matrix.
//
// Few tokens (decode): every panel is read once, unpacked in registers and multiplied with all tokens, whose sums stay in
// registers; memory bandwidth is the limit, so nothing is written but the result.
//
// Many tokens (prefill): passes of 512 columns of a panel are unpacked once into a byte per code and a float per scale (17 to
// 24 KiB for two panels, kept in the first-level cache) and used for up to kChunkTokens tokens, a register tile of kTilePanels
// panels x kTileTokens tokens at a time. The float sums of the chunk wait in a buffer between passes.

namespace qw::QW_TARGET {
namespace {

// 120 tokens, a multiple of all tiles, spread the unpacking of a pass thin (about 50 cycles of 120 * 11 a group) and keep the sums
// of two panels in 15 KiB.
constexpr int kChunkTokens = 120;

// Code is made for 8, 4, 2, 1 tokens or 6, 4, 2, 1 only: for every number up to 8 the four targets took twice as long to compile.
constexpr int smaller(int tokens) { return tokens == 6 ? 4 : tokens / 2; }


QW_INLINE void write_rows(const MultiplyArgs& a, int64_t panel, int64_t token, F32x16 sum) {
  const int64_t row = panel * kPanelRows;
  float* y = a.y + token * a.y_stride + row;
  const float* base = a.add ? y : a.bias ? a.bias + row : nullptr;
  if (a.rows - row >= kPanelRows) {
    store_f32(y, base ? add(load_f32(base), sum) : sum);
    return;
  }
  float part[kPanelRows];
  store_f32(part, sum);
  for (int64_t r = 0; r < a.rows - row; r++) y[r] = base ? base[r] + part[r] : part[r];
}

// One panel times T tokens, straight from the packed form.
template <class Type, int T>
static void multiply_direct(const MultiplyArgs& a, int64_t panel, int64_t token) {
  using S = Shape<Type>;
  using P = Panel<Type>;
  const int64_t groups = a.columns / kGroupColumns;
  const uint8_t* head = a.panels + panel * P::bytes(a.columns);
  const int8_t* q = a.q8.q + token * a.columns;
  const float* x_scale = a.q8.scale + token * groups;
  const int16_t* sum16 = a.q8.sum16 + token * 2 * groups;
  F32x16 y[1][T];
  unroll<T>([&](auto t) QW_INLINE_LAMBDA { y[0][t.value] = zero_f32(); });
  Sums<S> sums[T];
  for (int64_t pass = 0; pass < groups; pass += kPassGroups) {
    const int present = static_cast<int>(min_of(kPassGroups, groups - pass));
    unroll<T>([&](auto t) QW_INLINE_LAMBDA { sums[t.value].fill(sum16 + 2 * (pass + t.value * groups), present); });
    for (int first = 0; first < present; first += P::kGroups, head += P::kBytes) {
      HeadScales h;
      P::Scales::head(head, h);
      prefetch_group<P::kHeadBytes>(head);  // of a superblock of Q4_K 5 lines in 37 would be missed
      const int in_head = static_cast<int>(min_of(P::kGroups, present - first));
      for (int g = 0; g < in_head; g++) {
        const uint8_t* codes = P::codes(head, g);
        prefetch_group<P::Storage::kGroupBytes>(codes);
        const int64_t group = pass + first + g;
        unroll<S::kSpansOfGroup>([&](auto s) QW_INLINE_LAMBDA {
          span_product<S, 1, T>(
              [&](auto, auto j) QW_INLINE_LAMBDA { return P::template weights<s.value * S::kVectors + j.value>(codes); },
              [&](auto, SpanScales& scales) QW_INLINE_LAMBDA { P::Scales::span(head, h, g, s.value, scales); },
              q + group * kGroupColumns + s.value * 4 * S::kVectors, a.columns, x_scale + group, groups, sums,
              (first + g) * S::kSpansOfGroup + s.value, y);
        });
      }
    }
  }
  unroll<T>([&](auto t) QW_INLINE_LAMBDA { write_rows(a, panel, token + t.value, y[0][t.value]); });
}

// One pass of one panel, unpacked.
template <class S>
struct Unpacked {
  alignas(64) uint8_t codes[kPassGroups * kGroupCodes];
  alignas(64) float scale[S::kSpans * kPanelRows];
  alignas(64) float minimum[S::kMinimum ? S::kSpans * kPanelRows : 1];
};

template <class Type>
static void unpack(const uint8_t* panel, int64_t pass, int present, Unpacked<Shape<Type>>& out) {
  using P = Panel<Type>;
  constexpr int kSpans = Shape<Type>::kSpansOfGroup;
  for (int i = 0; i < present; i++) {
    const uint8_t* head = P::head(panel, pass + i);
    const int g = static_cast<int>((pass + i) % P::kGroups);
    const uint8_t* codes = P::codes(head, g);
    HeadScales h;
    P::Scales::head(head, h);
    unroll<kGroupVectors>([&](auto j) QW_INLINE_LAMBDA {
      store_bytes(out.codes + i * kGroupCodes + j.value * kVectorBytes, P::template weights<j.value>(codes));
    });
    unroll<kSpans>([&](auto s) QW_INLINE_LAMBDA {
      SpanScales scales;
      P::Scales::span(head, h, g, s.value, scales);
      const int at = (i * kSpans + s.value) * kPanelRows;
      store_f32(out.scale + at, scales.scale);
      if constexpr (Type::Scales::kMinimum) store_f32(out.minimum + at, scales.minimum);
    });
  }
}

// Where a tile finds the tokens of its first row, at the first column of the pass.
struct TileInput {
  const int8_t* q;
  const float* x_scale;
  const int16_t* sum16;
  int64_t columns;
  int present;  // groups
};

template <class S, int P, int T>
static void multiply_tile(const Unpacked<S>* w, const TileInput& in, bool first_pass, float* partial) {
  const int64_t groups = in.columns / kGroupColumns;
  Sums<S> sums[T];
  unroll<T>([&](auto t) QW_INLINE_LAMBDA { sums[t.value].fill(in.sum16 + t.value * 2 * groups, in.present); });
  F32x16 y[P][T];
  unroll<P>([&](auto p) QW_INLINE_LAMBDA {
    unroll<T>([&](auto t) QW_INLINE_LAMBDA {
      y[p.value][t.value] = first_pass ? zero_f32() : load_f32(partial + (p.value * kChunkTokens + t.value) * kPanelRows);
    });
  });
  for (int i = 0; i < in.present; i++) {
    unroll<S::kSpansOfGroup>([&](auto s) QW_INLINE_LAMBDA {
      const int span = i * S::kSpansOfGroup + s.value;
      span_product<S, P, T>(
          [&](auto p, auto j) QW_INLINE_LAMBDA {
            return load_bytes(w[p.value].codes + (span * S::kVectors + j.value) * kVectorBytes);
          },
          [&](auto p, SpanScales& scales) QW_INLINE_LAMBDA {
            scales.scale = load_f32(w[p.value].scale + span * kPanelRows);
            if constexpr (S::kMinimum) scales.minimum = load_f32(w[p.value].minimum + span * kPanelRows);
          },
          in.q + span * 4 * S::kVectors, in.columns, in.x_scale + i, groups, sums, span, y);
    });
  }
  unroll<P>([&](auto p) QW_INLINE_LAMBDA {
    unroll<T>([&](auto t) QW_INLINE_LAMBDA {
      store_f32(partial + (p.value * kChunkTokens + t.value) * kPanelRows, y[p.value][t.value]);
    });
  });
}

// The largest tile for at most `tokens` (1 or more) tokens; returns how many it took.
template <class S, int P, int T>
static int multiply_tile_of(int tokens, const Unpacked<S>* w, const TileInput& in, bool first_pass, float* partial) {
  if constexpr (T > 1) {
    if (tokens < T) return multiply_tile_of<S, P, smaller(T)>(tokens, w, in, first_pass, partial);
  }
  multiply_tile<S, P, T>(w, in, first_pass, partial);
  return T;
}

// The lines begin / all up to end / all of what a pass reads of one panel, into the second-level cache.
template <class Type>
QW_INLINE void prefetch_pass(const uint8_t* at, int begin, int end, int all) {
  constexpr int kLines = static_cast<int>(kPassGroups / Panel<Type>::kGroups * Panel<Type>::kBytes / 64);
  for (int i = kLines * begin / all; i < kLines * end / all; i++) __builtin_prefetch(at + 64 * i, 0, 2);
}

// P panels times the tokens token .. token + tokens - 1, at most kChunkTokens
template <class Type, int P>
static void multiply_chunk(const MultiplyArgs& a, int64_t panel, int64_t token, int tokens) {
  using S = Shape<Type>;
  const int64_t groups = a.columns / kGroupColumns, panel_bytes = Panel<Type>::bytes(a.columns);
  Unpacked<S> w[P];
  alignas(64) float partial[P * kChunkTokens * kPanelRows];
  for (int64_t pass = 0; pass < groups; pass += kPassGroups) {
    const int present = static_cast<int>(min_of(kPassGroups, groups - pass));
    const uint8_t* packed = a.panels + panel * panel_bytes;
    for (int p = 0; p < P; p++) unpack<Type>(packed + p * panel_bytes, pass, present, w[p]);
    // Unpacking reads in bursts that the hardware does not see coming: the next pass is fetched between the tiles of this one.
    const int64_t next = pass + kPassGroups;
    const uint8_t* ahead = next < groups ? Panel<Type>::head(packed, next) : packed + P * panel_bytes;
    for (int t = 0; t < tokens;) {
      const TileInput in{a.q8.q + (token + t) * a.columns + pass * kGroupColumns, a.q8.scale + (token + t) * groups + pass,
                         a.q8.sum16 + 2 * ((token + t) * groups + pass), a.columns, present};
      const int done = multiply_tile_of<S, P, kTileTokens>(tokens - t, w, in, pass == 0, partial + t * kPanelRows);
      for (int p = 0; p < P; p++) prefetch_pass<Type>(ahead + p * panel_bytes, t, t + done, tokens);
      t += done;
    }
  }
  for (int p = 0; p < P; p++) {
    for (int t = 0; t < tokens; t++) write_rows(a, panel + p, token + t, load_f32(partial + (p * kChunkTokens + t) * kPanelRows));
  }
}

// Tokens token .. token + tokens - 1, as many at once as there is code for.
template <class Type, int T>
static void multiply_direct_of(const MultiplyArgs& a, int64_t panel, int64_t token, int64_t tokens) {
  for (; tokens >= T; token += T, tokens -= T) multiply_direct<Type, T>(a, panel, token);
  if constexpr (T > 1) {
    if (tokens > 0) multiply_direct_of<Type, smaller(T)>(a, panel, token, tokens);
  }
}

template <class Type>
static void multiply(const MultiplyArgs& a) {
  if (a.tokens <= kDirectMost) {
    for (int64_t panel = a.panel_begin; panel < a.panel_end; panel++) {
      multiply_direct_of<Type, kDirectTokens>(a, panel, 0, a.tokens);  // from the second pass on the panel comes from cache
    }
    return;
  }
  for (int64_t token = 0; token < a.tokens; token += kChunkTokens) {
    const int tokens = static_cast<int>(min_of(kChunkTokens, a.tokens - token));
    int64_t panel = a.panel_begin;
    for (; panel + kTilePanels <= a.panel_end; panel += kTilePanels) multiply_chunk<Type, kTilePanels>(a, panel, token, tokens);
    if constexpr (kTilePanels > 1) {
      for (; panel < a.panel_end; panel++) multiply_chunk<Type, 1>(a, panel, token, tokens);
    }
  }
}

}  // namespace
}  // namespace qw::QW_TARGET
