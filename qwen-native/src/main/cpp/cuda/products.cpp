// Products of activations with weights. One warp computes a row of the weights for up to 8 tokens; each lane takes every 32nd piece of the
// row, and the lanes' sums are added in one order. So an output has the same bits whatever is computed beside it.
#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/gemm_int8.h"
#include "cuda/integers.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kLanes;
constexpr int kMostTokens = 8;
constexpr int64_t kMostTiles = 65535;  // of a grid's second dimension

// Activations in integers: of a row, `groups` times 32 int8 values q with x = scale * q, and the sums of q of each 16. Where activations
// are fine a second set with what the first one leaves over follows.
struct Integers {
  int8_t* q;
  float* scale;
  int16_t* sum16;
  int sets;
  int64_t rows;  // of a set
};

// Tokens that are multiplied with rows of one expert.
struct Tile {
  int64_t data;  // address of the first row
  int32_t rows;
  int32_t column;  // of the results, of its first row
  int32_t first;   // row of the results, of the first token
  int32_t count;
};
constexpr int kTileInts = sizeof(Tile) / 4;

struct MultiplyArgs {
  const uint8_t* data;
  int64_t row_bytes;
  int64_t rows;
  int64_t columns;
  int64_t tokens;
  const float* x;
  Integers integers;
  const float* bias;  // of the first row, or null
  float* y;           // of the first row
  int64_t y_stride;
  bool add;
  const Tile* tiles;      // or null: all rows are multiplied with all tokens
  const int32_t* picked;  // row of x for a row of the results, or null
};

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

namespace {

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

// Tokens of a tile: the least of 1, 4 and 8 that holds `tokens`, else 8.
int tile_tokens(int64_t tokens) { return tokens == 1 ? 1 : tokens <= 4 ? 4 : kMostTokens; }

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

void multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles, int tokens) {
  if (tokens == 1) return launch_multiply<1>(backend, type, args, rows, tiles);
  if (tokens == 4) return launch_multiply<4>(backend, type, args, rows, tiles);
  launch_multiply<kMostTokens>(backend, type, args, rows, tiles);
}

// Rows of one expert.
struct ExpertShape {
  ExpertShape(const Weight& w, const RoutingView& routing) {
    require(w.rows % routing.experts == 0, "the rows of the matrix are not those of so many experts");
    rows = w.rows / routing.experts;
    require(w.segments.size() % static_cast<size_t>(routing.experts) == 0, "a part of the matrix belongs to two experts");
    segments = static_cast<int64_t>(w.segments.size()) / routing.experts;
    for (int64_t e = 0; e < routing.experts; e++) {
      require(segment(w, e, 0).first_row == e * rows, "a part of the matrix belongs to two experts");
    }
  }
  const Segment& segment(const Weight& w, int64_t e, int64_t i) const { return w.segments[static_cast<size_t>(e * segments + i)]; }

  int64_t rows;
  int64_t segments;
};

// y[p] = x[row of p] · w[expert of p]ᵀ for all pairs p.
void multiply_pairs(Backend& backend, const float* x, int64_t x_rows, const int32_t* picked, const RoutingView& routing, const Weight& w,
                    const ExpertShape& shape, float* y) {
  int64_t most = 0;
  for (int64_t e = 0; e < routing.experts; e++) most = std::max<int64_t>(most, routing.first[e + 1] - routing.first[e]);
  const int tokens = tile_tokens(most);
  std::vector<int32_t>& ints = backend.ints;
  // Tiles of one type and order of columns.
  struct Group {
    int32_t type, order;
    int64_t begin, count, rows;
  };
  std::vector<Group> groups;
  for (int64_t e = 0; e < routing.experts; e++) {
    if (routing.first[e] == routing.first[e + 1]) continue;
    for (int64_t i = 0; i < shape.segments; i++) {
      const Segment& s = shape.segment(w, e, i);
      const auto same = [&](const Group& g) { return g.type == s.type && g.order == s.order; };
      if (std::none_of(groups.begin(), groups.end(), same)) groups.push_back({s.type, s.order, 0, 0, 0});
    }
  }
  ints.clear();
  for (Group& group : groups) {
    group.begin = static_cast<int64_t>(ints.size()) / kTileInts;
    for (int64_t e = 0; e < routing.experts; e++) {
      for (int64_t i = 0; i < shape.segments; i++) {
        const Segment& s = shape.segment(w, e, i);
        if (s.type != group.type || s.order != group.order) continue;
        for (int32_t p = routing.first[e]; p < routing.first[e + 1]; p += tokens) {
          Tile tile{reinterpret_cast<int64_t>(s.data), static_cast<int32_t>(s.rows), static_cast<int32_t>(s.first_row - e * shape.rows), p,
                    std::min(tokens, routing.first[e + 1] - p)};
          const int32_t* values = reinterpret_cast<const int32_t*>(&tile);
          ints.insert(ints.end(), values, values + kTileInts);
          group.rows = std::max(group.rows, s.rows);
          group.count++;
        }
      }
    }
  }
  const Tile* tiles = reinterpret_cast<const Tile*>(backend.tiles.send(backend.context, ints));
  MultiplyArgs args{};
  args.columns = w.columns;
  args.x = x;
  args.y = y;
  args.y_stride = shape.rows;
  args.picked = picked;
  int32_t order = -1;
  for (const Group& group : groups) {
    if (!is_float(group.type) && group.order != order) {
      order = group.order;
      args.integers = quantize(backend, w, order, x, x_rows);
    }
    args.row_bytes = row_bytes(group.type, w.columns);
    for (int64_t at = 0; at < group.count; at += kMostTiles) {
      args.tiles = tiles + group.begin + at;
      multiply(backend, group.type, args, group.rows, std::min(kMostTiles, group.count - at), tokens);
    }
  }
}

