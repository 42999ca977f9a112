// Products of experts with their tokens. The host knows how many pairs there are, not of which experts: a kernel cuts the pairs into tiles,
// and a grid has as many as there can be. Those that are left over have no rows.
#include <algorithm>

#include "cuda/keys.h"
#include "cuda/multiply.h"
#include "cuda/ops.h"
#include "cuda/routing.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kLanes;

// A matrix of an expert.
struct Part {
  int64_t data;  // address of the first row
  int32_t rows;
  int32_t column;  // of the results, of its first row
  int32_t expert;
  int32_t unused;
};

// Parts of one type and order of columns, which follow each other on the device.
struct Group {
  int32_t type;
  int32_t order;
  int64_t first;
  int64_t count;
  int64_t rows;     // most of a part
  int64_t experts;  // that have parts in it
  int64_t most;     // parts of an expert
};

// Rows of one expert.
struct ExpertShape {
  ExpertShape(const Weight& w, const RoutingView& routing) {
    require(w.rows % routing.experts == 0, "the rows of the matrix are not those of so many experts");
    experts = routing.experts;
    rows = w.rows / experts;
    require(w.segments.size() % static_cast<size_t>(experts) == 0, "a part of the matrix belongs to two experts");
    segments = static_cast<int64_t>(w.segments.size()) / experts;
    for (int64_t e = 0; e < experts; e++) {
      require(segment(w, e, 0).first_row == e * rows, "a part of the matrix belongs to two experts");
    }
  }
  const Segment& segment(const Weight& w, int64_t e, int64_t i) const { return w.segments[static_cast<size_t>(e * segments + i)]; }

  int64_t experts;
  int64_t rows;
  int64_t segments;
};

std::vector<Group> groups_of(const Weight& w, const ExpertShape& shape, std::vector<Part>& parts) {
  std::vector<Group> groups;
  for (const Segment& s : w.segments) {
    const auto same = [&](const Group& g) { return g.type == s.type && g.order == s.order; };
    if (std::none_of(groups.begin(), groups.end(), same)) groups.push_back({s.type, s.order, 0, 0, 0, 0, 0});
  }
  for (Group& group : groups) {
    group.first = static_cast<int64_t>(parts.size());
    for (int64_t e = 0; e < shape.experts; e++) {
      int64_t count = 0;
      for (int64_t i = 0; i < shape.segments; i++) {
        const Segment& s = shape.segment(w, e, i);
        if (s.type != group.type || s.order != group.order) continue;
        const int64_t column = s.first_row - e * shape.rows;
        parts.push_back({reinterpret_cast<int64_t>(s.data), static_cast<int32_t>(s.rows), static_cast<int32_t>(column),
                         static_cast<int32_t>(e), 0});
        group.rows = std::max(group.rows, s.rows);
        count++;
      }
      group.experts += count > 0;
      group.most = std::max(group.most, count);
    }
    group.count = static_cast<int64_t>(parts.size()) - group.first;
  }
  return groups;
}

const Part* parts_on_device(Backend& backend, const Weight& w, const ExpertShape& shape, const std::vector<Part>& parts) {
  if (w.sent_experts != shape.experts) {
    const int64_t bytes = static_cast<int64_t>(parts.size() * sizeof(Part));
    w.sent_experts = 0;
    w.device_experts.grow(backend.context, bytes);
    backend.context->stream.copy_to_device(w.device_experts.data(), parts.data(), bytes);
    backend.context->stream.wait();
    w.sent_experts = shape.experts;
  }
  return reinterpret_cast<const Part*>(w.device_experts.data());
}

// One block cuts the pairs of all parts of a group into tiles of `tokens`, part by part.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) cut_tiles(const Part* parts, int count, const int32_t* first, int tokens, Tile* tiles, int room) {
  QW_SHARED int warps[2][kWarps];
  const int warp = thread_index() / kLanes;
  int next = 0;
  for (int begin = 0, set = 0; begin < count; begin += kThreads, set ^= 1) {
    const int i = begin + thread_index();
    const Part part = i < count ? parts[i] : Part{};
    const int from = first[part.expert], pairs = i < count ? first[part.expert + 1] - from : 0;
    const LaneSums sums = lane_sums((pairs + tokens - 1) / tokens);
    // Two sets in turn: some threads may still read the one while others write the other, and no further.
    if (lane_index() == 0) warps[set][warp] = sums.all;
    barrier();
    int place = next + sums.before;
    for (int w = 0; w < kWarps; w++) {
      if (w < warp) place += warps[set][w];
      next += warps[set][w];
    }
    for (int p = 0; p < pairs; p += tokens) {
      tiles[place++] = {part.data, part.rows, part.column, from + p, pairs - p < tokens ? pairs - p : tokens};
    }
  }
  for (int i = next + thread_index(); i < room; i += kThreads) tiles[i] = {0, 0, 0, 0, 0};
}

