// The device in memory of the host, for tests. Every block of memory has a size of its own from the heap and is filled with numbers that are
// none, so that what is read without having been written shows.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/device.h"

namespace qw::cuda {
namespace {

struct Emulated {
  std::mutex mutex;
  int devices = 1;
  int capability = 90;
  int64_t bytes = int64_t{4} << 30;
  std::map<void*, int64_t> taken;
  int64_t used = 0;
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

}  // namespace

// One call of the device that may find it lost.
void emulate_call(const char* what) {
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  if (told_to_fail(e, kDeviceLost)) e.lost = true;
  if (e.lost) throw Failure(kDeviceLost, std::string(what) + ": the device was lost, as a test asked for");
}

int device_count() {
  Emulated& e = emulated();
  if (e.devices < 0) throw Failure(kUnsupported, "no NVIDIA driver is installed; one for CUDA 13.0 is needed");
  if (e.devices == 0) throw Failure(kUnsupported, "the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES may hide it)");
  return e.devices;
}

DeviceInfo device_info(int device) {
  Emulated& e = emulated();
  if (device < 0 || device >= e.devices) throw Failure(kUnsupported, "no such device");
  const int64_t shared = e.capability / 10 == 8 ? 163 : e.capability / 10 == 12 ? 99 : 227;
  return {"emulated device " + std::to_string(device), e.capability / 10, e.capability % 10, e.bytes, e.bytes - e.used, 4, shared << 10,
          e.capability >= 90};
}

void use_device(int) { emulate_call("choosing the device"); }

void* allocate(int64_t bytes) {
  Emulated& e = emulated();
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
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  Emulated& e = emulated();
  const std::lock_guard<std::mutex> lock(e.mutex);
  const auto found = e.taken.find(memory);
  if (found == e.taken.end()) abort();  // freed twice, in a test
  e.used -= found->second;
  e.taken.erase(found);
  free(memory);
}

bool pin(void*, int64_t) noexcept { return true; }
void unpin(void*) noexcept {}

Stream::Stream() { emulate_call("making a stream"); }
Stream::~Stream() = default;

void Stream::copy_to_device(void* to, const void* from, int64_t bytes) {
  emulate_call("a copy to the device");
  memcpy(to, from, static_cast<size_t>(bytes));
}

void Stream::copy_to_host(void* to, const void* from, int64_t bytes) {
  emulate_call("a copy from the device");
  memcpy(to, from, static_cast<size_t>(bytes));
}

void Stream::clear(void* memory, int64_t bytes) {
  emulate_call("clearing memory of the device");
  memset(memory, 0, static_cast<size_t>(bytes));
}

void Stream::wait() { emulate_call("computing on the device"); }

Mark::~Mark() = default;
void Mark::set(const Stream&) { set_ = true; }
void Mark::wait() { set_ = false; }

void Mark::settle() noexcept {
  try {
    wait();
  } catch (const Failure&) {
  }
}

void emulate_devices(int devices, int capability, int64_t bytes) {
  Emulated& e = emulated();
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

int64_t emulated_bytes() { return emulated().used; }

}  // namespace qw::cuda
