// Which kernel multiplies the activations of many tokens; see gemm.h.
#pragma once

#include <cstdint>

namespace qw::cuda {

enum class GemmKernel : int32_t {
  kChosen,
  kNone,    // none of gemm.h
  kMma,     // products of warps, any device
  kHopper,  // products of groups of warps and the copy engine, compute capability 9.0
};

// For tests: a kernel, its tile, the splits of kMma, and the rows that are decoded at a time, instead of the chosen ones.
struct GemmOrder {
  GemmKernel kernel = GemmKernel::kChosen;
  int32_t tile = -1;
  int32_t splits = 0;
  int64_t decoded_rows = 0;
};

}  // namespace qw::cuda