// Most tiles of a group: an expert's last tile may have one pair alone.
int64_t most_tiles(const Group& group, int64_t pairs, int tokens) {
  return group.most * ((pairs + (tokens - 1) * std::min(group.experts, pairs)) / tokens);
}

// y[p] = x[row of p] · w[expert of p]ᵀ for all pairs p; picked: row of x for a pair, or null.
void multiply_pairs(Backend& backend, const float* x, int64_t x_rows, const int32_t* picked, const int32_t* first,
                    const RoutingView& routing, const Weight& w, const ExpertShape& shape, float* y) {
  std::vector<Part> parts;
  const std::vector<Group> groups = groups_of(w, shape, parts);
  const Part* sent = parts_on_device(backend, w, shape, parts);
  // As wide as twice the pairs of an expert on average: narrower ones would read weights again, wider ones multiply for nobody. Of a token
  // an expert has one pair.
  const int64_t pairs = routing.pairs();
  const int tokens = tile_tokens(std::min(routing.tokens, 2 * divide_up(pairs, routing.experts)));
  int64_t room = 0;
  for (const Group& group : groups) room += most_tiles(group, pairs, tokens);
  require(room <= INT32_MAX, "experts have too many pairs");
  backend.tiles.grow(backend.context, times(room, sizeof(Tile)));
  Tile* tiles = reinterpret_cast<Tile*>(backend.tiles.data());
  MultiplyArgs args{};
  args.columns = w.columns;
  args.x = x;
  args.y = y;
  args.y_stride = shape.rows;
  args.picked = picked;
  int32_t order = -1;
  for (const Group& group : groups) {
    const int64_t count = most_tiles(group, pairs, tokens);
    launch(backend.context->stream, "cut_tiles", cut_tiles, 1, 1, 1, kThreads, sent + group.first, static_cast<int>(group.count), first,
           tokens, tiles, static_cast<int>(count));
    if (!is_float(group.type) && group.order != order) {
      order = group.order;
      args.integers = quantize(backend, w, order, x, x_rows);
    }
    args.row_bytes = row_bytes(group.type, w.columns);
    for (int64_t at = 0; at < count; at += kMostTiles) {
      args.tiles = tiles + at;
      multiply(backend, group.type, args, group.rows, std::min(kMostTiles, count - at), tokens);
    }
    tiles += count;
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

void expert_linear(Backend& backend, Buffer& x, Buffer& routing, const Weight& w, Buffer& y) {
  const RoutingView view(routing);
  const ExpertShape shape(w, view);
  check_rows(x, view.tokens, w.columns, "x does not fit the experts");
  check_rows(y, view.pairs(), shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  const RoutedPairs routed = routed_pairs(backend, routing, view);
  if (view.tokens == 0) return;
  const float* from = x.read(view.tokens);
  multiply_pairs(backend, from, view.tokens, routed.token, routed.first, view, w, shape, y.write(view.pairs()));
}

void expert_linear_add(Backend& backend, Buffer& x, Buffer& routing, const Weight& w, Buffer& y) {
  const RoutingView view(routing);
  const ExpertShape shape(w, view);
  check_rows(x, view.pairs(), w.columns, "x does not fit the experts");
  check_rows(y, view.tokens, shape.rows, "y does not fit the experts");
  require(&x != &y, "a linear layer cannot write over its input");
  require(shape.segments == 1, "what is added of an expert is one matrix");
  const RoutedPairs routed = routed_pairs(backend, routing, view);
  if (view.tokens == 0) return;
  backend.expert_results.grow(backend.context, times(times(view.pairs(), shape.rows), 4));
  float* results = reinterpret_cast<float*>(backend.expert_results.data());
  multiply_pairs(backend, x.read(view.pairs()), view.pairs(), nullptr, routed.first, view, w, shape, results);
  launch(backend.context->stream, "add_pairs", add_pairs, view.tokens, 1, 1, kThreads, static_cast<const float*>(results), routed.of_token,
         routed.weight, view.used, shape.rows, y.change(view.tokens));
}

}  // namespace qw::cuda
