// Memory from the operating system, page-aligned, zero and committed when first touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qw {

class Memory {
 public:
  Memory() = default;
  // Throws Failure(kOutOfMemory). `reserve_only`: no promise of the operating system is asked for (KV pools, larger than what is used).
  explicit Memory(int64_t bytes, bool reserve_only = false);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  uint8_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Gives the pages back and keeps the addresses: later reads see zeros instead of a fault.
  void discard();
  // Makes at least `bytes` available; contents are lost when it grows.
  void grow(int64_t bytes);

 private:
  uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Mapped blocks and objects that were not freed, for leak tests.
int64_t live_mappings();
// The k-th mapping from now on fails (k = 1 is the next), all following too if `for_ever`; 0 ends it. For tests.
void fail_mapping(int64_t k, bool for_ever);

}  // namespace qw
