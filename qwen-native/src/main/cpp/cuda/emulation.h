// Runs a kernel on the CPU: the threads of a block are fibers on one thread of the host, which change at barriers and exchanges between
// lanes. Blocks run one after the other. For tests; nothing of it is in what is shipped.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace qw::cuda::emulation {

struct Place {
  int thread;
  int64_t block_x, block_y, block_z;
};
extern Place place;

// Runs body(argument) as each thread of each block. Throws Failure(kInternal) if threads of a block, or lanes of a warp, wait for
// others that have ended or wait elsewhere, undefined on a device; also if `early` and a thread ends without wait_for_previous.
void run_grid(const char* kernel, int64_t x, int64_t y, int64_t z, int threads, int64_t shared_bytes, bool early, void (*body)(void*),
              void* argument);

void barrier();
void wait_for_previous();
// Gives a value to all lanes of the warp and returns that of another one.
uint32_t exchange(uint32_t value, int from);
// What a warp does as one: run(operands of all lanes) is called once, when all are there.
void together(void* operands, void (*run)(void* const* lanes));

// Copies of 16 bytes to shared memory, of zeros from null. What they write is no number before the thread waited for their group, and is
// read from the source only then.
void begin_copy(void* shared, const void* from);
void end_copies();
void wait_copies(int left);

// What a block has of shared memory whose size the launch tells; no number at the beginning of each block.
constexpr int64_t kMostSharedBytes = 227 << 10;
uint8_t* launch_shared();

}  // namespace qw::cuda::emulation
