// Products of the activations of many tokens with quantized weights, in integers on tensor cores.
//
// The columns of a matrix are cut into eight strands at places that only their number decides. A strand's groups are added in their order,
// then the strands in theirs, in every tile there is: so an output's bits do not depend on the tile, nor on what is computed beside it.
#pragma once

#include "cuda/objects.h"

namespace qw::cuda {

// Rows of the weights and tokens that a block multiplies; see gemm_int8_kernel.h.
enum class IntegerTile : int32_t {
  kNarrow,  // 32 x 16, a warp for each strand
  kMiddle,  // 64 x 32, a warp for each strand
  kWide,    // 128 x 128, all warps one strand after the other
};
constexpr int kIntegerTiles = 3;

// Activations of one operation as the tiles take them. Slots are tokens; where activations are fine, eight tokens are eight slots and
// eight more behind them with what the first ones leave over. Numbers of a group and all slots lie side by side.
struct IntegerSlots {
  int8_t* q;     // [slots][columns]
  float* scale;  // [groups][slots]
  float* sum;    // [groups][slots], of q of a group
  float* low;    // the same, of its first 16 columns
  int32_t slots;
  int32_t sets;
  int32_t tokens;
};

// What a launch multiplies.
struct IntegerProduct {
  int32_t type;
  const uint8_t* data;  // of the first row
  int64_t row_bytes;
  int32_t rows;
  int32_t groups;
  IntegerSlots x;
  const float* bias;  // of the first row, or null
  float* y;           // of the first row
  int64_t y_stride;
  bool add;
};

// The products of one operation with the parts of one matrix. x (tokens, columns) is rounded when a part first needs it.
class IntegerGemm {
 public:
  IntegerGemm(Backend& backend, const Weight& weight, const float* x, int64_t tokens);
  // y[t] = x[t] · wᵀ + bias, or y[t] += x[t] · wᵀ; false, and nothing is done, where other kernels compute it. tile: for tests, else null.
  bool multiply(const Segment& run, const float* bias, bool add, float* y, int64_t y_stride, const IntegerTile* tile = nullptr);

 private:
  void round(int32_t order);

  Backend& backend_;
  const Weight& weight_;
  const float* x_;
  int64_t tokens_;
  IntegerSlots slots_{};
  int32_t order_ = -1;
};

// False where a block of the device has too little shared memory for the tile.
template <IntegerTile kTile>
bool multiply_tiles(const Stream& stream, int64_t shared_bytes, int64_t processors, IntegerProduct product);

}  // namespace qw::cuda
