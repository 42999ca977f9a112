#include "cuda/emulation.h"

#include <sys/mman.h>

#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/status.h"

extern "C" void qw_switch_stack(void** keep, void* to);

// Saves what a call must preserve, and goes on where the other stack did this.
asm(R"(
.text
.globl qw_switch_stack
.hidden qw_switch_stack
.type qw_switch_stack, @function
qw_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size qw_switch_stack, .-qw_switch_stack
)");

namespace qw::cuda {

void emulate_call(const char* what);

namespace emulation {

Place place;

namespace {

constexpr int kMostThreads = 1024;
constexpr int kLanes = 32;
constexpr size_t kStackBytes = 64 << 10;

enum State { kReady, kAtBarrier, kAtPhase, kDone };

using Together = void (*)(void* const* lanes);

struct Copy {
  uint8_t* to;
  const void* from;
  int group;
};

struct Phases {
  uint32_t phase : 1;  // the one that has not ended
  uint32_t arrivals : 15;
  uint32_t missing : 16;
  int32_t bytes;
};
static_assert(sizeof(Phases) == 8, "as large as on a device");

struct TileCopy {
  Map map;
  uint8_t* to;
  int column, row;
  uint64_t* barrier;
};

struct Fiber {
  void* stack;
  State state;
  bool waited;  // for the kernels before
  uint64_t* barrier;  // that it waits at, for the end of a phase
  uint32_t phase;
  int exchanges;
  int waits;  // for the end of this generation of its warp
  int group;  // of copies, that is not ended
  std::vector<Copy> copies;
};

struct Warp {
  int arrived = 0;
  int ended = 0;
  int generation = 1;
  Together run = nullptr;  // what the lanes that are there wait to do as one; null for an exchange
  uint32_t values[2][kLanes];
  void* operands[kLanes];
  std::vector<std::pair<int, std::function<void()>>> deferred;
  int deferred_group;
};

std::mutex grids;
uint8_t* stacks = nullptr;
Fiber fibers[kMostThreads];
Warp warps[kMostThreads / kLanes];
void* scheduler = nullptr;
void (*body_of_grid)(void*) = nullptr;
void* argument_of_grid = nullptr;
const char* failure = nullptr;
alignas(1024) uint8_t shared_memory[kMostSharedBytes];
int64_t shared_bytes_of_grid = 0;
bool early_grid = false;
std::vector<TileCopy> tile_copies;

void leave() { qw_switch_stack(&fibers[place.thread].stack, scheduler); }

bool can_run(int thread) { return fibers[thread].state == kReady && fibers[thread].waits != warps[thread / kLanes].generation; }

// Goes on with the next lane of the warp that can run: a switch for each lane, where the way over the scheduler takes two.
void pass_on() {
  const int thread = place.thread, first = thread / kLanes * kLanes;
  for (int i = 1; i < kLanes; i++) {
    const int next = first + (thread + i) % kLanes;
    if (!can_run(next)) continue;
    place.thread = next;
    qw_switch_stack(&fibers[thread].stack, fibers[next].stack);
    return;
  }
  leave();
}

void run_thread() {
  while (true) {
    body_of_grid(argument_of_grid);
    if (early_grid && !fibers[place.thread].waited) failure = "a thread did not wait for the kernels before";
    fibers[place.thread].state = kDone;
    warps[place.thread / kLanes].ended++;
    pass_on();
  }
}

void make_fiber(int thread) {
  // What qw_switch_stack takes off, the address it returns to, and one that nobody returns to.
  // The tops lie 7 lines of a cache apart, not at a multiple of 64 KB, where all would share the same few lines of it.
  const size_t top_of = (static_cast<size_t>(thread) + 1) * kStackBytes - static_cast<size_t>(thread) * 448 % 16384;
  void** top = reinterpret_cast<void**>(stacks + top_of);
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(&run_thread);
  for (int i = 3; i <= 8; i++) top[-i] = nullptr;
  fibers[thread].stack = top - 8;
}

void make_fibers() {
  if (stacks == nullptr) {
    void* memory = mmap(nullptr, kMostThreads * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw Failure(kOutOfMemory, "no memory for the stacks of an emulated block");
    stacks = static_cast<uint8_t*>(memory);
  }
  for (int i = 0; i < kMostThreads; i++) make_fiber(i);
}

void resume(int thread) {
  place.thread = thread;
  qw_switch_stack(&scheduler, fibers[thread].stack);
}

// Runs the lanes of a warp until each waits at the barrier or has ended.
void run_warp(int first) {
  while (failure == nullptr) {
    int ready = -1;
    bool waiting = false;
    for (int i = first; i < first + kLanes && ready < 0; i++) {
      if (can_run(i)) ready = i;
      waiting |= fibers[i].state == kReady;
    }
    if (ready >= 0) {
      resume(ready);
    } else {
      if (waiting) failure = "lanes exchange values with lanes that do not";
      return;
    }
  }
}

void load_phases(const uint64_t* barrier, Phases& phases) { memcpy(&phases, barrier, sizeof phases); }
void store_phases(uint64_t* barrier, Phases phases) {
  if (phases.missing == 0 && phases.bytes == 0) {
    phases.phase ^= 1;
    phases.missing = phases.arrivals;
  }
  memcpy(barrier, &phases, sizeof phases);
}

// Bits 4 .. 6 of a place in shared memory, changed by bits 7 .. 9.
uint32_t swizzled(uint32_t at) { return at ^ (at >> 7 & 7) << 4; }

void run_tile_copy(const TileCopy& copy) {
  constexpr int kColumns = 64;
  const uint32_t place_of_tile = static_cast<uint32_t>(copy.to - shared_memory);
  for (int r = 0; r < copy.map.tile_rows; r++) {
    const int64_t row = int64_t{copy.row} + r;
    for (int c = 0; c < kColumns; c++) {
      const int64_t column = int64_t{copy.column} + c;
      uint8_t* to = shared_memory + swizzled(place_of_tile + static_cast<uint32_t>(r * kColumns + c) * 2);
      if (row < copy.map.rows && column < copy.map.columns) {
        memcpy(to, copy.map.data + row * copy.map.row_bytes + column * 2, 2);
      } else {
        memset(to, 0, 2);
      }
    }
  }
  Phases phases;
  load_phases(copy.barrier, phases);
  phases.bytes -= copy.map.tile_rows * kColumns * 2;
  store_phases(copy.barrier, phases);
}

bool phase_ended(uint64_t* barrier, uint32_t phase) {
  for (size_t i = 0; i < tile_copies.size();) {
    if (tile_copies[i].barrier != barrier) {
      i++;
      continue;
    }
    const TileCopy copy = tile_copies[i];
    tile_copies.erase(tile_copies.begin() + static_cast<std::ptrdiff_t>(i));
    run_tile_copy(copy);
  }
  Phases phases;
  load_phases(barrier, phases);
  return phases.phase != phase;
}

void run_block(int threads) {
  for (int i = 0; i < threads; i++) {
    fibers[i].state = kReady;
    fibers[i].waits = 0;
    fibers[i].waited = false;
    fibers[i].group = 0;
    fibers[i].copies.clear();
  }
  tile_copies.clear();
  for (int i = 0; i < threads / kLanes; i++) warps[i] = Warp{};
  memset(shared_memory, 0xff, static_cast<size_t>(shared_bytes_of_grid));
  while (true) {
    int waiting = 0;
    for (int i = 0; i < threads && failure == nullptr; i += kLanes) run_warp(i);
    bool at_phase = false, moved = false;
    for (int i = 0; i < threads && failure == nullptr; i++) {
      if (fibers[i].state != kAtPhase) continue;
      at_phase = true;
      if (!phase_ended(fibers[i].barrier, fibers[i].phase)) continue;
      fibers[i].state = kReady;
      moved = true;
    }
    if (moved) continue;
    if (failure == nullptr && at_phase) failure = "threads wait for the end of a phase that nobody ends";
    for (int i = 0; i < threads; i++) waiting += fibers[i].state == kAtBarrier;
    if (failure == nullptr && waiting != 0 && waiting != threads) failure = "threads wait at a barrier for threads that have ended";
    if (failure == nullptr && waiting == 0) {
      if (!tile_copies.empty()) failure = "a copy was not waited for";
      for (int i = 0; i < threads / kLanes; i++) {
        if (!warps[i].deferred.empty()) failure = "products were not waited for";
      }
    }
    if (failure != nullptr || waiting == 0) return;
    for (int i = 0; i < threads; i++) fibers[i].state = kReady;
  }
}

// Marks the lane as arrived to do what the others do; returns the generation that ends when all have.
int arrive(Warp& warp, Together run) {
  if (warp.ended != 0) {
    failure = "lanes exchange values with lanes that have ended";
    leave();
  }
  if (warp.arrived != 0 && warp.run != run) {
    failure = "lanes of a warp wait to do different things";
    leave();
  }
  warp.run = run;
  return warp.generation;
}

void complete(Warp& warp) {
  warp.arrived = 0;
  warp.generation++;
}

void wait_for(int generation) {
  fibers[place.thread].waits = generation;
  pass_on();
}

}  // namespace

void run_grid(const char* kernel, int64_t x, int64_t y, int64_t z, int threads, int64_t shared_bytes, bool early, void (*body)(void*),
              void* argument) {
  emulate_call(kernel);
  const std::lock_guard<std::mutex> lock(grids);
  require(shared_bytes >= 0 && shared_bytes <= kMostSharedBytes, "a block has at most 227 KB of shared memory");
  shared_bytes_of_grid = shared_bytes;
  early_grid = early;
  require(threads >= kLanes && threads <= kMostThreads && threads % kLanes == 0, "a block has 32 to 1024 threads in whole warps");
  require(x >= 1 && x <= INT32_MAX && y >= 1 && y <= 65535 && z >= 1 && z <= 65535, "a grid has a size that no device takes");
  if (stacks == nullptr) make_fibers();
  body_of_grid = body;
  argument_of_grid = argument;
  for (place.block_z = 0; place.block_z < z; place.block_z++) {
    for (place.block_y = 0; place.block_y < y; place.block_y++) {
      for (place.block_x = 0; place.block_x < x; place.block_x++) {
        run_block(threads);
        if (failure == nullptr) continue;
        const std::string message = std::string(kernel) + ": " + failure;
        failure = nullptr;
        make_fibers();
        throw Failure(kInternal, message);
      }
    }
  }
}

void barrier() {
  fibers[place.thread].state = kAtBarrier;
  pass_on();
}

void wait_for_previous() { fibers[place.thread].waited = true; }

uint32_t exchange(uint32_t value, int from) {
  const int thread = place.thread;
  Warp& warp = warps[thread / kLanes];
  const int generation = arrive(warp, nullptr);
  // Two sets of values in turn: a lane may give its next one before others have read this one.
  uint32_t* values = warp.values[fibers[thread].exchanges++ & 1];
  values[thread % kLanes] = value;
  if (++warp.arrived == kLanes) {
    complete(warp);
  } else {
    wait_for(generation);
  }
  return values[from];
}

void together(void* operands, Together run) {
  Warp& warp = warps[place.thread / kLanes];
  const int generation = arrive(warp, run);
  warp.operands[place.thread % kLanes] = operands;
  if (++warp.arrived == kLanes) {
    run(warp.operands);
    complete(warp);
  } else {
    wait_for(generation);
  }
}

void begin_copy(void* shared, const void* from) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) __builtin_trap();
  memset(shared, 0xff, 16);
  Fiber& fiber = fibers[place.thread];
  fiber.copies.push_back({static_cast<uint8_t*>(shared), from, fiber.group});
}

void end_copies() { fibers[place.thread].group++; }

void wait_copies(int left) {
  Fiber& fiber = fibers[place.thread];
  size_t done = 0;
  for (; done < fiber.copies.size() && fiber.copies[done].group < fiber.group - left; done++) {
    const Copy& copy = fiber.copies[done];
    if (copy.from == nullptr) {
      memset(copy.to, 0, 16);
    } else {
      memcpy(copy.to, copy.from, 16);
    }
  }
  fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void make_phases(uint64_t* barrier, int arrivals) {
  if (reinterpret_cast<uintptr_t>(barrier) % 8 != 0 || arrivals < 1) __builtin_trap();
  Phases phases{0, static_cast<uint32_t>(arrivals) & 0x7fff, static_cast<uint32_t>(arrivals) & 0xffff, 0};
  memcpy(barrier, &phases, sizeof phases);
}

void arrive(uint64_t* barrier, int bytes) {
  Phases phases;
  load_phases(barrier, phases);
  if (phases.missing == 0) {
    failure = "more threads arrive at a phase than it has";
    leave();
  }
  phases.missing--;
  phases.bytes += bytes;
  store_phases(barrier, phases);
}

void wait_phase(uint64_t* barrier, int phase) {
  if (phase_ended(barrier, static_cast<uint32_t>(phase))) return;
  Fiber& fiber = fibers[place.thread];
  fiber.barrier = barrier;
  fiber.phase = static_cast<uint32_t>(phase);
  fiber.state = kAtPhase;
  leave();
}

void copy_tile(void* shared, const Map& map, int column, int row, uint64_t* barrier) {
  if (shared_offset(shared) % 1024 != 0) __builtin_trap();
  memset(shared, 0xff, static_cast<size_t>(map.tile_rows) * 128);
  tile_copies.push_back({map, static_cast<uint8_t*>(shared), column, row, barrier});
}

void defer(std::function<void()> action) {
  Warp& warp = warps[place.thread / kLanes];
  warp.deferred.emplace_back(warp.deferred_group, std::move(action));
}

void end_deferred() { warps[place.thread / kLanes].deferred_group++; }

void run_deferred(int left) {
  Warp& warp = warps[place.thread / kLanes];
  while (!warp.deferred.empty() && warp.deferred.front().first < warp.deferred_group - left) {
    warp.deferred.front().second();
    warp.deferred.erase(warp.deferred.begin());
  }
}

uint8_t* launch_shared() { return shared_memory; }

uint32_t shared_offset(const void* shared) { return static_cast<uint32_t>(static_cast<const uint8_t*>(shared) - shared_memory); }

}  // namespace emulation
}  // namespace qw::cuda
