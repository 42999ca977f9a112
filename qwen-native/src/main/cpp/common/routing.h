// Which tokens of a step go to which experts, as Java's Routing lays it out in one array of integers; see there. Checked before use.
#pragma once

#include "common/object.h"

namespace qw {

struct RoutingView {
  explicit RoutingView(const IntArray& array);

  int64_t experts;
  int64_t used;
  bool normalized;
  int64_t max_tokens;
  int64_t tokens;  // T
  int32_t* first;  // [experts + 1]: pairs of expert e are first[e] .. first[e + 1] - 1
  int32_t* token;  // [pairs]
  float* weight;   // [pairs]

  int64_t pairs() const { return tokens * used; }
  // The pairs cover the experts in order, and each has a token of the step.
  void check_pairs() const;
  void set_tokens(int64_t count);
  // Writes the pairs, sorted by expert, then by token; `chosen` and `weights` have for each token its experts.
  void set_pairs(const int32_t* chosen, const float* weights);

 private:
  int32_t* header_;
};

// The experts of a token in falling order of their scores, and their weights.
void choose_experts(const float* scores, int64_t experts, int64_t used, bool normalized, int32_t* chosen, float* weights);

}  // namespace qw
