#include <cuda_runtime.h>

#include <utility>

#include "device_times.h"

namespace qw::test {

struct DeviceTimer::Device {
  cudaEvent_t begin = nullptr, end = nullptr;
  cudaGraphExec_t graph = nullptr;

  void forget() {
    if (graph != nullptr) cudaGraphExecDestroy(graph);
    graph = nullptr;
  }
};

DeviceTimer::DeviceTimer(const cuda::Stream& stream) : stream_(stream), device_(new Device) {
  if (cudaEventCreate(&device_->begin) != cudaSuccess || cudaEventCreate(&device_->end) != cudaSuccess) {
    throw Failure(kDeviceLost, "no events can be made");
  }
}

DeviceTimer::~DeviceTimer() {
  device_->forget();
  cudaEventDestroy(device_->begin);
  cudaEventDestroy(device_->end);
  delete device_;
}

bool DeviceTimer::take(std::function<bool()> work) {
  device_->forget();
  work_ = std::move(work);
  return false;
}

bool DeviceTimer::prepare(std::function<bool()> work) {
  take(std::move(work));
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_.handle());
  // Relaxed: an operation may take memory while it is recorded.
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  const bool worked = work_();
  cudaGraph_t graph = nullptr;
  const bool recorded = cudaStreamEndCapture(stream, &graph) == cudaSuccess && worked && graph != nullptr;
  if (recorded && cudaGraphInstantiate(&device_->graph, graph, 0) != cudaSuccess) device_->graph = nullptr;
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
  return device_->graph != nullptr;
}

double DeviceTimer::run() {
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_.handle());
  if (cudaEventRecord(device_->begin, stream) != cudaSuccess) return -1;
  if (device_->graph == nullptr ? !work_() : cudaGraphLaunch(device_->graph, stream) != cudaSuccess) return -1;
  float milliseconds = -1;
  if (cudaEventRecord(device_->end, stream) != cudaSuccess || cudaEventSynchronize(device_->end) != cudaSuccess ||
      cudaEventElapsedTime(&milliseconds, device_->begin, device_->end) != cudaSuccess) {
    return -1;
  }
  return 1e3 * milliseconds;
}

}  // namespace qw::test
