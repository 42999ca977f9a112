// Copies of tiles by the copy engine and products of groups of four warps: the instructions of compute capability 9.0a; for other compilers
// what the PTX manual says they do, as late as it may be done, so that what is read or overwritten too early shows.
//
// A tile in shared memory has rows of 128 bytes at an address that is a multiple of 1024; the 16-byte piece at bits 4 .. 6 of an address is
// stored where these are combined with bits 7 .. 9 by exclusive or (the 128-byte swizzle).
#pragma once

#include "cuda/tensor.h"

// Kernels with these instructions have a body where this is 1.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define QW_HOPPER 1
#else
#define QW_HOPPER 0
#endif

#if defined(__CUDACC__)
#define QW_GRID_CONSTANT __grid_constant__
#else
#define QW_GRID_CONSTANT
#endif

namespace qw::cuda {

// A matrix of 16-bit elements that tiles are copied from; the driver's own form on a device. See matrix_map.
struct alignas(64) TensorMap {
  uint64_t words[16];
};

// Rows of `columns` elements, row_bytes apart (a multiple of 16); tiles have 64 columns and tile_rows rows, at most 256. What lies outside is
// zero. Throws kUnsupported where the driver cannot do it.
TensorMap matrix_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes, int tile_rows);

// Ends phases, in turn numbered 0 and 1, each when as many arrivals as it was made for and all bytes that were announced are there. In
// shared memory.
struct PhaseBarrier {
  uint64_t state;
};

// Of 64 columns, for multiply_group: what begins at a multiple of 1024, or 32 bytes further for each 16 columns.
QW_DEVICE uint64_t tile_descriptor(const void* shared);

constexpr int kWarpsOfGroup = 4;

#if defined(__CUDACC__)
#if QW_HOPPER

QW_DEVICE void make_phases(PhaseBarrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
// By the thread that made them, before a barrier of the block: the copy engine sees them.
QW_DEVICE void publish_phases() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// Arrives, and announces bytes of copies.
QW_DEVICE void arrive_with_bytes(PhaseBarrier& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(bytes) : "memory");
}
QW_DEVICE void arrive(PhaseBarrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
// Returns when the phase of this number has ended; the first one has number 0, and before it 1 has.
QW_DEVICE void wait_phase(PhaseBarrier& barrier, int phase) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra.uni over;\n"
      "bra.uni again;\n"
      "over:\n"
      "}" ::"r"(shared_address(&barrier)),
      "r"(phase)
      : "memory");
}
// A tile whose first element is in this column and row; its bytes arrive at the barrier.
QW_DEVICE void copy_tile(void* shared, const TensorMap& map, int column, int row, PhaseBarrier& barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                   shared_address(shared)),
               "l"(reinterpret_cast<uint64_t>(&map)), "r"(shared_address(&barrier)), "r"(column), "r"(row)
               : "memory");
}
QW_DEVICE void prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

// Rows of 128 bytes, 8 of them 1024 apart, 128-byte swizzle.
QW_DEVICE uint64_t tile_descriptor(const void* shared) {
  return static_cast<uint64_t>((shared_address(shared) & 0x3ffff) >> 4) | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

// All four warps of a group do these together. Registers of sums belong to the products from begin_products to wait_products.
QW_DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
QW_DEVICE void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
QW_DEVICE void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
template <int kRegisters>
QW_DEVICE void raise_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
QW_DEVICE void lower_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

#define QW_SUMS_8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define QW_SUMS_64(i) \
  QW_SUMS_8(i), QW_SUMS_8(i + 8), QW_SUMS_8(i + 16), QW_SUMS_8(i + 24), QW_SUMS_8(i + 32), QW_SUMS_8(i + 40), QW_SUMS_8(i + 48), QW_SUMS_8(i + 56)

#define QW_MULTIPLY_128(type) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n" \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " \
               "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
               "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
               "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
               "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, " \
               "%64, %65, p, 1, 1, 0, 0;\n}" \
               : QW_SUMS_64(0) \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))

#define QW_MULTIPLY_256(type) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n" \
               "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type " " \
               "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
               "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
               "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
               "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
               "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
               "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
               "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
               "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, " \
               "%128, %129, p, 1, 1, 0, 0;\n}" \
               : QW_SUMS_64(0), QW_SUMS_64(64) \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))

// d (64 x kColumns) = a (64 x 16) · b (kColumns x 16)ᵀ, and what was there if `add`. Warp w has rows 16 w .. 16 w + 15, of each 8 columns
// four numbers as in multiply_bf16.
template <bool kHalf, int kColumns>
QW_DEVICE void multiply_group(float (&d)[kColumns / 2], uint64_t a, uint64_t b, bool add) {
  static_assert(kColumns == 128 || kColumns == 256, "the sizes there are");
  if constexpr (kColumns == 256) {
    if constexpr (kHalf) {
      QW_MULTIPLY_256("f16");
    } else {
      QW_MULTIPLY_256("bf16");
    }
  } else {
    if constexpr (kHalf) {
      QW_MULTIPLY_128("f16");
    } else {
      QW_MULTIPLY_128("bf16");
    }
  }
}

