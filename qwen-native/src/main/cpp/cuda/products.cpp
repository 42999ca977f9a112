// Products of activations with weights. One warp computes a row of the weights for up to 8 tokens; each lane takes every 32nd piece of the
// row, and the lanes' sums are added in one order. So an output has the same bits whatever is computed beside it.
#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/gemm_int8.h"
#include "cuda/integers.h"
#include "cuda/multiply.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kLanes;
constexpr int kMostTokens = 8;

// What a block does: the rows of the weights and of the results.
struct Place {
  const uint8_t* row;
  bool inside;
  int64_t result_row;  // of the first token
  int64_t column;
  int count;  // of tokens
};

template <int kTokens>
QW_DEVICE Place place_of(const MultiplyArgs& args) {
  const int64_t row = block_x() * kWarps + thread_index() / kLanes;
  if (args.tiles == nullptr) {
    const int64_t first = block_y() * kTokens;
    const int64_t left = args.tokens - first;
    return {args.data + row * args.row_bytes, row < args.rows, first, row, static_cast<int>(left < kTokens ? left : kTokens)};
  }
  const Tile& tile = args.tiles[block_y()];
  return {reinterpret_cast<const uint8_t*>(tile.data) + row * args.row_bytes, row < tile.rows, tile.first, tile.column + row, tile.count};
}

// Row of x of a token of a place; beyond the last token the last one's, whose result is not kept.
QW_DEVICE int64_t input_row(const MultiplyArgs& args, const Place& place, int t) {
  const int64_t row = place.result_row + (t < place.count ? t : place.count - 1);
  return args.picked == nullptr ? row : args.picked[row];
}

template <int kTokens>
QW_DEVICE void finish(const MultiplyArgs& args, const Place& place, const float* sums) {
  for (int t = 0; t < kTokens; t++) {
    const float sum = sum_of_lanes(sums[t]);
    if (lane_index() != 0 || t >= place.count) continue;
    float* to = args.y + (place.result_row + t) * args.y_stride + place.column;
    *to = args.add ? *to + sum : args.bias != nullptr ? args.bias[place.column] + sum : sum;
  }
}

template <int kType, int kTokens>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) multiply_integers(MultiplyArgs args) {
  using F = Format<kType>;
  const Place place = place_of<kTokens>(args);
  if (!place.inside) return;
  const int64_t groups = args.columns / kGroup;
  const RowPlaces<kType> places(groups);
  int64_t inputs[kTokens];
  float sums[kTokens];
  for (int t = 0; t < kTokens; t++) {
    inputs[t] = input_row(args, place, t);
    sums[t] = 0;
  }
  for (int64_t group = lane_index(); group < groups; group += kLanes) {
    Decoded d;
    decode<kType>(place.row, places, group, d);
    for (int set = 0; set < args.integers.sets; set++) {
      for (int t = 0; t < kTokens; t++) {
        const int64_t at = (set * args.integers.rows + inputs[t]) * groups + group;
        const Words4 a = load4(args.integers.q + at * kGroup), b = load4(args.integers.q + at * kGroup + 16);
        const float scale = args.integers.scale[at];
        int low = dot4(d.words[0], a.x, dot4(d.words[1], a.y, dot4(d.words[2], a.z, dot4(d.words[3], a.w, 0))));
        const int high = dot4(d.words[4], b.x, dot4(d.words[5], b.y, dot4(d.words[6], b.z, dot4(d.words[7], b.w, 0))));
        if constexpr (F::kHalves) {
          sums[t] = fma(d.scale[0] * scale, static_cast<float>(low), sums[t]);
          sums[t] = fma(d.scale[1] * scale, static_cast<float>(high), sums[t]);
        } else {
          low += high;
          sums[t] = fma(d.scale[0] * scale, static_cast<float>(low), sums[t]);
        }
        if constexpr (F::kOffset) {
          const int16_t* sum16 = args.integers.sum16 + 2 * at;
          if constexpr (F::kHalves) {
            sums[t] = fma(d.offset[0] * scale, static_cast<float>(sum16[0]), sums[t]);
            sums[t] = fma(d.offset[1] * scale, static_cast<float>(sum16[1]), sums[t]);
          } else {
            sums[t] = fma(d.offset[0] * scale, static_cast<float>(sum16[0] + sum16[1]), sums[t]);
          }
        }
      }
    }
  }
  finish<kTokens>(args, place, sums);
}

