// What the device and its emulation check while a stream is recorded. Known before the driver is asked: its own refusal would spoil the recording.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "cuda/device.h"

namespace qw::cuda {

// Whether this thread records a stream.
inline thread_local bool recording_here = false;

// Memory of the host that is pinned. A copy from other memory would be recorded with an address that nobody keeps.
class PinnedRanges {
 public:
  void add(const void* memory, int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ranges_[static_cast<const uint8_t*>(memory)] = bytes;
  }
  void remove(const void* memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ranges_.erase(static_cast<const uint8_t*>(memory));
  }
  bool contain(const void* memory, int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint8_t* from = static_cast<const uint8_t*>(memory);
    auto next = ranges_.upper_bound(from);
    if (next == ranges_.begin()) return false;
    --next;
    return from + bytes <= next->first + next->second;
  }

 private:
  std::mutex mutex_;
  std::map<const uint8_t*, int64_t> ranges_;
};

}  // namespace qw::cuda
