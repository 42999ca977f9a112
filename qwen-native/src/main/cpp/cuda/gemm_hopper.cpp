// Products of compute capability 9.0: y[t] = x[t] · wᵀ of 16-bit weights and activations. A block has 128 tokens and 256 or 128 rows of
// weights; one thread lets the copy engine fill a ring of tiles, two groups of four warps multiply 64 tokens each with all rows, and take
// the next place in the order of tiles while other processors are at theirs. The ring is filled for the next tile while results are written.
#include <algorithm>

#include "cuda/formats.h"
#include "cuda/gemm.h"
#include "cuda/hopper.h"
#include "cuda/ops.h"

#if defined(__CUDACC__)
#include <cuda.h>
#endif

namespace qw::cuda {

// Of the driver, which the library does not link with.
#if defined(__CUDACC__)
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                            const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
}

Encode encode() {
  static const Encode found = find_encode();
  return found;
}

}  // namespace

TensorMap matrix_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes, int tile_rows) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap), "the driver's form");
  TensorMap map;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)}, steps[] = {static_cast<cuuint64_t>(row_bytes)};
  const cuuint32_t box[] = {kGemmColumns, static_cast<cuuint32_t>(tile_rows)}, strides[] = {1, 1};
  // Bits are copied whatever they mean: BF16 stands for F16 too.
  const CUresult error =
      encode()(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(data), sizes, steps, box, strides,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (error != CUDA_SUCCESS) throw Failure(kInternal, "the driver refuses the map of a matrix: error " + std::to_string(error));
  return map;
}
#else
TensorMap matrix_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes, int tile_rows) {
  // As strict as the driver.
  require(reinterpret_cast<uintptr_t>(data) % 16 == 0 && row_bytes % 16 == 0 && tile_rows <= 256 && rows >= 1 && columns >= 1, "no map of a matrix");
  const emulation::Map of{static_cast<const uint8_t*>(data), rows, columns, row_bytes, tile_rows};
  TensorMap map{};
  static_assert(sizeof of <= sizeof map, "it fits");
  memcpy(map.words, &of, sizeof of);
  return map;
}
#endif

