// What this machine can do at best, measured in the same run as the kernels: read bandwidth, and the peaks of the integer dot product and
// of the float multiply-add, for each instruction set that the kernels are compiled for. The functions carry their own target attribute;
// nothing here is in the library. Only what is supported() may be measured.
#pragma once

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cstdint>
#include <thread>
#include <vector>

// GCC 12 warns of the self-initialised operands in its own AVX-512 headers.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace qw::test {

inline double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Best of `repeats` of the time of fn(thread) on `threads` threads: wall time, but of a single thread its processor time, which
// a busy machine spoils less.
template <class Fn>
double best_seconds(int threads, int repeats, Fn fn) {
  double best = 1e30;
  for (int i = 0; i < repeats; i++) {
    const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    const double start = seconds(clock);
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++) others.emplace_back([&fn, t] { fn(t); });
    fn(0);
    for (std::thread& t : others) t.join();
    const double taken = seconds(clock) - start;
    if (taken < best) best = taken;
  }
  return best;
}

// Each read has four streams of results, so that no load waits for another. The bytes are a multiple of 256, 64-byte aligned.

inline int64_t read_sse2(const uint8_t* p, size_t bytes) {
  __m128i sum[4] = {};
  for (size_t i = 0; i < bytes; i += 64)
    for (size_t j = 0; j < 4; j++) sum[j] = _mm_xor_si128(sum[j], _mm_load_si128(reinterpret_cast<const __m128i*>(p + i + 16 * j)));
  return _mm_cvtsi128_si64(_mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3])));
}

__attribute__((target("avx2"))) inline int64_t read_avx2(const uint8_t* p, size_t bytes) {
  __m256i sum[4] = {};
  for (size_t i = 0; i < bytes; i += 128)
    for (size_t j = 0; j < 4; j++) sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + 32 * j)));
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3]));
  return _mm256_extract_epi64(all, 0) ^ _mm256_extract_epi64(all, 2);
}

__attribute__((target("avx512f"))) inline int64_t read_avx512(const uint8_t* p, size_t bytes) {
  __m512i sum[4] = {};
  for (size_t i = 0; i < bytes; i += 256)
    for (size_t j = 0; j < 4; j++) sum[j] = _mm512_xor_si512(sum[j], _mm512_load_si512(p + i + 64 * j));
  return _mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3])));
}

// 12 chains hide the latency (4 or 5 cycles) of two units. Without the empty assembly the compiler sees 12 chains of the same constants
// and computes one of them.

inline int64_t dot_sse2(int64_t rounds) {
  __m128i acc[12] = {}, w = _mm_set1_epi16(3), x = _mm_set1_epi16(-2);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+x"(w), "+x"(x));
      acc[j] = _mm_add_epi32(acc[j], _mm_madd_epi16(w, x));
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm_add_epi32(acc[0], acc[j]);
  return _mm_cvtsi128_si32(acc[0]);
}

__attribute__((target("avx2"))) inline int64_t dot_avx2(int64_t rounds) {
  __m256i acc[12] = {}, w = _mm256_set1_epi8(3), x = _mm256_set1_epi8(-2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+x"(w), "+x"(x));
      acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), ones));
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm256_add_epi32(acc[0], acc[j]);
  return _mm256_extract_epi32(acc[0], 0);
}

__attribute__((target("avx512f,avx512bw"))) inline int64_t dot_avx512(int64_t rounds) {
  __m512i acc[12] = {}, w = _mm512_set1_epi8(3), x = _mm512_set1_epi8(-2);
  const __m512i ones = _mm512_set1_epi16(1);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+v"(w), "+v"(x));
      acc[j] = _mm512_add_epi32(acc[j], _mm512_madd_epi16(_mm512_maddubs_epi16(w, x), ones));
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm512_add_epi32(acc[0], acc[j]);
  return _mm512_reduce_add_epi32(acc[0]);
}

