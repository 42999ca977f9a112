// Products of small matrices by a warp, and copies to shared memory that run beside the threads. The language of lanes.h goes on here: for
// nvcc the instructions of compute capability 8.0, for other compilers what the PTX manual says they do.
//
// Fragments, with g = lane / 4 and t = lane % 4; a register holds neighbours along k, the lowest in its low bits:
//   a (16 x k)  a[0] row g, a[1] row g + 8, a[2] and a[3] the same rows in the upper half of k
//   b (k x 8)   column g; b[0] the lower half of k, b[1] the upper one
//   d (16 x 8)  d[0], d[1] row g, columns 2t and 2t + 1; d[2], d[3] row g + 8
// Of 16-bit elements (k = 16) a register holds those from 2t on, of 8-bit ones (k = 32) those from 4t on.
#pragma once

#include "cuda/lanes.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#else
#include <vector>
#endif

namespace qw::cuda {

#if defined(__CUDACC__)

QW_DEVICE uint32_t shared_address(const void* shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(shared)); }

// Two values in 16 bits each, to nearest even.
QW_DEVICE uint32_t pack_bf16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
QW_DEVICE uint32_t pack_half(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

QW_DEVICE void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
QW_DEVICE void multiply_half(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
QW_DEVICE void multiply_int8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// d = c + a · b; with k = 16 a has two registers and b one.
QW_DEVICE void multiply_int8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}
QW_DEVICE void multiply_int8(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t b, const int (&c)[4]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(a0), "r"(a1), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

// Four matrices of 8 x 8 elements of 16 bits from shared memory; lanes 8 i .. 8 i + 7 name the rows (16 bytes each) of matrix i, and
// register i of lane l receives elements 2 (l % 4) and 2 (l % 4) + 1 of its row l / 4, transposed those of its column l / 4.
QW_DEVICE void load_matrices(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row))
               : "memory");
}
QW_DEVICE void load_matrices_transposed(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row))
               : "memory");
}

// Begins a copy of 16 bytes; if not `inside`, of zeros, and nothing is read. The thread sees them after wait_copies, others after a barrier
// behind that.
QW_DEVICE void copy_async(void* shared, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
// Ends a group: the copies begun since the group before.
QW_DEVICE void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the kLeft newest groups are under way.
template <int kLeft>
QW_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

#else

QW_DEVICE uint32_t pack_bf16(float low, float high) { return to_bf16(low) | static_cast<uint32_t>(to_bf16(high)) << 16; }
QW_DEVICE uint32_t pack_half(float low, float high) { return to_half(low) | static_cast<uint32_t>(to_half(high)) << 16; }

namespace emulation {

template <class Sum>
struct Product {
  Sum* d;
  const uint32_t* a;
  const uint32_t* b;
};

// kPerWord elements of a register; value(word, i) is the i-th one.
template <class Sum, int kPerWord, class Value>
void multiply_fragments(void* const* lanes, Value value) {
  constexpr int kHalf = 4 * kPerWord;
  Sum a[16][2 * kHalf], b[2 * kHalf][8], d[16][8];
  for (int lane = 0; lane < kLanes; lane++) {
    const auto& p = *static_cast<const Product<Sum>*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < kPerWord; i++) {
      for (int upper = 0; upper < 2; upper++) {
        const int k = upper * kHalf + t * kPerWord + i;
        a[g][k] = value(p.a[2 * upper], i);
        a[g + 8][k] = value(p.a[2 * upper + 1], i);
        b[k][g] = value(p.b[upper], i);
      }
    }
    for (int i = 0; i < 4; i++) d[g + i / 2 * 8][2 * t + i % 2] = p.d[i];
  }
  // Columns side by side are one vector of the host.
  for (int row = 0; row < 16; row++) {
    Sum sums[8];
    memcpy(sums, d[row], sizeof sums);
    for (int k = 0; k < 2 * kHalf; k++) {
      for (int column = 0; column < 8; column++) sums[column] += a[row][k] * b[k][column];
    }
    memcpy(d[row], sums, sizeof sums);
  }
  for (int lane = 0; lane < kLanes; lane++) {
    const auto& p = *static_cast<const Product<Sum>*>(lanes[lane]);
    for (int i = 0; i < 4; i++) p.d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

inline void multiply_bf16(void* const* lanes) {
  multiply_fragments<float, 2>(lanes, [](uint32_t word, int i) { return from_bf16(static_cast<uint16_t>(word >> 16 * i)); });
}
// Half a million conversions for each tile of attention: by a table.
inline const float* halves() {
  static const std::vector<float> all = [] {
    std::vector<float> values(1 << 16);
    for (size_t i = 0; i < values.size(); i++) values[i] = from_half(static_cast<uint16_t>(i));
    return values;
  }();
  return all.data();
}
inline void multiply_half(void* const* lanes) {
  const float* all = halves();
  multiply_fragments<float, 2>(lanes, [all](uint32_t word, int i) { return all[static_cast<uint16_t>(word >> 16 * i)]; });
}
inline void multiply_int8(void* const* lanes) {
  multiply_fragments<int, 4>(lanes, [](uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i); });
}

struct Matrices {
  uint32_t* m;
  const void* row;
};
template <bool kTransposed>
void load_matrices(void* const* lanes) {
  for (int i = 0; i < 4; i++) {
    uint16_t elements[8][8];
    for (int row = 0; row < 8; row++) memcpy(elements[row], static_cast<const Matrices*>(lanes[8 * i + row])->row, 16);
    for (int lane = 0; lane < kLanes; lane++) {
      const int line = lane / 4, at = lane % 4 * 2;
      const uint32_t low = kTransposed ? elements[at][line] : elements[line][at];
      const uint32_t high = kTransposed ? elements[at + 1][line] : elements[line][at + 1];
      static_cast<const Matrices*>(lanes[lane])->m[i] = low | high << 16;
    }
  }
}

}  // namespace emulation

QW_DEVICE void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::Product<float> product{d, a, b};
  emulation::together(&product, emulation::multiply_bf16);
}
QW_DEVICE void multiply_half(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::Product<float> product{d, a, b};
  emulation::together(&product, emulation::multiply_half);
}
QW_DEVICE void multiply_int8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::Product<int> product{d, a, b};
  emulation::together(&product, emulation::multiply_int8);
}
QW_DEVICE void multiply_int8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]) {
  for (int i = 0; i < 4; i++) d[i] = c[i];
  multiply_int8(d, a, b);
}
QW_DEVICE void multiply_int8(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t b, const int (&c)[4]) {
  const uint32_t a[4] = {a0, a1, 0, 0}, of_b[2] = {b, 0};
  multiply_int8(d, a, of_b, c);
}
QW_DEVICE void load_matrices(uint32_t (&m)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) __builtin_trap();
  emulation::Matrices matrices{m, row};
  emulation::together(&matrices, emulation::load_matrices<false>);
}
QW_DEVICE void load_matrices_transposed(uint32_t (&m)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) __builtin_trap();
  emulation::Matrices matrices{m, row};
  emulation::together(&matrices, emulation::load_matrices<true>);
}
QW_DEVICE void copy_async(void* shared, const void* from, bool inside) { emulation::begin_copy(shared, inside ? from : nullptr); }
QW_DEVICE void end_copies() { emulation::end_copies(); }
template <int kLeft>
QW_DEVICE void wait_copies() {
  emulation::wait_copies(kLeft);
}

#endif

}  // namespace qw::cuda
