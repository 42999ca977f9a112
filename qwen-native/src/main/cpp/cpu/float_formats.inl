// F32, F16 and BF16 weights. A panel is columns x 16 values of the file's own width: column c of the 16 rows side by side.
//
// Arithmetic: every sum runs over the columns from first to last in one f32 accumulator (fused where the target can), whatever the
// tile. A token's result is therefore the same bits alone and in any batch. Decode reads each weight once and is bound by memory: one
// chain for each panel gives 64 bytes in 4 cycles, beyond what a core reads. Prefill keeps kTilePanels x kTileTokens sums in registers
// and converts weights as it reads them: widening does not use the FMA ports, and f32 copies in the cache (128 columns at a time, with
// the input copied beside them) were 5 to 30 % slower with AVX-512 and AVX2; only the baseline's F16 would gain.

#include "cpu/transpose.h"

namespace qw::QW_TARGET::fp {

template <class Type>
static int64_t float_panel_bytes(int64_t columns) {
  const int64_t bytes = columns * kPanelRows * static_cast<int64_t>(sizeof(typename Type::Element));
  return (bytes + 63) & ~int64_t{63};
}

template <class Type>
static void float_pack(const uint8_t* rows, int64_t count, int64_t columns, uint8_t* panel) {
  using Element = typename Type::Element;
  constexpr int64_t kElement = sizeof(Element), kSquare = 16 / kElement, kColumnBytes = kPanelRows * kElement;
  const int64_t row_bytes = columns * kElement;
  int64_t c = 0;
  if (count == kPanelRows) {
    for (; c + kSquare <= columns; c += kSquare) {
      for (int64_t r = 0; r < kPanelRows; r += kSquare) {
        const uint8_t* from = rows + r * row_bytes + c * kElement;
        uint8_t* to = panel + c * kColumnBytes + r * kElement;
        if constexpr (kElement == 4) {
          transpose_4x4(from, row_bytes, to, kColumnBytes);
        } else {
          transpose_8x8(from, row_bytes, to, kColumnBytes);
        }
      }
    }
  }
  for (; c < columns; c++) {
    for (int64_t r = 0; r < kPanelRows; r++) {
      Element value{};
      if (r < count) __builtin_memcpy(&value, rows + r * row_bytes + c * kElement, sizeof value);
      __builtin_memcpy(panel + c * kColumnBytes + r * kElement, &value, sizeof value);
    }
  }
  const int64_t used = columns * kColumnBytes;
  __builtin_memset(panel + used, 0, static_cast<size_t>(float_panel_bytes<Type>(columns) - used));
}

template <class Type>
static void float_decode_row(const uint8_t* panel, int64_t columns, int64_t row, float* out) {
  const typename Type::Element* from = reinterpret_cast<const typename Type::Element*>(panel);
  for (int64_t c = 0; c < columns; c++) {
    float values[kPanelRows];
    store(values, Type::read(from + c * kPanelRows));
    out[c] = values[row];
  }
}

// y = sum + what is there or the bias, for the valid rows of one panel.
QW_LANES void put_row(const MultiplyArgs& args, int64_t row, float* y, Lanes sum) {
  const int64_t valid = least(kPanelRows, args.rows - row);
  if (valid == kPanelRows) {
    if (args.add) sum = fp::add(sum, load(y));
    if (args.bias != nullptr) sum = fp::add(sum, load(args.bias + row));
    store(y, sum);
    return;
  }
  float values[kPanelRows];
  store(values, sum);
  for (int64_t r = 0; r < valid; r++) {
    y[r] = values[r] + (args.add ? y[r] : args.bias != nullptr ? args.bias[row + r] : 0.f);
  }
}

// The first tile of a panel reads it from memory. Its sums take so long that the hardware's own prefetch falls behind: 4 KiB ahead
// makes 4 to 16 tokens up to twice as fast with AVX2, and a single one (kFetchSingle) by a third with 16-bit weights. Later tiles find
// the panel in the cache.
constexpr int64_t kAheadBytes = 4096;

template <class Type, int kPanels, int kTokens, bool kFetch>
static void float_tile(const MultiplyArgs& args, int64_t panel, int64_t token) {
  using Element = typename Type::Element;
  const int64_t columns = args.columns;
  const int64_t panel_bytes = float_panel_bytes<Type>(columns);
  const Element* w[kPanels];
  const float* x[kTokens];
  Lanes sums[kPanels][kTokens];
  QW_UNROLL for (int p = 0; p < kPanels; p++) {
    w[p] = reinterpret_cast<const Element*>(args.panels + (panel + p) * panel_bytes);
    QW_UNROLL for (int t = 0; t < kTokens; t++) sums[p][t] = zero();
  }
  QW_UNROLL for (int t = 0; t < kTokens; t++) x[t] = args.x + (token + t) * columns;
  for (int64_t c = 0; c < columns; c++) {
    Lanes column[kPanels];
    QW_UNROLL for (int p = 0; p < kPanels; p++) {
      const Element* from = w[p] + c * kPanelRows;
      if constexpr (kFetch) __builtin_prefetch(reinterpret_cast<const uint8_t*>(from) + kAheadBytes);
      column[p] = Type::read(from);
    }
    QW_UNROLL for (int t = 0; t < kTokens; t++) {
      const Lanes value = all(x[t][c]);
      QW_UNROLL for (int p = 0; p < kPanels; p++) sums[p][t] = fma(column[p], value, sums[p][t]);
    }
  }
  QW_UNROLL for (int t = 0; t < kTokens; t++) {
    QW_UNROLL for (int p = 0; p < kPanels; p++) {
      const int64_t row = (panel + p) * kPanelRows;
      put_row(args, row, args.y + (token + t) * args.y_stride + row, sums[p][t]);
    }
  }
}

// The tile for `tokens` (1 .. kTokens) tokens.
template <class Type, int kPanels, int kTokens>
static void float_tile_of(const MultiplyArgs& args, int64_t panel, int64_t token, int64_t tokens) {
  if constexpr (kTokens > 1) {
    if (tokens < kTokens) return float_tile_of<Type, kPanels, kTokens - 1>(args, panel, token, tokens);
  }
  constexpr bool kFetch = kTokens > 1 || kFetchSingle;
  if (kFetch && token == 0) {
    float_tile<Type, kPanels, kTokens, kFetch>(args, panel, token);
  } else {
    float_tile<Type, kPanels, kTokens, false>(args, panel, token);
  }
}

// Tiles of even size: 8 tokens in tiles of 6 and 2 take 10 to 20 % longer than in two of 4.
template <class Type, int kPanels>
static void float_tokens(const MultiplyArgs& args, int64_t panel) {
  const int64_t tiles = (args.tokens + kTileTokens - 1) / kTileTokens;
  int64_t token = 0;
  for (int64_t i = 1; i <= tiles; i++) {
    const int64_t end = args.tokens * i / tiles;
    float_tile_of<Type, kPanels, kTileTokens>(args, panel, token, end - token);
    token = end;
  }
}

template <class Type>
static void float_multiply(const MultiplyArgs& args) {
  int64_t panel = args.panel_begin;
  for (; panel + kTilePanels <= args.panel_end; panel += kTilePanels) float_tokens<Type, kTilePanels>(args, panel);
  if constexpr (kTilePanels > 1) {
    for (; panel < args.panel_end; panel++) float_tokens<Type, 1>(args, panel);
  }
}

template <class Type>
static constexpr WeightFormat kFloatFormat = {false, float_panel_bytes<Type>, float_pack<Type>, float_decode_row<Type>, float_multiply<Type>};

static const WeightFormat* float_format(WeightType type) {
  switch (type) {
    case kF32: return &kFloatFormat<F32>;
    case kF16: return &kFloatFormat<F16>;
    case kBF16: return &kFloatFormat<BF16>;
    default: return nullptr;
  }
}

}  // namespace qw::QW_TARGET::fp
