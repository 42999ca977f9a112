#include "common/routing.h"

#include <algorithm>

#include "cpu/ops.h"

namespace qw {

void route(Backend& backend, const Buffer& scores, int64_t rows, RoutingView routing) {
  check_rows(scores, rows, routing.experts, "the scores do not fit the experts");
  require(rows >= 1 && rows <= routing.max_tokens, "the routing has no room for its tokens");
  const int64_t experts = routing.experts, used = routing.used;
  routing.set_tokens(rows);
  backend.chosen.resize(static_cast<size_t>(rows * used));
  backend.chosen_weights.resize(static_cast<size_t>(rows * used));
  int32_t* chosen = backend.chosen.data();
  float* weights = backend.chosen_weights.data();
  // A token costs some hundred cycles of exponentials and comparisons.
  constexpr int64_t kTokensPerPiece = 64;
  backend.pool.each((rows + kTokensPerPiece - 1) / kTokensPerPiece, [&](int64_t piece, int) {
    for (int64_t t = piece * kTokensPerPiece; t < std::min(rows, (piece + 1) * kTokensPerPiece); t++) {
      choose_experts(scores.floats() + t * experts, experts, used, routing.normalized, chosen + t * used, weights + t * used);
    }
  });
  routing.set_pairs(chosen, weights);
}

}  // namespace qw
