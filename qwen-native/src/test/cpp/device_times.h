// Times of work on a stream, for benchmarks: device_times_cuda.cpp reads events of the device, device_times_emulated.cpp the host's clock.
#pragma once

#include <functional>

#include "cuda/device.h"

namespace qw::test {

class DeviceTimer {
 public:
  explicit DeviceTimer(const cuda::Stream& stream);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  // What run() does from now on. `work` puts something on the stream and returns whether it could. Where a device can keep that as a graph,
  // run() replays the graph, so that short kernels are not timed by the launches of the host; it returns whether it does.
  bool prepare(std::function<bool()> work);
  // The same without a graph, for work that waits for the device; returns false.
  bool take(std::function<bool()> work);
  // Microseconds from the first to the last kernel of one run, or a negative number if it failed.
  double run();

 private:
  struct Device;
  const cuda::Stream& stream_;
  Device* device_;
  std::function<bool()> work_;
};

}  // namespace qw::test
