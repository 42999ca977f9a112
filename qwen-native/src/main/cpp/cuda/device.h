// The device as the host sees it. device_cuda.cpp is the CUDA runtime; device_emulated.cpp does the same with memory of the host, so that
// everything above it runs and is tested where there is no card.
//
// A call that fails throws Failure: kOutOfMemory with the bytes asked for and free, kUnsupported where there is no usable driver or card,
// kDeviceLost where the device failed. After that every call on it fails in the same way.
#pragma once

#include <cstdint>
#include <string>

#include "common/status.h"

namespace qw::cuda {

struct DeviceInfo {
  std::string name;
  int major;  // compute capability
  int minor;
  int64_t total_bytes;
  int64_t free_bytes;
  int processors;
  int64_t shared_bytes;  // most of a block
  bool early;            // kernels may begin before those before them end, see launch_early
};

// Compiled kernels begin at this compute capability.
constexpr int kLowestMajor = 8;

// Throws kUnsupported with the cause where there is none.
int device_count();
DeviceInfo device_info(int device);
// Later calls of this thread go to the device.
void use_device(int device);

void* allocate(int64_t bytes);
void release(void* memory) noexcept;

// Lets copies to and from memory of the host run beside the host; where the operating system does not allow it they are slower.
bool pin(void* memory, int64_t bytes) noexcept;
void unpin(void* memory) noexcept;

// Operations on a stream run one after the other, beside the host.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Memory of the host that is pinned must stay as it is until the copy was waited for; what is not is taken before the call returns.
  void copy_to_device(void* to, const void* from, int64_t bytes);
  // Returns when the host has it.
  void copy_to_host(void* to, const void* from, int64_t bytes);
  void clear(void* memory, int64_t bytes);
  void wait();
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

// A place in a stream that can be waited for.
class Mark {
 public:
  Mark() = default;
  ~Mark();
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void set(const Stream& stream);
  // Returns when the stream was there; at once if it was never set.
  void wait();
  // The same where a lost device is no failure: it reads nothing any more.
  void settle() noexcept;

 private:
  void* handle_ = nullptr;
  bool set_ = false;
};

// For tests; kUnsupported on a real device.
// So many devices of a compute capability (80 is 8.0) with so much memory each; -1: no driver.
void emulate_devices(int devices, int capability, int64_t bytes);
// The k-th allocation (kOutOfMemory) or other call (kDeviceLost) from now on fails; 0 ends it, also the loss of a device.
void emulate_failure(int64_t k, Status status);
// Bytes of the device that are taken, or -1 if unknown.
int64_t emulated_bytes();

}  // namespace qw::cuda