namespace {

constexpr int kTokens = 128;  // of a tile
constexpr int kGroups = 2;    // of warps that multiply
constexpr int kGroupThreads = kWarpsOfGroup * kLanes;
constexpr int kThreads = (kGroups + 1) * kGroupThreads;

// Of 227 KB of shared memory all that whole stages fill.
template <int kTileRows>
struct Shape {
  static constexpr int kRows = kTileRows;
  static constexpr int kStageBytes = (kTokens + kRows) * kGemmColumns * 2;
  static constexpr int kStages = kRows == 256 ? 4 : 6;
  static constexpr int64_t kSharedBytes = int64_t{kStages} * kStageBytes + 2 * kStages * int64_t{sizeof(PhaseBarrier)};
};

struct Args {
  int32_t tiles_of_pass;  // of columns
  int32_t tiles;          // of all passes
  int64_t tokens;
  int64_t rows;
  int64_t row_tiles;
  int64_t token_tiles;
  const float* scale;
  const float* bias;
  float* y;
  int64_t y_stride;
  bool add;
  bool pairs;  // neighbours in y of an even row can be written as one
};

#if QW_HOPPER

constexpr int64_t kSideBySide = 8;  // tiles of tokens that are computed at a time

struct Place {
  int32_t rows, tokens;  // the first ones
};

// Tiles of tokens in groups: what runs at a time shares tokens and weights, and what it reads stays in the cache.
template <class S>
QW_DEVICE Place place_of(const Args& args, int64_t tile) {
  const int64_t group = tile / (kSideBySide * args.row_tiles), first = group * kSideBySide;
  const int64_t left = args.token_tiles - first, count = left < kSideBySide ? left : kSideBySide, inside = tile - first * args.row_tiles;
  return {static_cast<int32_t>(inside / count * S::kRows), static_cast<int32_t>((first + inside % count) * kTokens)};
}

// A place in the ring, and the number of the phase that runs there.
template <int kStages>
struct Cursor {
  int stage = 0;
  int phase = 0;
  QW_DEVICE void next() {
    if (++stage < kStages) return;
    stage = 0;
    phase ^= 1;
  }
};

template <class S>
QW_DEVICE void fill_ring(uint8_t* ring, PhaseBarrier* full, PhaseBarrier* empty, const TensorMap& weights, const TensorMap& inputs, const Args& args,
                         int64_t first, int64_t step) {
  Cursor<S::kStages> cursor;
  for (int64_t tile = first; tile < args.row_tiles * args.token_tiles; tile += step) {
    const Place place = place_of<S>(args, tile);
    for (int k = 0; k < args.tiles; k++, cursor.next()) {
      // In the first round nothing was there.
      wait_phase(empty[cursor.stage], cursor.phase ^ 1);
      uint8_t* stage = ring + cursor.stage * S::kStageBytes;
      arrive_with_bytes(full[cursor.stage], S::kStageBytes);
      copy_tile(stage, inputs, k * kGemmColumns, place.tokens, full[cursor.stage]);
      // The second pass multiplies the same weights.
      const int of_weights = k < args.tiles_of_pass ? k : k - args.tiles_of_pass;
      copy_tile(stage + kTokens * kGemmColumns * 2, weights, of_weights * kGemmColumns, place.rows, full[cursor.stage]);
    }
  }
}

template <class S>
QW_DEVICE void write_sums(const Args& args, const Place& place, int group, const float (&sums)[S::kRows / 2]) {
  const int lane = lane_index(), warp = thread_index() / kLanes % kWarpsOfGroup;
  QW_UNROLL
  for (int half = 0; half < 2; half++) {
    const int64_t token = place.tokens + group * 64 + warp * 16 + half * 8 + lane / 4;
    if (token >= args.tokens) continue;
    const float scale = args.scale == nullptr ? 1.f : args.scale[token];
    float* y = args.y + token * args.y_stride;
    QW_UNROLL
    for (int i = 0; i < S::kRows / 8; i++) {
      const int64_t row = place.rows + i * 8 + lane % 4 * 2;
      const float sum[2] = {sums[4 * i + 2 * half] * scale, sums[4 * i + 2 * half + 1] * scale};
      if (args.pairs && row + 1 < args.rows) {
        Floats2 values{sum[0], sum[1]};
        if (args.add || args.bias != nullptr) {
          const float* from = args.add ? y + row : args.bias + row;
          values = {from[0] + sum[0], from[1] + sum[1]};
        }
        store2(y + row, values);
        continue;
      }
      QW_UNROLL
      for (int e = 0; e < 2; e++) {
        if (row + e < args.rows) y[row + e] = args.add ? y[row + e] + sum[e] : args.bias != nullptr ? args.bias[row + e] + sum[e] : sum[e];
      }
    }
  }
}

template <class S, bool kHalf>
QW_DEVICE void multiply_ring(const uint8_t* ring, PhaseBarrier* full, PhaseBarrier* empty, const Args& args, int group, int64_t first, int64_t step) {
  Cursor<S::kStages> cursor;
  for (int64_t tile = first; tile < args.row_tiles * args.token_tiles; tile += step) {
    const Place place = place_of<S>(args, tile);
    float sums[S::kRows / 2];
    int before = 0;
    for (int k = 0; k < args.tiles; k++, cursor.next()) {
      wait_phase(full[cursor.stage], cursor.phase);
      const uint8_t* stage = ring + cursor.stage * S::kStageBytes;
      const uint64_t a = tile_descriptor(stage + group * 64 * kGemmColumns * 2), b = tile_descriptor(stage + kTokens * kGemmColumns * 2);
      begin_products();
      QW_UNROLL
      for (int i = 0; i < kGemmColumns / 16; i++) {
        // 32 bytes further in units of 16.
        multiply_group<kHalf, S::kRows>(sums, a + 2 * i, b + 2 * i, k > 0 || i > 0);
      }
      end_products();
      // These run on; those of the tile before are done, and its place is free.
      wait_products<1>();
      if (k > 0 && lane_index() == 0) arrive(empty[before]);
      before = cursor.stage;
    }
    wait_products<0>();
    if (lane_index() == 0) arrive(empty[before]);
    write_sums<S>(args, place, group, sums);
  }
}

#endif

template <class S, bool kHalf>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads)
    multiply_groups(const QW_GRID_CONSTANT TensorMap weights, const QW_GRID_CONSTANT TensorMap inputs, const Args args, int64_t blocks) {
#if QW_HOPPER
  uint8_t* ring = launch_shared();
  PhaseBarrier* full = reinterpret_cast<PhaseBarrier*>(ring + S::kStages * S::kStageBytes);
  PhaseBarrier* empty = full + S::kStages;
  if (thread_index() == 0) {
    prefetch_map(weights);
    prefetch_map(inputs);
    for (int i = 0; i < S::kStages; i++) {
      make_phases(full[i], 1);
      make_phases(empty[i], kGroups * kWarpsOfGroup);
    }
    publish_phases();
  }
  barrier();
  // The registers that copying does not need are those of more sums.
  if (thread_index() / kGroupThreads == 0) {
    lower_registers<40>();
    if (thread_index() == 0) fill_ring<S>(ring, full, empty, weights, inputs, args, block_x(), blocks);
  } else {
    raise_registers<232>();
    multiply_ring<S, kHalf>(ring, full, empty, args, thread_index() / kGroupThreads - 1, block_x(), blocks);
  }
#else
  (void)args;
  (void)blocks;
#endif
}