template <int kType>
QW_DEVICE void load_floats(const uint8_t* row, int64_t piece, float* values) {
  const Words4 v = load4(row + piece * 16);
  const uint32_t words[4] = {v.x, v.y, v.z, v.w};
  for (int i = 0; i < kPieceColumns<kType>; i++) {
    if constexpr (kType == kF32) values[i] = float_of(words[i]);
    if constexpr (kType == kF16) values[i] = from_half(static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2)));
    if constexpr (kType == kBF16) values[i] = float_of(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
  }
}

template <int kType, int kTokens>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) multiply_floats(MultiplyArgs args) {
  constexpr int kColumns = kPieceColumns<kType>;
  const Place place = place_of<kTokens>(args);
  if (!place.inside) return;
  const float* inputs[kTokens];
  float sums[kTokens];
  for (int t = 0; t < kTokens; t++) {
    inputs[t] = args.x + input_row(args, place, t) * args.columns;
    sums[t] = 0;
  }
  for (int64_t piece = lane_index(); piece * kColumns < args.columns; piece += kLanes) {
    float w[kColumns];
    load_floats<kType>(place.row, piece, w);
    const int64_t begin = piece * kColumns;
    const int count = static_cast<int>(args.columns - begin < kColumns ? args.columns - begin : kColumns);
    for (int t = 0; t < kTokens; t++) {
      if (count == kColumns && args.columns % 4 == 0) {
        for (int i = 0; i < kColumns; i += 4) {
          const Words4 x = load4(inputs[t] + begin + i);
          sums[t] = fma(w[i], float_of(x.x), sums[t]);
          sums[t] = fma(w[i + 1], float_of(x.y), sums[t]);
          sums[t] = fma(w[i + 2], float_of(x.z), sums[t]);
          sums[t] = fma(w[i + 3], float_of(x.w), sums[t]);
        }
      } else {
        for (int i = 0; i < kColumns; i++) {
          if (i < count) sums[t] = fma(w[i], inputs[t][begin + i], sums[t]);
        }
      }
    }
  }
  finish<kTokens>(args, place, sums);
}

// A warp rounds a group of a row, whose columns are taken in an order unless it is null.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) quantize_groups(const float* x, const int32_t* order, int64_t columns, int64_t groups, Integers out) {
  const int64_t group = block_x() * kWarps + thread_index() / kLanes;
  if (group >= groups) return;
  const int lane = lane_index();
  const int64_t at_column = group * kGroup % columns + lane;
  float value = x[group * kGroup / columns * columns + (order == nullptr ? at_column : order[at_column])];
  for (int set = 0; set < out.sets; set++) {
    const int64_t at = set * groups + group;
    const bool finite = largest_of_lanes(value - value == 0.f ? 0.f : 1.f) == 0.f;
    const Rounding rounding = rounding_of(largest_of_lanes(magnitude(value)), finite);
    const int q = rounding(value);
    int sum = q;
    for (int mask = 8; mask > 0; mask /= 2) sum += exchange(sum, mask);
    out.q[at * kGroup + lane] = static_cast<int8_t>(q);
    if (lane % 16 == 0) out.sum16[2 * at + lane / 16] = static_cast<int16_t>(sum);
    if (lane == 0) out.scale[at] = rounding.scale;
    value = value - rounding.scale * static_cast<float>(q);
  }
}

template <int kTokens>
void launch_multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles) {
  const Stream& stream = backend.context->stream;
  const int64_t x = divide_up(rows, kWarps);
  with_type(type, [&](auto t) {
    constexpr int kType = decltype(t)::value;
    if constexpr (kIsFloat<kType>) {
      launch(stream, "multiply_floats", multiply_floats<kType, kTokens>, x, tiles, 1, kThreads, args);
    } else {
      launch(stream, "multiply_integers", multiply_integers<kType, kTokens>, x, tiles, 1, kThreads, args);
    }
  });
}

}  // namespace

