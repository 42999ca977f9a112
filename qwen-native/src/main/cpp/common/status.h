// Failures inside the library are exceptions of this type; they end at the C interface, which turns them into a status and a message.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace qw {

// kDeviceLost: what a device computed is gone, and nothing more can be computed on it by this process.
enum Status : int32_t { kOk, kInvalidArgument, kOutOfMemory, kUnsupported, kInternal, kDeviceLost };

class Failure : public std::runtime_error {
 public:
  // For kOutOfMemory: the bytes asked for, and those that were there or -1.
  Failure(Status status, const std::string& message, int64_t bytes = 0, int64_t available = -1)
      : std::runtime_error(message), status_(status), bytes_(bytes), available_(available) {}
  Status status() const { return status_; }
  int64_t bytes() const { return bytes_; }
  int64_t available() const { return available_; }

 private:
  Status status_;
  int64_t bytes_;
  int64_t available_;
};

inline void require(bool condition, const char* message) {
  if (!condition) throw Failure(kInvalidArgument, message);
}

// Sizes that come from shapes: checked products and sums of non-negative numbers.
inline int64_t times(int64_t a, int64_t b) {
  int64_t product;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) throw Failure(kInvalidArgument, "a size exceeds 63 bits");
  return product;
}
inline int64_t plus(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) throw Failure(kInvalidArgument, "a size exceeds 63 bits");
  return sum;
}

}  // namespace qw
