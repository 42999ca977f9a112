#include <chrono>
#include <utility>

#include "device_times.h"

namespace qw::test {

struct DeviceTimer::Device {};

DeviceTimer::DeviceTimer(const cuda::Stream& stream) : stream_(stream), device_(nullptr) {}
DeviceTimer::~DeviceTimer() = default;

bool DeviceTimer::prepare(std::function<bool()> work) { return take(std::move(work)); }

bool DeviceTimer::take(std::function<bool()> work) {
  work_ = std::move(work);
  return false;
}

double DeviceTimer::run() {
  const auto begin = std::chrono::steady_clock::now();
  if (!work_()) return -1;
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace qw::test
