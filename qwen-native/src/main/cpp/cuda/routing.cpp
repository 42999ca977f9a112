// Chooses the experts of tokens and sorts the pairs by expert.
#include "cuda/routing.h"

#include "cuda/keys.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kLanes;
// A lane keeps in a word which of its experts are chosen.
constexpr int64_t kMostExperts = 64 * kLanes;
constexpr int64_t kHeader = 4;

// In the twin of a routing behind what the host sees of it.
struct Twin {
  Twin(Buffer& routing, const RoutingView& view) {
    const int64_t most = view.max_tokens * view.used;
    first = routing.twin(3 * most) + kHeader;
    token = first + view.experts + 1;
    weight = reinterpret_cast<float*>(token + most);
    of_token = routing.twin(3 * most) + routing.rows * routing.columns;
    chosen = of_token + most;
    weight_of_chosen = reinterpret_cast<float*>(chosen + most);
  }
  int32_t* first;
  int32_t* token;
  float* weight;
  int32_t* of_token;
  int32_t* chosen;  // [tokens][used]: the experts of a token in rising order
  float* weight_of_chosen;
};

// A warp chooses the experts of a token, as qw::choose_experts does: that of the largest score, or the first one left if its score is no
// number.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads)
choose_for_tokens(const float* scores, int64_t tokens, int experts, int used, bool normalized, int32_t* chosen, float* weights) {
  const int64_t token = block_x() * kWarps + thread_index() / kLanes;
  if (token >= tokens) return;
  const float* row = scores + token * experts;
  float largest = -infinity();
  for (int e = lane_index(); e < experts; e += kLanes) largest = larger(largest, row[e]);
  largest = largest_of_lanes(largest);
  float all = 0;
  for (int e = lane_index(); e < experts; e += kLanes) all += exponential(row[e] - largest);
  all = sum_of_lanes(all);
  uint64_t taken = 0;  // of the lane's experts
  float sum = 0;
  for (int k = 0; k < used; k++) {
    uint64_t first = kNone, best = 0;
    for (int e = lane_index(); e < experts; e += kLanes) {
      if (taken >> (e / kLanes) & 1) continue;
      if (first == kNone) first = static_cast<uint64_t>(e);
      const float score = row[e];
      if (score == score) best = Greatest::of(best, key_of(score, e));
    }
    first = of_lanes<Least>(first);
    best = of_lanes<Greatest>(best);
    const int expert = static_cast<int>(row[first] == row[first] ? place_of(best) : first);
    if (expert % kLanes == lane_index()) taken |= uint64_t{1} << (expert / kLanes);
    sum += exponential(row[expert] - largest) / all;
  }
  int64_t place = token * used;
  for (int e = lane_index(); e - lane_index() < experts; e += kLanes) {
    const int mine = static_cast<int>(taken >> (e / kLanes) & 1);
    const LaneSums sums = lane_sums(mine);
    if (mine) {
      const float weight = exponential(row[e] - largest) / all;
      chosen[place + sums.before] = e;
      weights[place + sums.before] = normalized ? weight / sum : weight;
    }
    place += sums.all;
  }
}

struct SortArgs {
  const int32_t* chosen;
  const float* weights;
  int pairs;
  int used;
  int experts;
  int32_t* first;
  int32_t* token;
  float* weight;
  int32_t* of_token;
};

// A block finds the pairs of an expert, in the order of their tokens: it comes after all of the experts before, which it counts.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) sort_pairs(SortArgs args) {
  QW_SHARED int warps[3][kWarps];
  const int expert = static_cast<int>(block_x()), warp = thread_index() / kLanes;
  int less = 0;
  for (int i = thread_index(); i < args.pairs; i += kThreads) less += args.chosen[i] < expert;
  less = lane_sums(less).all;
  if (lane_index() == 0) warps[2][warp] = less;
  barrier();
  int next = 0;
  for (int w = 0; w < kWarps; w++) next += warps[2][w];
  if (thread_index() == 0) args.first[expert] = next;
  if (expert == args.experts) return;  // there is none, and none comes after
  for (int begin = 0, set = 0; begin < args.pairs; begin += kThreads, set ^= 1) {
    const int i = begin + thread_index();
    const int mine = i < args.pairs && args.chosen[i] == expert;
    const LaneSums sums = lane_sums(mine);
    // Two sets in turn: some threads may still read the one while others write the other, and no further.
    if (lane_index() == 0) warps[set][warp] = sums.all;
    barrier();
    int place = next + sums.before;
    for (int w = 0; w < kWarps; w++) {
      if (w < warp) place += warps[set][w];
      next += warps[set][w];
    }
    if (mine) {
      args.token[place] = i / args.used;
      args.weight[place] = args.weights[i];
      args.of_token[i] = place;
    }
  }
}

}  // namespace

void route(Backend& backend, Buffer& scores, int64_t rows, Buffer& routing) {
  RoutingView view(routing);
  check_rows(scores, rows, view.experts, "the scores do not fit the experts");
  require(rows >= 1 && rows <= view.max_tokens, "the routing has no room for its tokens");
  if (view.experts > kMostExperts) throw Failure(kUnsupported, "the CUDA kernels choose among at most 2048 experts");
  const Twin twin(routing, view);
  const float* from = scores.read(rows);
  const int experts = static_cast<int>(view.experts), used = static_cast<int>(view.used);
  const Stream& stream = backend.context->stream;
  launch(stream, "choose_experts", choose_for_tokens, divide_up(rows, kWarps), 1, 1, kThreads, from, rows, experts, used, view.normalized,
         twin.chosen, twin.weight_of_chosen);
  const SortArgs args{twin.chosen, twin.weight_of_chosen, static_cast<int>(rows * view.used), used, experts, twin.first, twin.token,
                      twin.weight, twin.of_token};
  launch(stream, "sort_pairs", sort_pairs, view.experts + 1, 1, 1, kThreads, args);
  view.set_tokens(rows);
  routing.computed_from(kHeader);
}

RoutedPairs routed_pairs(Backend& backend, Buffer& routing, const RoutingView& view) {
  if (!routing.computed()) {
    view.check_pairs();
    std::vector<int32_t>& of_token = backend.ints;
    of_token.assign(static_cast<size_t>(view.pairs()), -1);
    for (int64_t p = 0; p < view.pairs(); p++) {
      int32_t* pairs = of_token.data() + view.token[p] * view.used;
      int64_t k = 0;
      while (k < view.used && pairs[k] >= 0) k++;
      require(k < view.used, "a token of the routing has too many pairs");
      pairs[k] = static_cast<int32_t>(p);
    }
    const Twin twin(routing, view);
    Stream& stream = backend.context->stream;
    stream.copy_to_device(twin.first, view.first, (view.experts + 1) * 4);
    stream.copy_to_device(twin.token, view.token, view.pairs() * 4);
    stream.copy_to_device(twin.weight, view.weight, view.pairs() * 4);
    stream.copy_to_device(twin.of_token, of_token.data(), view.pairs() * 4);
  }
  const Twin twin(routing, view);
  return {twin.first, twin.token, twin.weight, twin.of_token};
}

}  // namespace qw::cuda
