// Which tokens go to which experts, on the device.
#pragma once

#include "common/routing.h"
#include "cuda/objects.h"

namespace qw::cuda {

// The pairs of a routing; how many there are of an expert only the device knows.
struct RoutedPairs {
  const int32_t* first;     // [experts + 1]
  const int32_t* token;     // [pairs]
  const float* weight;      // [pairs]
  const int32_t* of_token;  // [tokens][used]: pairs of a token in their order
};

// Sends them if the host looked at the routing, and so may have changed it, since it was computed.
RoutedPairs routed_pairs(Backend& backend, Buffer& routing, const RoutingView& view);

}  // namespace qw::cuda
