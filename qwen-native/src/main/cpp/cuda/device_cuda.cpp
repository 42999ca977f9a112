// The CUDA runtime, linked statically: it opens the driver when it is first called, so the library loads where there is none.
#include <cuda_runtime.h>

#include <atomic>

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
    default:
      throw Failure(kDeviceLost, message);
  }
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail(error, what);
}

// A kernel of which there is the same code as of all others.
__global__ void any_kernel() {}

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }

}  // namespace

// Of launches, see lanes.h.
void check_launch(int error, const char* kernel) { check(static_cast<cudaError_t>(error), kernel); }

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting devices");
  return count;
}

DeviceInfo device_info(int device) {
  use_device(device);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "looking at the device");
  DeviceInfo info{properties.name, properties.major, properties.minor, 0, 0, properties.multiProcessorCount,
                  static_cast<int64_t>(properties.sharedMemPerBlockOptin), false};
  // Before a context is made on it: the runtime has no code for older cards.
  if (info.major < kLowestMajor) return info;
  size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "looking at the device's memory");
  info.free_bytes = static_cast<int64_t>(free_bytes);
  info.total_bytes = static_cast<int64_t>(total_bytes);
  // Code for older devices, which runs on those that are not named in the build, does not know how to wait.
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, any_kernel), "looking at the kernels");
  info.early = info.major >= 9 && attributes.ptxVersion >= 90;
  return info;
}

void use_device(int device) { check(cudaSetDevice(device), "choosing the device"); }

void* allocate(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this one does not stay
    size_t free_bytes = 0, total_bytes = 0;
    const bool known = cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess;
    throw Failure(kOutOfMemory, "the device has too little memory", bytes, known ? static_cast<int64_t>(free_bytes) : -1);
  }
  check(error, "taking memory of the device");
  return memory;
}

void release(void* memory) noexcept {
  if (memory != nullptr) cudaFree(memory);
}

bool pin(void* memory, int64_t bytes) noexcept {
  if (cudaHostRegister(memory, static_cast<size_t>(bytes), cudaHostRegisterDefault) == cudaSuccess) return true;
  cudaGetLastError();
  return false;
}

void unpin(void* memory) noexcept { cudaHostUnregister(memory); }

Stream::Stream() {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  handle_ = stream;
}

Stream::~Stream() { cudaStreamDestroy(stream_of(handle_)); }

void Stream::copy_to_device(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_of(handle_)), "a copy to the device");
}

void Stream::copy_to_host(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_of(handle_)), "a copy from the device");
  wait();
}

void Stream::clear(void* memory, int64_t bytes) {
  check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_of(handle_)), "clearing memory of the device");
}

void Stream::wait() { check(cudaStreamSynchronize(stream_of(handle_)), "computing on the device"); }

Mark::~Mark() {
  if (handle_ != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(handle_));
}

void Mark::set(const Stream& stream) {
  if (handle_ == nullptr) {
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    handle_ = event;
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(handle_), stream_of(stream.handle())), "recording an event");
  set_ = true;
}

void Mark::wait() {
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

}  // namespace qw::cuda
