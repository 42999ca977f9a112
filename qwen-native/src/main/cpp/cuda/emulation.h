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
void run_grid(const char* kernel, int64_t x, int64_t y, int64_t z, int threads, int64_t shared_bytes, void (*body)(void*), void* argument);

// Where the work of a stream that is recorded is kept, or null if none is.
std::vector<std::function<void()>>* recorded(const void* stream);
// Runs what was launched before and has not run yet.
void catch_up();

void barrier();
// Gives a value to all lanes of the warp and returns that of another one.
uint32_t exchange(uint32_t value, int from);
// What a warp does as one: run(operands of all lanes) is called once, when all are there.
void together(void* operands, void (*run)(void* const* lanes));

// Copies of 16 bytes to shared memory, of zeros from null. What they write is no number before the thread waited for their group, and is
// read from the source only then.
void begin_copy(void* shared, const void* from);
void end_copies();
void wait_copies(int left);

// A barrier with phases, in 8 bytes of shared memory: see hopper.h.
void make_phases(uint64_t* barrier, int arrivals);
void arrive(uint64_t* barrier, int bytes);
void wait_phase(uint64_t* barrier, int phase);

// A matrix of 16-bit elements, and tiles of 64 columns of it.
struct Map {
  const uint8_t* data;
  int64_t rows, columns, row_bytes;
  int tile_rows;
};
// The tile is copied when somebody waits at the barrier; till then its bytes are no numbers.
void copy_tile(void* shared, const Map& map, int column, int row, uint64_t* barrier);

// What a warp does when it waits for it, in groups as copies; called by what it does as one.
void defer(std::function<void()> action);
void end_deferred();
void run_deferred(int left);

// What a block has of shared memory whose size the launch tells; no number at the beginning of each block.
constexpr int64_t kMostSharedBytes = 227 << 10;
uint8_t* launch_shared();
// Place in it.
uint32_t shared_offset(const void* shared);

}  // namespace qw::cuda::emulation
