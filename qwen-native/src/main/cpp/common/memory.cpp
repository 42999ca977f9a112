#include "common/memory.h"

#include <sys/mman.h>

#include <atomic>
#include <utility>

#include "common/status.h"

namespace qw {
namespace {

std::atomic<int64_t> mappings{0};
std::atomic<int64_t> fail_after{0};
std::atomic<bool> fail_for_ever{false};

bool told_to_fail() {
  int64_t left = fail_after.load(std::memory_order_relaxed);
  if (left == 0) return false;
  if (left > 1) {
    fail_after.fetch_sub(1);
    return false;
  }
  if (!fail_for_ever.load()) fail_after.store(0);
  return true;
}

}  // namespace

Memory::Memory(int64_t bytes, bool reserve_only) {
  if (bytes <= 0) throw Failure(kInvalidArgument, "memory of no bytes");
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (reserve_only ? MAP_NORESERVE : 0);
  void* data = told_to_fail() ? MAP_FAILED : mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, flags, -1, 0);
  if (data == MAP_FAILED) throw Failure(kOutOfMemory, "the operating system gives no memory", bytes);
  // Fewer page faults and TLB misses on weights; only advice.
  if (bytes >= (4 << 20) && !reserve_only) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(data);
  bytes_ = bytes;
  mappings.fetch_add(1);
}

Memory::Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  munmap(data_, static_cast<size_t>(bytes_));
  mappings.fetch_sub(1);
}

void Memory::discard() { madvise(data_, static_cast<size_t>(bytes_), MADV_DONTNEED); }

void Memory::grow(int64_t bytes) {
  if (bytes <= bytes_) return;
  *this = Memory();
  *this = Memory(plus(bytes, bytes / 2));
}

int64_t live_mappings() { return mappings.load(); }

void fail_mapping(int64_t k, bool for_ever) {
  fail_for_ever.store(for_ever);
  fail_after.store(k);
}

}  // namespace qw
