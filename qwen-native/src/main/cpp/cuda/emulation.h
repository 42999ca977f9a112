// Runs a kernel on the CPU: the threads of a block are fibers on one thread of the host, which change at barriers and exchanges between
// lanes. Blocks run one after the other. For tests; nothing of it is in what is shipped.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace qw::cuda::emulation {

struct Place {
  int thread;
  int64_t block_x, block_y, block_z;
};
extern Place place;

// Runs body(argument) as each thread of each block. Throws Failure(kInternal) if threads of a block, or lanes of a warp, wait for
// others that have ended or wait elsewhere: undefined on a device.
void run_grid(const char* kernel, int64_t x, int64_t y, int64_t z, int threads, void (*body)(void*), void* argument);

// Where the work of a stream that is recorded is kept, or null if none is.
std::vector<std::function<void()>>* recorded(const void* stream);
// Runs what was launched before and has not run yet.
void catch_up();

void barrier();
// Gives a value to all lanes of the warp and returns that of another one.
uint32_t exchange(uint32_t value, int from);

}  // namespace qw::cuda::emulation
