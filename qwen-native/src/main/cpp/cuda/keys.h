// Numbers with the places they stand at, as integers that are ordered: the greater for what comes first. Sorting and selecting by them is exact,
// for all of them differ.
#pragma once

#include "cuda/lanes.h"

namespace qw::cuda {

constexpr uint32_t kNone = 0xffffffffu;

// The greater number comes first, of equal ones the lower place. 0 is none; no number has one above negative infinity's, or is asked for.
QW_DEVICE uint64_t key_of(float value, int64_t place) {
  const uint32_t bits = bits_of(value + 0.f);  // both zeros are equal
  const uint32_t rising = bits >> 31 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(rising) << 32 | (kNone - static_cast<uint32_t>(place));
}
QW_DEVICE float value_of(uint64_t key) {
  const uint32_t rising = static_cast<uint32_t>(key >> 32);
  return float_of(rising >> 31 ? rising & 0x7fffffffu : ~rising);
}
QW_DEVICE uint32_t place_of(uint64_t key) { return kNone - static_cast<uint32_t>(key); }

QW_DEVICE uint64_t exchange64(uint64_t value, int mask) {
  const uint32_t low = static_cast<uint32_t>(exchange(static_cast<int>(value), mask));
  return static_cast<uint64_t>(static_cast<uint32_t>(exchange(static_cast<int>(value >> 32), mask))) << 32 | low;
}

struct Greatest {
  static QW_DEVICE uint64_t of(uint64_t a, uint64_t b) { return a > b ? a : b; }
};
struct Least {
  static QW_DEVICE uint64_t of(uint64_t a, uint64_t b) { return a < b ? a : b; }
};

template <class Operation>
QW_DEVICE uint64_t of_lanes(uint64_t value) {
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value = Operation::of(value, exchange64(value, mask));
  return value;
}

// Sums of a value over the lanes before, and over all.
struct LaneSums {
  int before;
  int all;
};
QW_DEVICE LaneSums lane_sums(int value) {
  LaneSums sums{0, value};
  for (int mask = 1; mask < kLanes; mask *= 2) {
    const int other = exchange(sums.all, mask);
    if (lane_index() & mask) sums.before += other;
    sums.all += other;
  }
  return sums;
}

}  // namespace qw::cuda
