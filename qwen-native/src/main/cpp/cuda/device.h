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

class Graph;

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
  // The same where a lost device is no failure: it reads and writes nothing any more.
  void settle() noexcept;

  // What this thread gives to the stream from now on is recorded and not run. Until the recording ends, what cannot be recorded fails with
  // kInternal: to take or free memory of the device, to wait, to bring anything to the host, to send memory that is not pinned, to set a mark.
  void begin_capture();
  // Throws kInternal if nothing came of the recording, kOutOfMemory if there is no memory for the graph; the recording has ended all the same.
  Graph end_capture();
  // Ends a recording, if there is one, for nothing.
  void abandon_capture() noexcept;
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

// Throws kInternal, naming what is asked for, while this thread records a stream.
void require_running(const char* what);

// What was recorded, to be run again: kernels with the arguments and copies with the addresses that they had. What those point to must live, and
// what kernels and copies read there is what it is when they run.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  ~Graph();

  bool empty() const { return handle_ == nullptr; }
  // kOutOfMemory if the device has no room for it: nothing ran then.
  void launch(const Stream& stream) const;

 private:
  friend class Stream;
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
// The k-th allocation (kOutOfMemory), recording (kInternal) or other call (kDeviceLost) from now on fails; 0 ends it, also the loss of a device.
void emulate_failure(int64_t k, Status status);
// Bytes of the device that are taken, or -1 if unknown.
int64_t emulated_bytes();
// How often memory was given back that was not taken, since this was last asked. Until it is asked each call of the device fails for it.
int64_t emulated_faults();
// How often memory of the device was taken or memory of the host was pinned since the process began, or -1 if unknown.
int64_t emulated_allocations();

}  // namespace qw::cuda
