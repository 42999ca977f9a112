// The device in memory of the host, for tests. Every block of memory has a size of its own from the heap and is filled with numbers that are
// none, so that what is read without having been written shows.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/capture.h"
#include "cuda/device.h"
#include "cuda/emulation.h"

namespace qw::cuda {
namespace {

struct Emulated {
  std::mutex mutex;
  int devices = 1;
  int capability = 90;
  int64_t bytes = int64_t{4} << 30;
  std::map<void*, int64_t> taken;
  PinnedRanges pinned;
  int64_t used = 0;
  int64_t faults = 0;
  int64_t allocations = 0;
  int64_t fail_after = 0;
  Status failure = kOk;
  bool lost = false;
};

// Never destroyed: buffers may be freed when the process ends.
Emulated& emulated() {
  static Emulated* e = new Emulated;
  return *e;
}

bool told_to_fail(Emulated& e, Status status) { return e.failure == status && e.fail_after > 0 && --e.fail_after == 0; }

struct Recording {
  const void* stream = nullptr;  // or null: none is recorded
  std::vector<std::function<void()>> nodes;
};
thread_local Recording recording;

// Graphs that were launched. They run as late as a device might: when anything else is asked of it, so that what the host writes too early shows.
struct Late {
  std::mutex mutex;
  std::vector<const std::vector<std::function<void()>>*> graphs;
  std::atomic<bool> any{false};
};
Late& late() {
  static Late* l = new Late;
  return *l;
}

}  // namespace

namespace emulation {

std::vector<std::function<void()>>* recorded(const void* stream) { return recording.stream == stream && stream != nullptr ? &recording.nodes : nullptr; }

void catch_up() {
  Late& l = late();
  if (!l.any) return;
  const std::lock_guard<std::mutex> lock(l.mutex);
  l.any = false;
  // One that fails takes those behind it along.
  struct Emptied {
    ~Emptied() { graphs.clear(); }
    std::vector<const std::vector<std::function<void()>>*>& graphs;
  } emptied{l.graphs};
  for (const auto* nodes : l.graphs) {
    for (const std::function<void()>& node : *nodes) node();
  }
}

}  // namespace emulation

namespace {

// Where nobody can be told.
void try_to_catch_up() noexcept {
  try {
    emulation::catch_up();
  } catch (const Failure&) {
  }
}

}  // namespace

// One call of the device that may find it lost.
void emulate_call(const char* what) {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  if (told_to_fail(e, kDeviceLost)) e.lost = true;
  if (e.lost) throw Failure(kDeviceLost, std::string(what) + ": the device was lost, as a test asked for");
  if (e.faults > 0) throw Failure(kInternal, std::string(what) + ": memory of the device was given back that was not taken");
}

void require_running(const char* what) {
  if (recording_here) throw Failure(kInternal, std::string(what) + " cannot be recorded");
}

int device_count() {
  Emulated& e = emulated();
  if (e.devices < 0) throw Failure(kUnsupported, "no NVIDIA driver is installed; one for CUDA 13.0 is needed");
  if (e.devices == 0) throw Failure(kUnsupported, "the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES may hide it)");
  return e.devices;
}

DeviceInfo device_info(int device) {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  if (device < 0 || device >= e.devices) throw Failure(kUnsupported, "no such device");
  return {"emulated device " + std::to_string(device), e.capability / 10, e.capability % 10, e.bytes, e.bytes - e.used, 4};
}

void use_device(int) { emulate_call("choosing the device"); }

void* allocate(int64_t bytes) {
  Emulated& e = emulated();
  require_running("taking memory of the device");
  emulation::catch_up();
  emulate_call("taking memory of the device");
  const std::lock_guard<std::mutex> lock(e.mutex);
  if (told_to_fail(e, kOutOfMemory) || bytes > e.bytes - e.used) {
    throw Failure(kOutOfMemory, "the device has too little memory", bytes, e.bytes - e.used);
  }
  void* memory = aligned_alloc(256, static_cast<size_t>((bytes + 255) / 256 * 256));
  if (memory == nullptr) throw Failure(kOutOfMemory, "the host has too little memory", bytes);
  memset(memory, 0xff, static_cast<size_t>(bytes));
  e.taken[memory] = bytes;
  e.used += bytes;
  e.allocations++;
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  try_to_catch_up();
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  const auto found = e.taken.find(memory);
  if (found == e.taken.end()) {
    e.faults++;
    return;
  }
  e.used -= found->second;
  memset(memory, 0xff, static_cast<size_t>(found->second));  // for a graph that still reads it
  e.taken.erase(found);
  free(memory);
}

bool pin(void* memory, int64_t bytes) noexcept {
  if (recording_here) return false;
  Emulated& e = emulated();
  e.pinned.add(memory, bytes);
  const std::lock_guard<std::mutex> lock(e.mutex);
  e.allocations++;
  return true;
}

void unpin(void* memory) noexcept {
  try_to_catch_up();
  emulated().pinned.remove(memory);
}

Stream::Stream() : handle_(this) { emulate_call("making a stream"); }

Stream::~Stream() {
  abandon_capture();
  try_to_catch_up();
}

namespace {

// Runs work of a stream now, or records it.
template <class Fn>
void run_or_record(const Stream& stream, const char* what, Fn fn) {
  const auto run = [what, fn] {
    emulate_call(what);
    fn();
  };
  if (auto* nodes = emulation::recorded(stream.handle())) {
    nodes->emplace_back(run);
    return;
  }
  emulation::catch_up();
  run();
}

}  // namespace

void Stream::copy_to_device(void* to, const void* from, int64_t bytes) {
  if (recording_here && !emulated().pinned.contain(from, bytes)) require_running("a copy from memory that is not pinned");
  run_or_record(*this, "a copy to the device", [=] { memcpy(to, from, static_cast<size_t>(bytes)); });
}

void Stream::copy_to_host(void* to, const void* from, int64_t bytes) {
  require_running("a copy to the host");
  emulation::catch_up();
  emulate_call("a copy from the device");
  memcpy(to, from, static_cast<size_t>(bytes));
}

void Stream::clear(void* memory, int64_t bytes) {
  run_or_record(*this, "clearing memory of the device", [=] { memset(memory, 0, static_cast<size_t>(bytes)); });
}

void Stream::settle() noexcept { try_to_catch_up(); }
void Stream::wait() {
  require_running("waiting for the device");
  emulation::catch_up();
  emulate_call("computing on the device");
}

void Stream::begin_capture() {
  require_running("a recording");
  emulation::catch_up();
  emulate_call("recording a step");
  recording.nodes.clear();
  recording.stream = handle_;
  recording_here = true;
}

Graph Stream::end_capture() {
  recording_here = false;
  recording.stream = nullptr;
  emulate_call("making a graph of a step");
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  if (told_to_fail(e, kInternal)) throw Failure(kInternal, "nothing came of the recording, as a test asked for");
  if (told_to_fail(e, kOutOfMemory)) throw Failure(kOutOfMemory, "the device has too little memory");
  Graph graph;
  graph.handle_ = new std::vector<std::function<void()>>(std::move(recording.nodes));
  return graph;
}

void Stream::abandon_capture() noexcept {
  if (recording.stream != handle_) return;
  recording_here = false;
  recording.stream = nullptr;
  recording.nodes.clear();
}

Graph::Graph(Graph&& other) noexcept { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Graph::~Graph() {
  if (handle_ == nullptr) return;
  try_to_catch_up();
  delete static_cast<std::vector<std::function<void()>>*>(handle_);
}

void Graph::launch(const Stream&) const {
  emulation::catch_up();
  emulate_call("running a recorded step");
  Late& l = late();
  const std::lock_guard<std::mutex> lock(l.mutex);
  l.graphs.push_back(static_cast<const std::vector<std::function<void()>>*>(handle_));
  l.any = true;
}

Mark::~Mark() = default;

void Mark::set(const Stream&) {
  require_running("a mark");
  set_ = true;
}

void Mark::wait() {
  if (!set_) return;
  require_running("waiting for the device");
  set_ = false;
  emulation::catch_up();
}

void Mark::settle() noexcept {
  try {
    wait();
  } catch (const Failure&) {
  }
}

void emulate_devices(int devices, int capability, int64_t bytes) {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  e.devices = devices;
  e.capability = capability;
  e.bytes = bytes;
}

void emulate_failure(int64_t k, Status status) {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  e.fail_after = k;
  e.failure = status;
  e.lost = false;
}

int64_t emulated_bytes() {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  return e.used;
}

int64_t emulated_faults() {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  const int64_t faults = e.faults;
  e.faults = 0;
  return faults;
}

int64_t emulated_allocations() {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  return e.allocations;
}

}  // namespace qw::cuda
