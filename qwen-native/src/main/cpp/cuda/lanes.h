// The language of the kernels, for nvcc and, emulated, for any C++ compiler. Kernels use what is here and nothing of CUDA.
//
// A block has whole warps in one dimension, a grid up to three. Products and sums are written with fma() where they are fused; the
// compiler fuses nothing by itself (-fmad=false), so that a row's bits do not depend on which instance of a kernel computes it.
#pragma once

#include <cstdint>

#include "cuda/device.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>

#define QW_KERNEL static __global__ void
#define QW_DEVICE __device__ __forceinline__
#define QW_SHARED __shared__
#define QW_LAUNCH_BOUNDS(threads) __launch_bounds__(threads, 1)
// With registers for so many blocks of a multiprocessor.
#define QW_LAUNCH_RESIDENT(threads, blocks) __launch_bounds__(threads, blocks)
#define QW_UNROLL _Pragma("unroll")
#define QW_UNROLL_TWO _Pragma("unroll 2")
#define QW_ROLLED _Pragma("unroll 1")
#else
#include "cuda/emulation.h"

#define QW_KERNEL static void
#define QW_DEVICE inline
#define QW_SHARED static
#define QW_LAUNCH_BOUNDS(threads)
#define QW_LAUNCH_RESIDENT(threads, blocks)
#define QW_UNROLL
#define QW_UNROLL_TWO
#define QW_ROLLED
#endif

namespace qw::cuda {

constexpr int kLanes = 32;

struct alignas(16) Words4 {
  uint32_t x, y, z, w;
};
struct alignas(8) Floats2 {
  float x, y;
};

#if defined(__CUDACC__)

void check_launch(int error, const char* kernel);

QW_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
QW_DEVICE int64_t block_x() { return blockIdx.x; }
QW_DEVICE int64_t block_y() { return blockIdx.y; }
QW_DEVICE int64_t block_z() { return blockIdx.z; }
QW_DEVICE void barrier() { __syncthreads(); }
QW_DEVICE void warp_barrier() { __syncwarp(); }
QW_DEVICE float exchange(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
QW_DEVICE int exchange(int value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
QW_DEVICE int dot4(uint32_t a, uint32_t b, int sum) { return __dp4a(static_cast<int>(a), static_cast<int>(b), sum); }
QW_DEVICE uint32_t permute(uint32_t low, uint32_t high, uint32_t selectors) { return __byte_perm(low, high, selectors); }
QW_DEVICE float from_half(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
QW_DEVICE uint16_t to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }
QW_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
QW_DEVICE float not_a_number() { return __int_as_float(0x7fc00000); }
QW_DEVICE float infinity() { return __int_as_float(0x7f800000); }
QW_DEVICE uint32_t bits_of(float value) { return __float_as_uint(value); }
QW_DEVICE float float_of(uint32_t bits) { return __uint_as_float(bits); }
QW_DEVICE uint64_t bits_of(double value) { return static_cast<uint64_t>(__double_as_longlong(value)); }
QW_DEVICE double double_of(uint64_t bits) { return __longlong_as_double(static_cast<long long>(bits)); }
QW_DEVICE float round_to_even(float value) { return rintf(value); }
QW_DEVICE float exponential(float value) { return expf(value); }
// 2^value within 2^-22, zero where it is below 2^-126.
QW_DEVICE float power_of_two(float value) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
  return power;
}
QW_DEVICE double exponential(double value) { return exp(value); }
// Of integers: their sum does not depend on the order. Returns what was there.
QW_DEVICE int add_atomically(int* to, int value) { return atomicAdd(to, value); }
QW_DEVICE float logarithm(float value) { return logf(value); }
QW_DEVICE float inverse_root(float value) { return __fdiv_rn(1.f, __fsqrt_rn(value)); }
QW_DEVICE float larger(float a, float b) { return fmaxf(a, b); }
QW_DEVICE float magnitude(float value) { return fabsf(value); }
// Weights are read once.
QW_DEVICE Words4 load4(const void* p) {
  const uint4 v = __ldg(static_cast<const uint4*>(p));
  return {v.x, v.y, v.z, v.w};
}
QW_DEVICE uint32_t load1(const void* p) { return __ldg(static_cast<const uint32_t*>(p)); }
QW_DEVICE void store4(void* p, const Words4& v) { *static_cast<uint4*>(p) = make_uint4(v.x, v.y, v.z, v.w); }
QW_DEVICE void store2(float* p, const Floats2& v) { *reinterpret_cast<float2*>(p) = make_float2(v.x, v.y); }

// Shared memory whose size the launch tells, at an address that is a multiple of 1024.
QW_DEVICE uint8_t* launch_shared() {
  extern __shared__ __align__(1024) uint8_t memory[];
  return memory;
}

// shared_bytes: of launch_shared, for each block
template <class... P, class... A>
void launch_sharing(const Stream& stream, const char* name, void (*kernel)(P...), int64_t x, int64_t y, int64_t z, int threads,
                    int64_t shared_bytes, A... arguments) {
  // More than 48 KB must be asked for.
  if (shared_bytes > 48 << 10) {
    check_launch(static_cast<int>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes))), name);
  }
  kernel<<<dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z)), static_cast<unsigned>(threads),
           static_cast<size_t>(shared_bytes), static_cast<cudaStream_t>(stream.handle())>>>(arguments...);
  check_launch(static_cast<int>(cudaGetLastError()), name);
}

#else

