// The CUDA runtime, linked statically: it opens the driver when it is first called, so the library loads where there is none.
#include <cuda_runtime.h>

#include <utility>

#include "cuda/capture.h"
#include "cuda/device.h"

namespace qw::cuda {
namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

[[noreturn]] void fail(cudaError_t error, const char* what) {
  const std::string message = std::string(what) + ": " + cudaGetErrorString(error) + " (CUDA error " + std::to_string(error) + ")";
  switch (error) {
    case cudaErrorInsufficientDriver: {
      int driver = 0, runtime = 0;
      cudaDriverGetVersion(&driver);
      cudaRuntimeGetVersion(&runtime);
      throw Failure(kUnsupported, driver == 0 ? "no NVIDIA driver is installed; one for CUDA " + version(runtime) + " is needed"
                                              : "the NVIDIA driver is for CUDA " + version(driver) + ", one for CUDA " + version(runtime) +
                                                    " or newer is needed");
    }
    case cudaErrorNoDevice:
      throw Failure(kUnsupported, "the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES may hide it)");
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorInitializationError:
      throw Failure(kUnsupported, message);
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureMerge:
    case cudaErrorStreamCaptureUnmatched:
    case cudaErrorStreamCaptureUnjoined:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorCapturedEvent:
    case cudaErrorStreamCaptureWrongThread:
      cudaGetLastError();  // of the recording alone: the next launch must not find it
      throw Failure(kInternal, message);
    default:
      throw Failure(kDeviceLost, message);
  }
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail(error, what);
}

// The same where memory may be short.
void check_memory(cudaError_t error, const char* what, int64_t bytes) {
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this one does not stay
    size_t free_bytes = 0, total_bytes = 0;
    const bool known = cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess;
    throw Failure(kOutOfMemory, "the device has too little memory", bytes, known ? static_cast<int64_t>(free_bytes) : -1);
  }
  check(error, what);
}

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }

// Never destroyed: buffers may be freed when the process ends.
PinnedRanges& pinned() {
  static PinnedRanges* ranges = new PinnedRanges;
  return *ranges;
}

}  // namespace

// Of launches, see lanes.h.
void check_launch(int error, const char* kernel) { check(static_cast<cudaError_t>(error), kernel); }

void require_running(const char* what) {
  if (recording_here) throw Failure(kInternal, std::string(what) + " cannot be recorded");
}

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting devices");
  return count;
}

DeviceInfo device_info(int device) {
  use_device(device);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "looking at the device");
  DeviceInfo info{properties.name, properties.major, properties.minor, static_cast<int64_t>(properties.totalGlobalMem), 0,
                  properties.multiProcessorCount};
  // Before a context is made on it: the runtime has no code for older cards.
  if (info.major < kLowestMajor) return info;
  size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "looking at the device's memory");
  info.free_bytes = static_cast<int64_t>(free_bytes);
  info.total_bytes = static_cast<int64_t>(total_bytes);
  return info;
}

void use_device(int device) { check(cudaSetDevice(device), "choosing the device"); }

void* allocate(int64_t bytes) {
  require_running("taking memory of the device");
  void* memory = nullptr;
  check_memory(cudaMalloc(&memory, static_cast<size_t>(bytes)), "taking memory of the device", bytes);
  return memory;
}

void release(void* memory) noexcept {
  if (memory != nullptr) cudaFree(memory);
}

bool pin(void* memory, int64_t bytes) noexcept {
  if (recording_here) return false;
  if (cudaHostRegister(memory, static_cast<size_t>(bytes), cudaHostRegisterDefault) == cudaSuccess) {
    pinned().add(memory, bytes);
    return true;
  }
  cudaGetLastError();
  return false;
}

void unpin(void* memory) noexcept {
  pinned().remove(memory);
  cudaHostUnregister(memory);
}

Stream::Stream() {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  handle_ = stream;
}

Stream::~Stream() { cudaStreamDestroy(stream_of(handle_)); }

void Stream::copy_to_device(void* to, const void* from, int64_t bytes) {
  if (recording_here && !pinned().contain(from, bytes)) require_running("a copy from memory that is not pinned");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_of(handle_)), "a copy to the device");
}

void Stream::copy_to_host(void* to, const void* from, int64_t bytes) {
  require_running("a copy to the host");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_of(handle_)), "a copy from the device");
  wait();
}

void Stream::clear(void* memory, int64_t bytes) {
  check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_of(handle_)), "clearing memory of the device");
}

void Stream::wait() {
  require_running("waiting for the device");
  check(cudaStreamSynchronize(stream_of(handle_)), "computing on the device");
}

void Stream::begin_capture() {
  require_running("a recording");
  check(cudaStreamBeginCapture(stream_of(handle_), cudaStreamCaptureModeThreadLocal), "recording a step");
  recording_here = true;
}

Graph Stream::end_capture() {
  recording_here = false;
  cudaGraph_t recorded = nullptr;
  check(cudaStreamEndCapture(stream_of(handle_), &recorded), "recording a step");
  cudaGraphExec_t made = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&made, recorded, 0);
  cudaGraphDestroy(recorded);
  check_memory(error, "making a graph of a step", 0);
  Graph graph;
  graph.handle_ = made;
  return graph;
}

void Stream::abandon_capture() noexcept {
  recording_here = false;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream_of(handle_), &status) != cudaSuccess || status == cudaStreamCaptureStatusNone) return;
  cudaGraph_t recorded = nullptr;
  if (cudaStreamEndCapture(stream_of(handle_), &recorded) == cudaSuccess) cudaGraphDestroy(recorded);
  cudaGetLastError();  // of the recording alone
}

Graph::Graph(Graph&& other) noexcept { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Graph::~Graph() {
  if (handle_ != nullptr) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle_));
}

void Graph::launch(const Stream& stream) const {
  check_memory(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_), stream_of(stream.handle())), "running a recorded step", 0);
}

void Stream::settle() noexcept { cudaStreamSynchronize(stream_of(handle_)); }

Mark::~Mark() {
  if (handle_ != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(handle_));
}

void Mark::set(const Stream& stream) {
  require_running("a mark");
  if (handle_ == nullptr) {
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    handle_ = event;
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(handle_), stream_of(stream.handle())), "recording an event");
  set_ = true;
}

void Mark::wait() {
  if (set_) require_running("waiting for the device");
  if (set_) check(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_)), "waiting for the device");
  set_ = false;
}

void Mark::settle() noexcept {
  try {
    wait();
  } catch (const Failure&) {
  }
}

void emulate_devices(int, int, int64_t) { throw Failure(kUnsupported, "this library is no emulation"); }
void emulate_failure(int64_t, Status) { throw Failure(kUnsupported, "this library is no emulation"); }
int64_t emulated_bytes() { return -1; }
int64_t emulated_faults() { return 0; }
int64_t emulated_allocations() { return -1; }

}  // namespace qw::cuda
