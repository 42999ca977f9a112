// Products of the activations of many tokens with weights on tensor cores, where activations have 16 bits: BF16, or F16 beside F16 weights.
// Where activations are fine they are the sum of two such numbers, and each weight is multiplied with both.
//
// An output is the sum of its products in the order of the columns, 16 at a time, or of `splits` such sums of whole tiles of columns. So its
// bits depend on the kernel and on the number of splits, which depend on the number of tokens, but on nothing else that is computed beside.
#pragma once

#include "cuda/objects.h"

namespace qw::cuda {

constexpr int kGemmColumns = 64;  // of a tile of any kernel: 128 bytes

// Activations of 16 bits. A row has `passes` sections of whole tiles, zeros behind the last column: what is rounded, and what that leaves over.
struct GemmActivations {
  const uint16_t* values = nullptr;
  const float* scale = nullptr;  // powers of two that sums of the tokens are multiplied with, or null
  int64_t tokens = 0;
  int32_t passes = 0;
  int32_t tiles = 0;  // of columns, in a section
  int64_t stride() const { return int64_t{passes} * tiles * kGemmColumns; }
};

// One matrix of BF16 or F16, and where its results go.
struct GemmProduct {
  int32_t type;
  const uint8_t* data;  // of the first row
  int64_t row_bytes;
  int64_t rows;
  int64_t columns;
  const float* bias;  // of the first row, or null
  float* y;           // of the first row
  int64_t y_stride;
  bool add;
};

// The products of one operation. x (tokens, columns) is rounded when a product first needs it.
class Gemm {
 public:
  Gemm(Backend& backend, const float* x, int64_t tokens, int64_t columns);
  // y[t] = x[t] · wᵀ + bias, or y[t] += x[t] · wᵀ, for the rows of a run; false, and nothing is done, where other kernels compute it.
  // order: of the run's columns, on the device, or null; bias, or null, and y are those of the run's first row.
  bool multiply(const Segment& run, const int32_t* order, const float* bias, bool add, float* y, int64_t y_stride);

 private:
  const GemmActivations& activations(bool half, const int32_t* order);
  bool reserve_decoded(int64_t bytes);

  Backend& backend_;
  const float* x_;
  int64_t tokens_;
  int64_t columns_;
  GemmActivations rounded_;
  bool half_ = false;
  const int32_t* order_ = nullptr;
};

// What the kernels do; gemm_float.cpp and gemm_hopper.cpp.
constexpr int kGemmTiles = 5;  // that a GemmOrder may name
constexpr int kHopperTiles = 2;
void multiply_mma(Backend& backend, const GemmActivations& x, const GemmProduct& product);
bool hopper_usable(Backend& backend);
void multiply_hopper(Backend& backend, const GemmActivations& x, const GemmProduct& product);

}  // namespace qw::cuda