QW_DEVICE int thread_index() { return emulation::place.thread; }
QW_DEVICE int64_t block_x() { return emulation::place.block_x; }
QW_DEVICE int64_t block_y() { return emulation::place.block_y; }
QW_DEVICE int64_t block_z() { return emulation::place.block_z; }
QW_DEVICE void barrier() { emulation::barrier(); }
QW_DEVICE void warp_barrier() { emulation::exchange(0, 0); }
QW_DEVICE uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}
QW_DEVICE float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
QW_DEVICE uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, 8);
  return bits;
}
QW_DEVICE double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, 8);
  return value;
}
QW_DEVICE float exchange(float value, int mask) {
  return float_of(emulation::exchange(bits_of(value), (emulation::place.thread % kLanes) ^ mask));
}
QW_DEVICE int exchange(int value, int mask) {
  return static_cast<int>(emulation::exchange(static_cast<uint32_t>(value), (emulation::place.thread % kLanes) ^ mask));
}
QW_DEVICE int dot4(uint32_t a, uint32_t b, int sum) {
  for (int i = 0; i < 32; i += 8) sum += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return sum;
}
QW_DEVICE uint32_t permute(uint32_t low, uint32_t high, uint32_t selectors) {
  const uint64_t bytes = static_cast<uint64_t>(high) << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t selector = selectors >> 4 * i;
    uint32_t byte = static_cast<uint32_t>(bytes >> 8 * (selector & 7)) & 255;
    if (selector & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << 8 * i;
  }
  return result;
}
QW_DEVICE float from_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float value = exponent == 31  ? float_of(0x7f800000u | static_cast<uint32_t>(mantissa) << 13)
                      : exponent == 0 ? static_cast<float>(mantissa) * 0x1p-24f
                                      : float_of(static_cast<uint32_t>(exponent + 112) << 23 | static_cast<uint32_t>(mantissa) << 13);
  return bits & 0x8000 ? -value : value;
}
QW_DEVICE uint16_t to_half(float value) {
  const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;
  const float size = float_of(bits & 0x7fffffffu);
  if (!(size == size)) return static_cast<uint16_t>(sign | 0x7e00);
  if (size >= 65520.f) return static_cast<uint16_t>(sign | 0x7c00);
  // Adding 2^k rounds to the step of the half's exponent, halves to even.
  if (size < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(size * 0x1p24f)));
  const uint32_t rounded = (bits & 0x7fffffffu) + 0xfff + ((bits >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}
QW_DEVICE float fma(float a, float b, float c) { return std::fma(a, b, c); }
QW_DEVICE float not_a_number() { return __builtin_nanf(""); }
QW_DEVICE float infinity() { return __builtin_inff(); }
QW_DEVICE float round_to_even(float value) { return std::nearbyint(value); }
QW_DEVICE float exponential(float value) { return std::exp(value); }
QW_DEVICE float power_of_two(float value) { return value < -126.f ? 0.f : std::exp2(value); }
QW_DEVICE double exponential(double value) { return std::exp(value); }
QW_DEVICE int add_atomically(int* to, int value) {
  const int before = *to;
  *to = before + value;
  return before;
}
QW_DEVICE float logarithm(float value) { return std::log(value); }
QW_DEVICE float inverse_root(float value) { return 1.f / std::sqrt(value); }
QW_DEVICE float larger(float a, float b) { return std::fmax(a, b); }
QW_DEVICE float magnitude(float value) { return std::fabs(value); }
QW_DEVICE Words4 load4(const void* p) {
  // As strict as a device.
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) __builtin_trap();
  Words4 words;
  memcpy(&words, p, 16);
  return words;
}
QW_DEVICE uint32_t load1(const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % 4 != 0) __builtin_trap();
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}

QW_DEVICE void store2(float* p, const Floats2& v) {
  if (reinterpret_cast<uintptr_t>(p) % 8 != 0) __builtin_trap();
  memcpy(p, &v, 8);
}
QW_DEVICE void store4(void* p, const Words4& v) {
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) __builtin_trap();
  memcpy(p, &v, 16);
}

QW_DEVICE uint8_t* launch_shared() { return emulation::launch_shared(); }

template <class... P, class... A>
void launch_sharing(const Stream& stream, const char* name, void (*kernel)(P...), int64_t x, int64_t y, int64_t z, int threads,
                    int64_t shared_bytes, A... arguments) {
  const auto run = [=] {
    auto body = [&] { kernel(arguments...); };
    emulation::run_grid(name, x, y, z, threads, shared_bytes, [](void* b) { (*static_cast<decltype(body)*>(b))(); }, &body);
  };
  if (auto* nodes = emulation::recorded(stream.handle())) {
    nodes->emplace_back(run);
    return;
  }
  emulation::catch_up();
  run();
}

#endif

template <class... P, class... A>
void launch(const Stream& stream, const char* name, void (*kernel)(P...), int64_t x, int64_t y, int64_t z, int threads, A... arguments) {
  launch_sharing(stream, name, kernel, x, y, z, threads, 0, arguments...);
}

QW_DEVICE int lane_index() { return thread_index() % kLanes; }
QW_DEVICE float from_bf16(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }
QW_DEVICE uint16_t to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if (!(value == value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Over all lanes, each time in the same order.
QW_DEVICE float sum_of_lanes(float value) {
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value += exchange(value, mask);
  return value;
}
QW_DEVICE float largest_of_lanes(float value) {
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value = larger(value, exchange(value, mask));
  return value;
}

}  // namespace qw::cuda