const int32_t* order_on_device(Backend& backend, const Weight& w, int32_t number) {
  if (w.orders[static_cast<size_t>(number)].empty()) return nullptr;
  if (w.device_orders.data() == nullptr) {
    std::vector<int32_t> all(w.orders.size() * static_cast<size_t>(w.columns));
    for (size_t i = 0; i < w.orders.size(); i++) {
      std::copy(w.orders[i].begin(), w.orders[i].end(), all.begin() + static_cast<int64_t>(i) * w.columns);
    }
    const int64_t bytes = static_cast<int64_t>(all.size()) * 4;
    w.device_orders = DeviceMemory(backend.context, bytes);
    backend.context->stream.copy_to_device(w.device_orders.data(), all.data(), bytes);
    backend.context->stream.wait();
  }
  return reinterpret_cast<const int32_t*>(w.device_orders.data()) + number * w.columns;
}

Integers quantize(Backend& backend, const Weight& w, int32_t order, const float* x, int64_t rows) {
  const int64_t columns = w.columns;
  const int sets = backend.fine ? 2 : 1;
  const int64_t groups = times(rows, columns / kGroup);
  const auto up = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
  const int64_t scales = up(times(times(groups, kGroup), sets)), sums = scales + up(groups * sets * 4);
  backend.quantized.grow(backend.context, sums + up(groups * sets * 4));
  uint8_t* memory = backend.quantized.data();
  const Integers out{reinterpret_cast<int8_t*>(memory), reinterpret_cast<float*>(memory + scales), reinterpret_cast<int16_t*>(memory + sums), sets,
                     rows};
  launch(backend.context->stream, "quantize", quantize_groups, divide_up(groups, kWarps), 1, 1, kThreads, x,
         order_on_device(backend, w, order), columns, groups, out);
  return out;
}

int tile_tokens(int64_t tokens) { return tokens == 1 ? 1 : tokens <= 4 ? 4 : kMostTokens; }

void multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles, int tokens) {
  if (tokens == 1) return launch_multiply<1>(backend, type, args, rows, tiles);
  if (tokens == 4) return launch_multiply<4>(backend, type, args, rows, tiles);
  launch_multiply<kMostTokens>(backend, type, args, rows, tiles);
}

void linear(Backend& backend, Buffer& x, int64_t rows, const Weight& w, Buffer* bias, bool add, Buffer& y) {
  check_rows(x, rows, w.columns, "x does not fit the rows of a linear layer");
  check_rows(y, rows, w.rows, "y does not fit the rows of a linear layer");
  require(&x != &y, "a linear layer cannot write over its input");
  require(!add || bias == nullptr, "a linear layer adds either a bias or what is there");
  if (bias != nullptr) check_rows(*bias, 1, w.rows, "the bias does not fit the linear layer");
  if (rows == 0) return;
  MultiplyArgs args{};
  args.columns = w.columns;
  args.x = x.read(rows);
  const float* added = bias == nullptr ? nullptr : bias->read(1);
  float* to = add ? y.change(rows) : y.write(rows);
  args.y_stride = w.rows;
  args.add = add;
  const int tokens = tile_tokens(rows);
  int32_t order = -1;
  Gemm gemm(backend, args.x, rows, w.columns);
  IntegerGemm integers(backend, w, args.x, rows);
  for (const Segment& run : w.runs) {
    args.bias = added == nullptr ? nullptr : added + run.first_row;
    if (gemm.multiply(run, order_on_device(backend, w, run.order), args.bias, add, to + run.first_row, w.rows)) continue;
    if (integers.multiply(run, args.bias, add, to + run.first_row, w.rows)) continue;
    if (!is_float(run.type) && run.order != order) {
      order = run.order;
      args.integers = quantize(backend, w, order, args.x, rows);
    }
    args.data = run.data;
    args.row_bytes = run.row_bytes;
    args.rows = run.rows;
    // A grid has at most kMostTiles tiles of tokens.
    for (int64_t t = 0; t < rows; t += kMostTiles * tokens) {
      MultiplyArgs part = args;
      part.tokens = std::min(rows - t, kMostTiles * tokens);
      part.x += t * w.columns;
      part.y = to + t * w.rows + run.first_row;
      if (args.integers.q != nullptr) {
        part.integers.q += t * w.columns;
        part.integers.scale += t * (w.columns / kGroup);
        part.integers.sum16 += t * (w.columns / kGroup) * 2;
      }
      multiply(backend, run.type, part, run.rows, divide_up(part.tokens, tokens), tokens);
    }
  }
}

}  // namespace qw::cuda
