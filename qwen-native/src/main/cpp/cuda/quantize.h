// Activations in integers, for products with quantized weights.
#pragma once

#include "cuda/formats.h"
#include "cuda/integers.h"
#include "cuda/ops.h"
#include "cuda/row_values.h"

namespace qw::cuda {

// Of a row, `groups` times 32 int8 values q with x = scale * q, and the sums of q of each 16. Where activations are fine a second set with
// what the first one leaves over follows.
struct Integers {
  int8_t* q;
  float* scale;
  int16_t* sum16;
  int32_t sets;
  int32_t rows;  // of a set
};

// Rounds the rows of a source in the order of columns `order` of a weight. They stay until the next call.
Integers quantize(Backend& backend, RowSource source, const Weight& w, int32_t order, int64_t rows);
// The numbers of an order on the device, or null.
const int32_t* order_on_device(Backend& backend, const Weight& w, int32_t order);

// What a lane has of a group that 8 lanes round, 4 values each.
struct Rounded {
  uint32_t q;   // the lane's, in bytes
  float scale;  // the group's
  int sum;      // of q of 4 lanes
};

// Each 8 lanes round a group; all lanes of the warp take part; the values become what is left over.
QW_DEVICE Rounded round_group(float (&v)[4]) {
  // Magnitudes are ordered as their bits are, and those of no number are above all others.
  int largest_bits = 0;
  QW_UNROLL for (int i = 0; i < 4; i++) {
    const int bits = static_cast<int>(bits_of(v[i]) & 0x7fffffffu);
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  QW_UNROLL for (int mask = 4; mask > 0; mask /= 2) {
    const int other = exchange(largest_bits, mask);
    largest_bits = other > largest_bits ? other : largest_bits;
  }
  const Rounding rounding = rounding_of(float_of(static_cast<uint32_t>(largest_bits)), largest_bits < 0x7f800000);
  Rounded r{0, rounding.scale, 0};
  QW_UNROLL for (int i = 0; i < 4; i++) {
    const int q = rounding(v[i]);
    r.q |= (static_cast<uint32_t>(q) & 255) << 8 * i;
    r.sum += q;
    v[i] = v[i] - r.scale * static_cast<float>(q);
  }
  r.sum += exchange(r.sum, 2);
  r.sum += exchange(r.sum, 1);
  return r;
}

}  // namespace qw::cuda
