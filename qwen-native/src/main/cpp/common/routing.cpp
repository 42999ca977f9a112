#include "common/routing.h"

#include <algorithm>
#include <cmath>

namespace qw {
namespace {

constexpr int64_t kHeader = 4;

}  // namespace

// Written so that an expert is found among numbers that are none.
void choose_experts(const float* scores, int64_t experts, int64_t used, bool normalized, int32_t* chosen, float* weights) {
  float largest = -INFINITY;
  for (int64_t e = 0; e < experts; e++) largest = std::max(largest, scores[e]);
  float all = 0;
  for (int64_t e = 0; e < experts; e++) all += std::exp(scores[e] - largest);
  float sum = 0;
  for (int64_t k = 0; k < used; k++) {
    int64_t best = -1;
    for (int64_t e = 0; e < experts; e++) {
      if (best >= 0 && !(scores[e] > scores[best])) continue;
      if (std::find(chosen, chosen + k, e) == chosen + k) best = e;
    }
    chosen[k] = static_cast<int32_t>(best);
    weights[k] = std::exp(scores[best] - largest) / all;
    sum += weights[k];
  }
  for (int64_t k = 0; k < used && normalized; k++) weights[k] /= sum;
}

RoutingView::RoutingView(const IntArray& array) {
  const int64_t size = array.size;
  require(size >= kHeader, "the array of the routing is too short");
  header_ = array.data;
  experts = header_[0];
  used = header_[1];
  normalized = header_[2] != 0;
  tokens = header_[3];
  require(used >= 1 && used <= experts && experts < size - kHeader, "the routing has no such experts");
  max_tokens = (size - kHeader - experts - 1) / (2 * used);
  require(tokens >= 0 && tokens <= max_tokens, "the routing has no room for its tokens");
  first = header_ + kHeader;
  token = first + experts + 1;
  weight = reinterpret_cast<float*>(token + max_tokens * used);
}

void RoutingView::check_pairs() const {
  require(first[0] == 0 && first[experts] == pairs(), "the pairs of the routing do not cover its experts");
  for (int64_t e = 0; e < experts; e++) require(first[e] <= first[e + 1], "an expert of the routing is not in order");
  for (int64_t p = 0; p < pairs(); p++) require(token[p] >= 0 && token[p] < tokens, "a pair of the routing has no token");
}

void RoutingView::set_tokens(int64_t count) {
  tokens = count;
  header_[3] = static_cast<int32_t>(count);
}

void RoutingView::set_pairs(const int32_t* chosen, const float* weights) {
  // Sorted by counting: first[e + 1] is where the next pair of expert e goes, and in the end where those of e + 1 begin.
  std::fill(first, first + experts + 1, 0);
  for (int64_t i = 0; i < pairs(); i++) first[chosen[i] + 1]++;
  for (int64_t e = 0; e < experts; e++) first[e + 1] += first[e];
  for (int64_t e = experts; e > 0; e--) first[e] = first[e - 1];
  for (int64_t i = 0; i < pairs(); i++) {
    const int32_t pair = first[chosen[i] + 1]++;
    token[pair] = static_cast<int32_t>(i / used);
    weight[pair] = weights[i];
  }
}

}  // namespace qw