#undef QW_SUMS_8
#undef QW_SUMS_64
#undef QW_MULTIPLY_128
#undef QW_MULTIPLY_256

#endif
#else

namespace emulation {

struct GroupProduct {
  float* d;
  uint64_t a, b;
  bool add;
};

// Bits of an element of a tile.
inline uint16_t tile_element(uint64_t descriptor, int row, int column) {
  if ((descriptor >> 62) != 1 || (descriptor >> 32 & 0x3fff) != 1024 >> 4) __builtin_trap();
  uint32_t at = static_cast<uint32_t>(descriptor & 0x3fff) * 16 + static_cast<uint32_t>(row) * 128 + static_cast<uint32_t>(column) * 2;
  at ^= (at >> 7 & 7) << 4;
  uint16_t element;
  memcpy(&element, launch_shared() + at, 2);
  return element;
}

template <bool kHalf, int kColumns>
void multiply_group(void* const* lanes) {
  struct Operands {
    float* d[kLanes];
    uint64_t a, b;
    bool add;
    int warp;
  } all;
  for (int lane = 0; lane < kLanes; lane++) {
    const auto& p = *static_cast<const GroupProduct*>(lanes[lane]);
    if (lane == 0) all = {{}, p.a, p.b, p.add, place.thread / kLanes % kWarpsOfGroup};
    if (p.a != all.a || p.b != all.b || p.add != all.add) __builtin_trap();
    all.d[lane] = p.d;
  }
  defer([all] {
    const auto value = [](uint16_t bits) { return kHalf ? from_half(bits) : from_bf16(bits); };
    float a[16][16], b[kColumns][16];
    for (int r = 0; r < 16; r++) {
      for (int k = 0; k < 16; k++) a[r][k] = value(tile_element(all.a, 16 * all.warp + r, k));
    }
    for (int r = 0; r < kColumns; r++) {
      for (int k = 0; k < 16; k++) b[r][k] = value(tile_element(all.b, r, k));
    }
    for (int lane = 0; lane < kLanes; lane++) {
      for (int i = 0; i < kColumns / 2; i++) {
        const float* row = a[lane / 4 + i / 2 % 2 * 8];
        const float* column = b[i / 4 * 8 + lane % 4 * 2 + i % 2];
        float sum = all.add ? all.d[lane][i] : 0.f;
        for (int k = 0; k < 16; k++) sum += row[k] * column[k];
        all.d[lane][i] = sum;
      }
    }
  });
}

inline void end_products(void* const*) { end_deferred(); }
template <int kLeft>
void wait_products(void* const*) {
  run_deferred(kLeft);
}

}  // namespace emulation

QW_DEVICE void make_phases(PhaseBarrier& barrier, int arrivals) { emulation::make_phases(&barrier.state, arrivals); }
QW_DEVICE void publish_phases() {}
QW_DEVICE void arrive_with_bytes(PhaseBarrier& barrier, int bytes) { emulation::arrive(&barrier.state, bytes); }
QW_DEVICE void arrive(PhaseBarrier& barrier) { emulation::arrive(&barrier.state, 0); }
QW_DEVICE void wait_phase(PhaseBarrier& barrier, int phase) { emulation::wait_phase(&barrier.state, phase); }
QW_DEVICE void copy_tile(void* shared, const TensorMap& map, int column, int row, PhaseBarrier& barrier) {
  emulation::Map of;
  memcpy(&of, map.words, sizeof of);
  emulation::copy_tile(shared, of, column, row, &barrier.state);
}
QW_DEVICE void prefetch_map(const TensorMap&) {}
QW_DEVICE uint64_t tile_descriptor(const void* shared) {
  const uint32_t offset = emulation::shared_offset(shared);
  if (offset % 32 != 0) __builtin_trap();
  return uint64_t{offset >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}
QW_DEVICE void begin_products() {}
QW_DEVICE void end_products() { emulation::together(nullptr, emulation::end_products); }
template <int kLeft>
QW_DEVICE void wait_products() {
  emulation::together(nullptr, emulation::wait_products<kLeft>);
}
template <int>
QW_DEVICE void raise_registers() {}
template <int>
QW_DEVICE void lower_registers() {}
template <bool kHalf, int kColumns>
QW_DEVICE void multiply_group(float (&d)[kColumns / 2], uint64_t a, uint64_t b, bool add) {
  emulation::GroupProduct product{d, a, b, add};
  emulation::together(&product, emulation::multiply_group<kHalf, kColumns>);
}

#endif

}  // namespace qw::cuda
