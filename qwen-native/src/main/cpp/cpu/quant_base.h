// Small helpers of the quantized kernels. All of them live in a nameless namespace inside that of the target (QW_TARGET) which the
// including file is compiled for: a weak symbol compiled for AVX-512 could be linked into the baseline.
#pragma once

#include <cstdint>
#include <cstring>

#define QW_INLINE inline __attribute__((always_inline))
#define QW_INLINE_LAMBDA __attribute__((always_inline))

namespace qw::QW_TARGET {
namespace {

template <int N>
struct Int {
  static constexpr int value = N;
};

template <int... kIndices>
struct Indices {};

template <class Fn, int... kIndices>
QW_INLINE void unroll_indices(Fn& fn, Indices<kIndices...>) {
  (fn(Int<kIndices>{}), ...);
}

template <class T, T... kIndices>
using IndicesOf = Indices<static_cast<int>(kIndices)...>;

// fn(Int<0>), fn(Int<1>), ..., fn(Int<N - 1>): a loop whose index is a constant at every optimisation level.
template <int N, class Fn>
QW_INLINE void unroll(Fn fn) {
  unroll_indices(fn, IndicesOf<int, __integer_pack(N)...>{});
}

QW_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

// Memory that a stream of panels will reach in some hundred cycles.
template <int kBytes>
QW_INLINE void prefetch_group(const uint8_t* p) {
  constexpr int kAhead = 4096;
  unroll<kBytes / 64>([&](auto i) QW_INLINE_LAMBDA { __builtin_prefetch(p + kAhead + 64 * i.value); });
}

QW_INLINE uint64_t load_u64(const uint8_t* p) {
  uint64_t a;
  memcpy(&a, p, 8);
  return a;
}
QW_INLINE void store_u64(uint8_t* p, uint64_t a) { memcpy(p, &a, 8); }

QW_INLINE uint32_t load_u32(const uint8_t* p) {
  uint32_t a;
  memcpy(&a, p, 4);
  return a;
}
QW_INLINE void store_u32(uint8_t* p, uint32_t a) { memcpy(p, &a, 4); }

QW_INLINE int32_t load_i32(const int8_t* p) {
  int32_t a;
  memcpy(&a, p, 4);
  return a;
}

}  // namespace
}  // namespace qw::QW_TARGET
