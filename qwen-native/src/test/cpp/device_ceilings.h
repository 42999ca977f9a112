// Kernels that do one thing only, to measure what a device can.
#pragma once

#include "cuda/device.h"

namespace qw::test {

// Reads whole blocks of 16 bytes of `bytes` bytes; a sum of what it read goes to `sums` (kReaders floats), so that nothing is left out.
constexpr int kReaders = 132 * 16;
void read_memory(const cuda::Stream& stream, const void* from, int64_t bytes, float* sums);
// Reads and writes.
void copy_memory(const cuda::Stream& stream, void* to, const void* from, int64_t bytes);
void do_nothing(const cuda::Stream& stream);

}  // namespace qw::test