__attribute__((target("avx512f,avx512vnni"))) inline int64_t dot_vnni(int64_t rounds) {
  __m512i acc[12] = {}, w = _mm512_set1_epi8(3), x = _mm512_set1_epi8(-2);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+v"(w), "+v"(x));
      acc[j] = _mm512_dpbusd_epi32(acc[j], w, x);
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm512_add_epi32(acc[0], acc[j]);
  return _mm512_reduce_add_epi32(acc[0]);
}

inline float multiply_add_sse2(int64_t rounds) {
  __m128 acc[12] = {}, w = _mm_set1_ps(0.5f), x = _mm_set1_ps(1.0f);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+x"(w), "+x"(x));
      acc[j] = _mm_add_ps(acc[j], _mm_mul_ps(w, x));
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm_add_ps(acc[0], acc[j]);
  return _mm_cvtss_f32(acc[0]);
}

__attribute__((target("avx2,fma"))) inline float multiply_add_avx2(int64_t rounds) {
  __m256 acc[12] = {}, w = _mm256_set1_ps(0.5f), x = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+x"(w), "+x"(x));
      acc[j] = _mm256_fmadd_ps(w, x, acc[j]);
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm256_add_ps(acc[0], acc[j]);
  return _mm256_cvtss_f32(acc[0]);
}

__attribute__((target("avx512f"))) inline float multiply_add_avx512(int64_t rounds) {
  __m512 acc[12] = {}, w = _mm512_set1_ps(0.5f), x = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      asm volatile("" : "+v"(w), "+v"(x));
      acc[j] = _mm512_fmadd_ps(w, x, acc[j]);
    }
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm512_add_ps(acc[0], acc[j]);
  return _mm512_reduce_add_ps(acc[0]);
}

// One instruction set, under the name of the kernels' target.
struct MachineClass {
  const char *name, *dot_name, *multiply_add_name;
  bool supported;
  int64_t (*read)(const uint8_t*, size_t);
  int64_t (*dot)(int64_t);
  int dot_macs;  // of one chain in one round
  float (*multiply_add)(int64_t);
  int multiply_add_macs;
};

inline std::vector<MachineClass> machine_classes() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  return {{"baseline", "pmaddwd+paddd xmm", "mulps+addps xmm", true, read_sse2, dot_sse2, 8, multiply_add_sse2, 4},
          {"avx2", "vpmaddubsw+vpmaddwd+vpaddd ymm", "vfmadd ymm", avx2, read_avx2, dot_avx2, 32, multiply_add_avx2, 8},
          {"avx512", "vpmaddubsw+vpmaddwd+vpaddd zmm", "vfmadd zmm", avx512, read_avx512, dot_avx512, 64, multiply_add_avx512, 16},
          {"vnni", "vpdpbusd zmm", "vfmadd zmm", vnni, read_avx512, dot_vnni, 64, multiply_add_avx512, 16}};
}

struct Ceilings {
  double read_gb, dot_gmac, fma_gmac;
};

inline Ceilings measure_ceilings(const MachineClass& machine, const uint8_t* memory, size_t bytes, int threads, int repeats) {
  volatile int64_t sink = 0;
  volatile float float_sink = 0;
  const size_t share = bytes / static_cast<size_t>(threads) / 256 * 256;
  const double read = best_seconds(threads, repeats, [&](int t) { sink = machine.read(memory + static_cast<size_t>(t) * share, share); });
  constexpr int64_t kRounds = 4000000;
  const double dot = best_seconds(threads, repeats, [&](int) { sink = machine.dot(kRounds); });
  const double fma = best_seconds(threads, repeats, [&](int) { float_sink = machine.multiply_add(kRounds); });
  const double chains = 12e-9 * static_cast<double>(kRounds) * threads;
  return {1e-9 * static_cast<double>(share) * threads / read, machine.dot_macs * chains / dot, machine.multiply_add_macs * chains / fma};
}

}  // namespace qw::test
