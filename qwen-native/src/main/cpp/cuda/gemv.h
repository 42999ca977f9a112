// Products of weights with the activations of a few tokens, which a block holds in shared memory. What there is to do to the activations
// first (a norm, rounding to integers) every block does itself where that is less work than another kernel.
#pragma once

#include "cuda/integers.h"
#include "cuda/objects.h"
#include "cuda/products.h"
#include "cuda/quantize.h"

namespace qw::cuda {

// Whether the activations of so many tokens have room in a block.
bool gemv_fits(const Backend& backend, int32_t type, int64_t columns, int64_t tokens);
// Whether blocks round activations themselves; else a kernel before does.
bool gemv_rounds(const Backend& backend, int64_t columns, int64_t tokens);

// The rows of one run times 1 to kFewTokens tokens. source: plain or normed rows, whose order is the run's. integers: the same rounded, for
// a quantized run; if there are none (q is null) the blocks round.
void gemv(Backend& backend, const Segment& run, const RowSource& source, const Integers& integers, int64_t tokens, const Results& results);

}  // namespace qw::cuda
