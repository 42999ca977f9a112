// Linear layers and experts: which kernels compute them, and on what.
#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/gemv.h"
#include "cuda/multiply.h"
#include "cuda/ops.h"
#include "cuda/quantize.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTileInts = sizeof(Tile) / 4;

RowSource plain_rows(const float* x, int64_t columns) { return {kPlainRow, x, static_cast<int32_t>(columns), nullptr, nullptr, 0}; }

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
  args.results = {nullptr, y, shape.rows, false};
  args.picked = picked;
  int32_t order = -1;
  for (const Group& group : groups) {
    if (!is_float(group.type) && group.order != order) {
      order = group.order;
      args.integers = quantize(backend, plain_rows(x, w.columns), w, order, x_rows);
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

// The products of one run with any number of tokens.
void multiply_run(Backend& backend, const Segment& run, const float* x, const Integers& integers, int64_t columns, int64_t rows,
                  const Results& results) {
  const int tokens = tile_tokens(rows);
  // A grid has at most kMostTiles tiles of tokens.
  for (int64_t t = 0; t < rows; t += kMostTiles * tokens) {
    const int64_t of_part = std::min(rows - t, kMostTiles * tokens);
    MultiplyArgs args{run.data, run.row_bytes, run.rows, columns, of_part, x + t * columns, integers, results, nullptr, nullptr};
    args.results.y += t * results.y_stride;
    if (integers.q != nullptr) {
      args.integers.q += t * columns;
      args.integers.scale += t * (columns / kGroup);
      args.integers.sum16 += t * (columns / kGroup) * 2;
    }
    multiply(backend, run.type, args, run.rows, divide_up(args.tokens, tokens), tokens);
  }
}

// The products of all runs. Normed rows have room in a block, for all runs; gated ones are for quantized runs alone.
void multiply_runs(Backend& backend, RowSource source, int64_t rows, const Weight& w, const Results& results) {
  Integers integers{};
  int32_t order = -1;
  Gemm gemm(backend, source.x, rows, w.columns);
  for (const Segment& run : w.runs) {
    const bool fits = gemv_fits(backend, run.type, w.columns, rows);
    Results of_run = results;
    of_run.y += run.first_row;
    if (of_run.bias != nullptr) of_run.bias += run.first_row;
    if (source.kind == kPlainRow &&
        gemm.multiply(run, order_on_device(backend, w, run.order), of_run.bias, results.add, of_run.y, results.y_stride)) {
      continue;
    }
    if (is_float(run.type)) {
      source.order = nullptr;
    } else if (fits && source.kind != kGatedRow && gemv_rounds(backend, w.columns, rows)) {
      source.order = order_on_device(backend, w, run.order);
    } else if (run.order != order) {
      order = run.order;
      integers = quantize(backend, source, w, order, rows);
    }
    if (fits) {
      gemv(backend, run, source, integers, rows, of_run);
    } else {
      multiply_run(backend, run, source.x, integers, w.columns, rows, of_run);
    }
  }
}

void check_linear(const Buffer& x, int64_t rows, const Weight& w, const Buffer* bias, const Buffer& y) {
  check_rows(x, rows, w.columns, "x does not fit the rows of a linear layer");
  check_rows(y, rows, w.rows, "y does not fit the rows of a linear layer");
  require(&x != &y, "a linear layer cannot write over its input");
  if (bias != nullptr) check_rows(*bias, 1, w.rows, "the bias does not fit the linear layer");
}

}  // namespace

void linear(Backend& backend, Buffer& x, int64_t rows, const Weight& w, Buffer* bias, bool add, Buffer& y) {
  check_linear(x, rows, w, bias, y);
  require(!add || bias == nullptr, "a linear layer adds either a bias or what is there");
  if (rows == 0) return;
  const float* from = x.read(rows);
  const float* added = bias == nullptr ? nullptr : bias->read(1);
  multiply_runs(backend, plain_rows(from, w.columns), rows, w, {added, add ? y.change(rows) : y.write(rows), w.rows, add});
}

void norm_linear(Backend& backend, Buffer& x, int64_t rows, Buffer& gain, float epsilon, Buffer& normed, const Weight& w, Buffer* bias,
                 Buffer& y) {
  check_norm(x, rows, gain, normed);
  check_linear(normed, rows, w, bias, y);
  require(&x != &normed && &x != &y, "a norm before a linear layer does not write over its input");
  const auto has_room = [&](const Segment& run) { return gemv_fits(backend, run.type, w.columns, rows); };
  const bool fits = std::all_of(w.runs.begin(), w.runs.end(), has_room);
  if (!fits) {
    rms_norm(backend, x, rows, gain, epsilon, normed);
    return linear(backend, normed, rows, w, bias, false, y);
  }
  if (rows == 0) return;
  RowSource source = plain_rows(x.read(rows), w.columns);
  source.kind = kNormedRow;
  source.gain = gain.read(1);
  source.epsilon = epsilon;
  const float* added = bias == nullptr ? nullptr : bias->read(1);
  multiply_runs(backend, source, rows, w, {added, y.write(rows), w.rows, false});
}

// Each block of the product would compute all gated values: for 18944 of them in 264 blocks that is 38,000 exponentials a processor, about
// 7 us, where a kernel of its own takes 2. So they are rounded as they are computed, and the product finds integers.
void swiglu_linear_add(Backend& backend, Buffer& x, int64_t rows, Buffer& gated, const Weight& w, Buffer& y) {
  check_swiglu(x, rows, gated);
  check_linear(gated, rows, w, nullptr, y);
  require(&x != &y, "a linear layer cannot write over its input");
  const bool integers = std::none_of(w.runs.begin(), w.runs.end(), [](const Segment& run) { return is_float(run.type); });
  if (rows > kFewTokens || !integers) {
    swiglu(backend, x, rows, gated);
    return linear(backend, gated, rows, w, nullptr, true, y);
  }
  if (rows == 0) return;
  RowSource source = plain_rows(x.read(rows), w.columns);
  source.kind = kGatedRow;
  multiply_runs(backend, source, rows, w, {nullptr, y.change(rows), w.rows, true});
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