// y[t] += weight(p) * z[p] for the pairs p of token t in their order.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads)
add_pairs(const float* z, const int32_t* pairs, const float* weights, int64_t used, int64_t columns, float* y) {
  const int32_t* of_token = pairs + block_x() * used;
  float* to = y + block_x() * columns;
  for (int64_t i = thread_index(); i < columns; i += kThreads) {
    float sum = to[i];
    for (int64_t k = 0; k < used; k++) sum = fma(weights[of_token[k]], z[of_token[k] * columns + i], sum);
    to[i] = sum;
  }
}

}  // namespace

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

// On the host: it must know the pairs to plan what follows, and the scores are few.
void route(Backend& backend, Buffer& scores, int64_t rows, RoutingView routing) {
  check_rows(scores, rows, routing.experts, "the scores do not fit the experts");
  require(rows >= 1 && rows <= routing.max_tokens, "the routing has no room for its tokens");
  const size_t values = static_cast<size_t>(rows * routing.experts);
  backend.floats.resize(values + static_cast<size_t>(rows * routing.used));
  backend.context->stream.copy_to_host(backend.floats.data(), scores.read(rows), rows * routing.experts * 4);
  backend.ints.resize(static_cast<size_t>(rows * routing.used));
  float* weights = backend.floats.data() + values;
  for (int64_t t = 0; t < rows; t++) {
    choose_experts(backend.floats.data() + t * routing.experts, routing.experts, routing.used, routing.normalized,
                   backend.ints.data() + t * routing.used, weights + t * routing.used);
  }
  routing.set_tokens(rows);
  routing.set_pairs(backend.ints.data(), weights);
}

void expert_linear(Backend& backend, Buffer& x, const RoutingView& routing, const Weight& w, Buffer& y) {
  const ExpertShape shape(w, routing);
  check_rows(x, routing.tokens, w.columns, "x does not fit the experts");
  check_rows(y, routing.pairs(), shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  routing.check_pairs();
  if (routing.tokens == 0) return;
  backend.ints.assign(routing.token, routing.token + routing.pairs());
  const int32_t* picked = backend.routing.send(backend.context, backend.ints);
  const float* from = x.read(routing.tokens);
  multiply_pairs(backend, from, routing.tokens, picked, routing, w, shape, y.write(routing.pairs()));
}

void expert_linear_add(Backend& backend, Buffer& x, const RoutingView& routing, const Weight& w, Buffer& y) {
  const ExpertShape shape(w, routing);
  check_rows(x, routing.pairs(), w.columns, "x does not fit the experts");
  check_rows(y, routing.tokens, shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  require(shape.segments == 1, "what is added of an expert is one matrix");
  routing.check_pairs();
  if (routing.tokens == 0) return;
  backend.expert_results.grow(backend.context, times(times(routing.pairs(), shape.rows), 4));
  float* results = reinterpret_cast<float*>(backend.expert_results.data());
  multiply_pairs(backend, x.read(routing.pairs()), routing.pairs(), nullptr, routing, w, shape, results);
  // The pairs of each token, then the weights of all pairs.
  std::vector<int32_t>& ints = backend.ints;
  ints.assign(static_cast<size_t>(routing.pairs()), -1);
  for (int64_t p = 0; p < routing.pairs(); p++) {
    int32_t* of_token = ints.data() + routing.token[p] * routing.used;
    int64_t k = 0;
    while (k < routing.used && of_token[k] >= 0) k++;
    require(k < routing.used, "a token of the routing has too many pairs");
    of_token[k] = static_cast<int32_t>(p);
  }
  const int32_t* weights = reinterpret_cast<const int32_t*>(routing.weight);
  ints.insert(ints.end(), weights, weights + routing.pairs());
  const int32_t* sent = backend.routing.send(backend.context, ints);
  launch(backend.context->stream, "add_pairs", add_pairs, routing.tokens, 1, 1, kThreads, static_cast<const float*>(results), sent,
         reinterpret_cast<const float*>(sent + routing.pairs()), routing.used, shape.rows, y.change(routing.tokens));
}

}  // namespace qw::cuda
