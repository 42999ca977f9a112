// What this machine can do at best, measured in the same run as the kernels: read bandwidth and peaks of the two instructions
// that count. The functions carry their own target attribute; nothing here is in the library.
#pragma once

#include <immintrin.h>
#include <stdlib.h>
#include <time.h>

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

__attribute__((target("avx512f"))) inline int64_t read_bytes(const uint8_t* p, size_t bytes) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
  }
  a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  return _mm512_reduce_add_epi64(a);
}

// 12 chains hide the latency (4 or 5 cycles) of two units.
__attribute__((target("avx512f,avx512vnni"))) inline int64_t run_vpdpbusd(int64_t rounds) {
  __m512i acc[12];
  for (auto& a : acc) a = _mm512_setzero_si512();
  __m512i w = _mm512_set1_epi8(3), x = _mm512_set1_epi8(-2);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) acc[j] = _mm512_dpbusd_epi32(acc[j], w, x);
    asm volatile("" : "+v"(w), "+v"(x));
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm512_add_epi32(acc[0], acc[j]);
  return _mm512_reduce_add_epi32(acc[0]);
}

__attribute__((target("avx512f"))) inline float run_fma(int64_t rounds) {
  __m512 acc[12];
  for (auto& a : acc) a = _mm512_setzero_ps();
  __m512 w = _mm512_set1_ps(0.5f), x = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) acc[j] = _mm512_fmadd_ps(acc[j], w, x);
    asm volatile("" : "+v"(w), "+v"(x));
  }
  for (int j = 1; j < 12; j++) acc[0] = _mm512_add_ps(acc[0], acc[j]);
  return _mm512_reduce_add_ps(acc[0]);
}

struct Ceilings {
  double read_gb, dot_gmac, fma_gmac;
};

inline Ceilings measure_ceilings(const uint8_t* memory, size_t bytes, int threads, int repeats) {
  volatile int64_t sink = 0;
  volatile float float_sink = 0;
  const size_t share = bytes / static_cast<size_t>(threads) / 64 * 64;
  const double read = best_seconds(threads, repeats, [&](int t) { sink = read_bytes(memory + static_cast<size_t>(t) * share, share); });
  constexpr int64_t kRounds = 4000000;
  const double dot = best_seconds(threads, repeats, [&](int) { sink = run_vpdpbusd(kRounds); });
  const double fma = best_seconds(threads, repeats, [&](int) { float_sink = run_fma(kRounds); });
  const double work = 12e-9 * static_cast<double>(kRounds) * threads;
  return {1e-9 * static_cast<double>(share) * threads / read, 64 * work / dot, 16 * work / fma};
}

}  // namespace qw::test