template <class S, bool kHalf>
void launch_groups(Backend& backend, const GemmActivations& x, const GemmProduct& product) {
  Args args{};
  args.tiles_of_pass = x.tiles;
  args.tiles = x.tiles * x.passes;
  args.tokens = x.tokens;
  args.rows = product.rows;
  args.row_tiles = divide_up(product.rows, S::kRows);
  args.token_tiles = divide_up(x.tokens, kTokens);
  args.scale = x.scale;
  args.bias = product.bias;
  args.y = product.y;
  args.y_stride = product.y_stride;
  args.add = product.add;
  args.pairs = product.y_stride % 2 == 0 && reinterpret_cast<uintptr_t>(product.y) % 8 == 0;
  const int64_t blocks = std::min<int64_t>(args.row_tiles * args.token_tiles, backend.context->info.processors);
  launch_sharing(backend.context->stream, "multiply_groups", multiply_groups<S, kHalf>, blocks, 1, 1, kThreads, S::kSharedBytes,
                 matrix_map(product.data, product.rows, product.columns, product.row_bytes, S::kRows),
                 matrix_map(x.values, x.tokens, x.stride(), x.stride() * 2, kTokens), args, blocks);
}

// Whether the kernels were compiled for this device: without their body they have next to no registers.
bool has_body() {
#if defined(__CUDACC__)
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, multiply_groups<Shape<256>, false>) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.numRegs > 100 && encode() != nullptr;
#else
  return true;
#endif
}

template <class S>
void launch_type(Backend& backend, const GemmActivations& x, const GemmProduct& product) {
  if (product.type == kF16) return launch_groups<S, true>(backend, x, product);
  launch_groups<S, false>(backend, x, product);
}

}  // namespace

bool hopper_usable(Backend& backend) {
  const DeviceInfo& info = backend.context->info;
  if (info.major != 9 || info.minor != 0) return false;
  static const bool found = has_body();
  return found;
}

void multiply_hopper(Backend& backend, const GemmActivations& x, const GemmProduct& product) {
  require(x.tokens <= INT32_MAX, "a step has at most 2^31 - 1 tokens");
  // The large tile where it leaves no more processors without work than the small one.
  const int64_t processors = backend.context->info.processors, tokens = divide_up(x.tokens, kTokens);
  const int64_t large = tokens * divide_up(product.rows, 256), small = tokens * divide_up(product.rows, 128);
  bool use_large = 2 * divide_up(large, processors) <= divide_up(small, processors);
  if (backend.gemm_order.tile >= 0) use_large = backend.gemm_order.tile == 0;
  if (use_large) return launch_type<Shape<256>>(backend, x, product);
  launch_type<Shape<128>>(backend, x, product);
}

}  // namespace qw::cuda
