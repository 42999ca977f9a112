// The kernel of gemm_int8.h.
//
// A tile belongs to a team: all warps of the block, or one warp, then each of the eight warps has its own strand of the columns and their
// sums are added at the end. A team copies 128 columns at a time to shared memory, several such stages ahead, weights as they lie in
// memory. Scales and offsets become floats there once for all that need them; codes are decoded on their way to registers: word t of a
// group's 4-bit codes is columns 4t .. 4t + 3 in its low and 4t + 16 .. 4t + 19 in its high nibbles, just what lane t of four gives to a
// product of 16 x 8 x 32. Signed codes of less than 8 bits become the high bits of a byte, and their scale a power of two smaller.
//
// What bounds it is neither the tensor cores nor shared memory but the four sums of a lane that each product of 16 x 8 x 32 adds to floats.
// The integers are accumulated upon the bits of 1.5 * 2^23, so as a float they are that number plus the sum, and
//   t = fma(d, that, -d * 1.5 * 2^23)   is d * sum, rounded once: the product of d, which has at most 19 bits, and two bits is exact
//   acc = fma(scale of the activations, t, acc)
// are 2 instructions for an output and group (3 with an offset, twice as many where 16 columns have a scale) instead of 3 and a conversion,
// which runs at a quarter of their rate. For a group a warp of 64 x 32 issues 16 products, 128 fma, 24 instructions that decode 4 bits and
// about 40 others, for four groups 190 more for copies, factors and barriers: with 4 of them a clock 480 TOPS on 132 processors of
// 1.755 GHz, 390 with offsets. The products alone would take 1230.
#pragma once

#include "cuda/gemm_int8.h"
#include "cuda/formats.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace qw::cuda {

constexpr int kGemmThreads = 256;
constexpr int kGemmWarps = kGemmThreads / kLanes;
constexpr int kStrands = kGemmWarps;
constexpr int kStageGroups = 4;
constexpr int kMostStages = 4;
constexpr float kMagic = 12582912.f;  // 1.5 * 2^23, bits 0x4b400000; a sum of 32 products of int8 is below 2^20
constexpr int kMagicBits = 0x4b400000;

// For compute capability 12.0 the compiler spills registers of tiles with 64 sums a lane: there only narrow ones are compiled and launched.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr bool kOnlyNarrow = true;
#else
constexpr bool kOnlyNarrow = false;
#endif

constexpr int kLikeInt4 = kQ4_1, kLikeInt5 = kQ5_1;

// The type whose codes lie and are decoded like those of `type`; only scales differ.
constexpr int codes_like(int type) {
  switch (type) {
    case kQ4_K:
    case kINT4_G32:
    case kINT4_G128: return kLikeInt4;
    case kQ5_K: return kLikeInt5;
    case kINT8_G128: return kINT8_G32;
    case kIQ4_XS: return kIQ4_NL;
    default: return type;
  }
}

// Of all types with such codes.
template <int kCodes>
struct CodesOf : Format<kCodes> {
  using F = Format<kCodes>;
  // Pieces of 16 bytes that hold the scales of a stage. Those of Q5_0 and Q5_1 begin at any multiple of four.
  static constexpr int kScalePieces = kCodes == kQ5_0 || kCodes == kLikeInt5 ? 2 : 1;
  static constexpr bool kSupers = F::kSuper != 0 || kCodes == kLikeInt4 || kCodes == kLikeInt5 || kCodes == kIQ4_NL;
  // Codes are multiplied with 2^kShift.
  static constexpr int kShift = kCodes == kQ4_0 ? 4 : kCodes == kQ5_0 ? 3 : kCodes == kQ3_K ? 5 : kCodes == kQ6_K ? 2 : 0;
};

// Of a row in shared memory `kPieces` pieces of 16 bytes lie in an order of its own, so that the same piece of 8 rows is in all banks.
template <int kPieces>
QW_DEVICE int swizzle(int row) {
  if constexpr (kPieces >= 8) return row & 7;
  return row / (8 / kPieces) & (kPieces - 1);
}

template <int kCodesLike, IntegerTile kTile>
struct GemmShape {
  using C = CodesOf<kCodesLike>;
  static constexpr bool kWarpTeams = kTile != IntegerTile::kWide;
  static constexpr int kRowWarps = kWarpTeams ? 1 : 2, kSlotWarps = kWarpTeams ? 1 : 4;
  static constexpr int kTeams = kWarpTeams ? kGemmWarps : 1;
  static constexpr int kTeamThreads = kGemmThreads / kTeams;
  // Tiles of 16 rows and of 8 slots of a warp.
  static constexpr int kRowTiles = kTile == IntegerTile::kNarrow ? 2 : 4, kSlotTiles = kTile == IntegerTile::kNarrow ? 2 : 4;
  static constexpr int kWarpRows = kRowTiles * 16, kWarpSlots = kSlotTiles * 8;
  static constexpr int kRows = kRowWarps * kWarpRows, kSlots = kSlotWarps * kWarpSlots;

  static constexpr int kCodePieces = kStageGroups * C::kCode / 16, kHighPieces = kStageGroups * C::kHigh / 16;
  static constexpr int kScaleRow = 16 * (C::kScalePieces + C::kSupers);
  static constexpr int kPlanes = !C::kOffset ? 1 : !C::kHalves ? 2 : 3;
  // Places in a stage.
  static constexpr int kHigh = kRows * 16 * kCodePieces;
  static constexpr int kScales = kHigh + kRows * 16 * kHighPieces;
  static constexpr int kInputs = kScales + kRows * kScaleRow;
  static constexpr int kFirstPlane = kInputs + kSlots * kStageGroups * kGroup;
  static constexpr int kPlaneFloats = kStageGroups * kSlots;
  static constexpr int kStageBytes = kFirstPlane + kPlanes * kPlaneFloats * 4;
  // What rows are multiplied with, of a stage: scales, then offsets; where there are halves, of the first ones, then of the second ones.
  static constexpr int kHalves = C::kHalves ? 2 : 1;
  static constexpr int kFactorFloats = kStageGroups * kRows;
  static constexpr int kFactorBytes = kFactorFloats * 4 * kHalves * (C::kOffset ? 2 : 1);

  static constexpr int64_t team_bytes(int stages) { return kFactorBytes + stages * kStageBytes; }
  // Sums at the end, of warps that have a strand each those of all strands. 4 lanes write every other slot, 8 neighbouring rows.
  static constexpr int kParts = kWarpTeams ? kStrands : 1;
  static constexpr int kSumPitch = kRows + 4;
  static constexpr int64_t kSumBytes = int64_t{4} * kParts * kSlots * kSumPitch;
  static constexpr int64_t shared_bytes(int stages) {
    const int64_t bytes = kTeams * team_bytes(stages);
    return bytes > kSumBytes ? bytes : kSumBytes;
  }
};

struct alignas(8) FloatPair {
  float v[2];
};

struct GemmArgs {
  IntegerProduct p;
  int64_t high, scales, supers;  // places in a row
  int32_t scale_bytes;           // of a stage
  int32_t scale_step;            // from a group to the next one: 0 where a stage has one scale
  int32_t super_bytes;           // of 8 groups
  int32_t stages;
  int32_t row_tiles, slot_tiles;
};

template <class S>
QW_DEVICE void team_barrier() {
  if constexpr (S::kWarpTeams) {
    warp_barrier();
  } else {
    barrier();
  }
}

QW_DEVICE void wait_but(int groups) {
  if (groups == 0) return wait_copies<0>();
  if (groups == 1) return wait_copies<1>();
  wait_copies<2>();
}

// Copies pieces of 16 bytes of many rows to shared memory, kPieces of each, swizzled. Rows from `there` on become zeros, and pieces that do
// not begin within the first `inside` bytes. A thread takes the same piece of every kStep-th row.
template <class S, int kRows, int kPieces>
QW_DEVICE void copy_rows(uint8_t* to, const uint8_t* from, int64_t row_bytes, int there, int64_t inside) {
  constexpr int kStep = S::kTeamThreads / kPieces, kCopies = kRows / kStep;
  const int thread = thread_index() % S::kTeamThreads, first = thread / kPieces, piece = thread % kPieces;
  static_assert(S::kTeamThreads % kPieces == 0);
  const uint8_t* next = from + first * row_bytes + piece * 16;
  const int64_t step = kStep * row_bytes;
  there = piece * 16 < inside ? there : 0;
  if constexpr (kCopies == 0) {
    // More threads than pieces.
    if (first < kRows) copy_async(to + (first * kPieces + (piece ^ swizzle<kPieces>(first))) * 16, next, first < there);
  }
  // Not unrolled: registers are for sums.
  QW_ROLLED for (int i = 0; i < kCopies; i++) {
    const int row = first + i * kStep;
    copy_async(to + (row * kPieces + (piece ^ swizzle<kPieces>(row))) * 16, next, row < there);
    next += step;
  }
}

// One piece of each row, to places that lie S::kScaleRow apart.
template <class S>
QW_DEVICE void copy_pieces(uint8_t* to, const uint8_t* from, int64_t row_bytes, int there, bool inside) {
  there = inside ? there : 0;
  QW_ROLLED for (int row = thread_index() % S::kTeamThreads; row < S::kRows; row += S::kTeamThreads) {
    copy_async(to + row * S::kScaleRow, from + row * row_bytes, row < there);
  }
}

// Of rows and slots that are not there zeros are put; of columns behind the last one any codes, which are multiplied with zeros.
template <int kCodes, class S>
QW_DEVICE void copy_stage(const GemmArgs& args, int64_t first_row, int first_slot, int at, uint8_t* stage) {
  using C = typename S::C;
  const IntegerProduct& p = args.p;
  const int64_t group = int64_t{at} * kStageGroups;
  const uint8_t* rows = p.data + first_row * p.row_bytes;
  const int rows_there = static_cast<int>(p.rows - first_row < S::kRows ? p.rows - first_row : S::kRows);
  const auto copy_plane = [&](auto pieces, int to, int64_t place) {
    copy_rows<S, S::kRows, decltype(pieces)::value>(stage + to, rows + place, p.row_bytes, rows_there, p.row_bytes - place);
  };
  copy_plane(std::integral_constant<int, S::kCodePieces>(), 0, group * C::kCode);
  if constexpr (S::kHighPieces != 0) copy_plane(std::integral_constant<int, S::kHighPieces>(), S::kHigh, args.high + group * C::kHigh);
  const int64_t scales = args.scales + group / kStageGroups * args.scale_bytes, piece = scales / 16 * 16;
  copy_pieces<S>(stage + S::kScales, rows + piece, p.row_bytes, rows_there, piece < p.row_bytes);
  if constexpr (C::kScalePieces == 2) {
    if (scales % 16 + args.scale_bytes > 16) {
      copy_pieces<S>(stage + S::kScales + 16, rows + piece + 16, p.row_bytes, rows_there, piece + 16 < p.row_bytes);
    }
  }
  if constexpr (C::kSupers) {
    if (args.super_bytes != 0) {
      const int64_t supers = (args.supers + group / 8 * args.super_bytes) / 16 * 16;
      copy_pieces<S>(stage + S::kScales + 16 * C::kScalePieces, rows + supers, p.row_bytes, rows_there, true);
    }
  }
  constexpr int kInputPieces = kStageGroups * kGroup / 16;
  const int64_t columns = int64_t{p.groups} * kGroup, column = group * kGroup;
  const uint8_t* slots = reinterpret_cast<const uint8_t*>(p.x.q) + first_slot * columns + column;
  copy_rows<S, S::kSlots, kInputPieces>(stage + S::kInputs, slots, columns, p.x.slots - first_slot, columns - column);
  QW_UNROLL for (int plane = 0; plane < S::kPlanes; plane++) {
    const float* from = plane == 0 ? p.x.scale : plane == 1 ? p.x.sum : p.x.low;
    QW_ROLLED for (int item = thread_index() % S::kTeamThreads; item < S::kPlaneFloats / 4; item += S::kTeamThreads) {
      const int j = item / (S::kSlots / 4), slot = first_slot + item % (S::kSlots / 4) * 4;
      copy_async(stage + S::kFirstPlane + (plane * S::kPlaneFloats + item * 4) * 4, from + (group + j) * p.x.slots + slot,
                 group + j < p.groups && slot < p.x.slots);
    }
  }
}

QW_DEVICE float low_half_of(uint32_t word) { return from_half(static_cast<uint16_t>(word)); }
QW_DEVICE float high_half_of(uint32_t word) { return from_half(static_cast<uint16_t>(word >> 16)); }
QW_DEVICE float signed_byte(uint32_t word) { return static_cast<float>(static_cast<int8_t>(word)); }
QW_DEVICE float unsigned_byte(uint32_t word) { return static_cast<float>(word & 255); }

// Scales and offsets of a group, as decode_scales tells them. s: the scales in its lowest bytes; super: those of 256 columns.
template <int kCodes>
QW_DEVICE void factors_of(int32_t type, uint32_t s, uint32_t super, float scale[2], float offset[2]) {
  if constexpr (kCodes == kQ2_K) {
    QW_UNROLL for (int i = 0; i < 2; i++) {
      scale[i] = low_half_of(super) * static_cast<float>(s >> 8 * i & 15);
      offset[i] = -(high_half_of(super) * static_cast<float>(s >> (8 * i + 4) & 15));
    }
  } else if constexpr (kCodes == kQ3_K || kCodes == kQ6_K) {
    QW_UNROLL for (int i = 0; i < 2; i++) scale[i] = low_half_of(super) * signed_byte(s >> 8 * i);
  } else if constexpr (kCodes == kIQ4_NL) {
    scale[0] = type == kIQ4_XS ? low_half_of(super) * signed_byte(s) : low_half_of(s);
  } else if constexpr (kCodes == kINT8_G32) {
    scale[0] = low_half_of(s);
    offset[0] = -(scale[0] * signed_byte(s >> 16));
  } else if constexpr (kCodes == kLikeInt4 || kCodes == kLikeInt5) {
    if (type == kQ4_K || type == kQ5_K) {
      scale[0] = low_half_of(super) * unsigned_byte(s);
      offset[0] = -(high_half_of(super) * unsigned_byte(s >> 8));
    } else {
      scale[0] = low_half_of(s);
      offset[0] = type == kQ4_1 || type == kQ5_1 ? high_half_of(s) : -(scale[0] * unsigned_byte(s >> 16));
    }
  } else {
    scale[0] = low_half_of(s);
  }
}

// The factors of a stage, each thread those of a row. A lane of four finds those of its rows g, g + 8, ... of a warp's side by side.
template <int kCodes, class S>
QW_DEVICE void make_factors(const GemmArgs& args, int at, const uint8_t* stage, float* factors) {
  using C = typename S::C;
  const int64_t group = int64_t{at} * kStageGroups;
  // Those of four groups begin at a multiple of four.
  const uint8_t* scales = stage + S::kScales + (args.scales + int64_t{at} * args.scale_bytes) % 16;
  const int64_t super = (args.supers + group / 8 * args.super_bytes) % 16;
  const uint8_t* supers = stage + S::kScales + 16 * C::kScalePieces + super / 4 * 4;
  const auto word = [](const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); };
  QW_ROLLED for (int row = thread_index() % S::kTeamThreads; row < S::kRows; row += S::kTeamThreads) {
    const int of_warp = row % S::kWarpRows;
    float* to = factors + row - of_warp + of_warp % 8 * (2 * S::kRowTiles) + of_warp / 8;
    const uint32_t of_super = C::kSupers ? word(supers + row * S::kScaleRow) >> super % 4 * 8 : 0;
    QW_UNROLL for (int j = 0; j < kStageGroups; j++) {
      const int begin = j * args.scale_step;
      const uint32_t s = word(scales + row * S::kScaleRow + begin / 4 * 4) >> begin % 4 * 8;
      float scale[2] = {0.f, 0.f}, offset[2] = {0.f, 0.f};
      if (group + j < args.p.groups) factors_of<kCodes>(args.p.type, s, of_super, scale, offset);
      QW_UNROLL for (int half = 0; half < S::kHalves; half++) {
        to[half * S::kFactorFloats + j * S::kRows] = scale[half] * (1.f / static_cast<float>(1 << C::kShift));
        if constexpr (C::kOffset) to[(S::kHalves + half) * S::kFactorFloats + j * S::kRows] = offset[half];
      }
    }
  }
}

// Bits 0 .. 3 to bits 7, or 4, of four bytes.
QW_DEVICE uint32_t spread_to_7(uint32_t bits) { return (bits & 15) * 0x10204080u & 0x80808080u; }
QW_DEVICE uint32_t spread_to_4(uint32_t bits) { return (bits & 15) * 0x02040810u & 0x10101010u; }

// Columns 4t .. 4t + 3 and 4t + 16 .. 4t + 19 of group j of a row: its codes and high bits begin at `codes` and `high`.
template <int kCodes, class S>
QW_DEVICE void decode_words(const uint8_t* codes, const uint8_t* high, int swizzle_codes, int swizzle_high, int j, int t,
                            uint32_t& low_half, uint32_t& high_half) {
  using C = typename S::C;
  const auto word = [](const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); };
  if constexpr (C::kCode == 32) {
    low_half = word(codes + ((2 * j) ^ swizzle_codes) * 16 + 4 * t);
    high_half = word(codes + ((2 * j + 1) ^ swizzle_codes) * 16 + 4 * t);
    return;
  }
  // Of codes of 2 bits columns c and c + 8 k share a byte.
  const int pair = t >> 1 << 1;
  uint32_t c, h = 0;
  if constexpr (C::kCode == 16) {
    c = word(codes + (j ^ swizzle_codes) * 16 + 4 * t);
  } else {
    c = word(codes + ((j >> 1) ^ swizzle_codes) * 16 + (j & 1) * 8 + (t & 1) * 4) >> pair;
  }
  if constexpr (C::kHigh == 4) h = word(high + 4 * j) >> 4 * t;
  if constexpr (C::kHigh == 8) h = word(high + ((j >> 1) ^ swizzle_high) * 16 + (j & 1) * 8 + (t & 1) * 4) >> pair;
  if constexpr (kCodes == kQ4_0) {
    low_half = (c << 4 & 0xf0f0f0f0u) ^ 0x80808080u;
    high_half = (c & 0xf0f0f0f0u) ^ 0x80808080u;
  } else if constexpr (kCodes == kLikeInt4) {
    low_half = c & 0x0f0f0f0fu;
    high_half = c >> 4 & 0x0f0f0f0fu;
  } else if constexpr (kCodes == kQ5_0) {
    low_half = ((c << 3 & 0x78787878u) | spread_to_7(h)) ^ 0x80808080u;
    high_half = ((c >> 1 & 0x78787878u) | spread_to_7(h >> 16)) ^ 0x80808080u;
  } else if constexpr (kCodes == kLikeInt5) {
    low_half = (c & 0x0f0f0f0fu) | spread_to_4(h);
    high_half = (c >> 4 & 0x0f0f0f0fu) | spread_to_4(h >> 16);
  } else if constexpr (kCodes == kIQ4_NL) {
    low_half = iq4_values(c & 0x0f0f0f0fu);
    high_half = iq4_values(c >> 4 & 0x0f0f0f0fu);
  } else if constexpr (kCodes == kQ2_K) {
    low_half = c & 0x03030303u;
    high_half = c >> 4 & 0x03030303u;
  } else if constexpr (kCodes == kQ3_K) {
    low_half = ((c << 5 & 0x60606060u) | spread_to_7(h)) ^ 0x80808080u;
    high_half = ((c << 1 & 0x60606060u) | spread_to_7(h >> 16)) ^ 0x80808080u;
  } else if constexpr (kCodes == kQ6_K) {
    low_half = ((c << 2 & 0x3c3c3c3cu) | (h << 6 & 0xc0c0c0c0u)) ^ 0x80808080u;
    high_half = ((c >> 2 & 0x3c3c3c3cu) | (h << 2 & 0xc0c0c0c0u)) ^ 0x80808080u;
  }
}

// Adds to acc what the 16 or 32 columns of a product of integers give: sums upon kMagic for rows g and g + 8 of two slots.
template <bool kOffset>
QW_DEVICE void add_product(const int (&product)[4], const FloatPair& scale, const FloatPair& offset, const FloatPair& x,
                           const FloatPair& sum, float (&acc)[4]) {
  QW_UNROLL for (int i = 0; i < 4; i++) {
    float t = fma(scale.v[i / 2], float_of(static_cast<uint32_t>(product[i])), scale.v[i / 2] * -kMagic);
    if constexpr (kOffset) t = fma(offset.v[i / 2], sum.v[i % 2], t);
    acc[i] = fma(x.v[i % 2], t, acc[i]);
  }
}

// Group j of a stage.
template <int kCodes, class S>
QW_DEVICE void multiply_group(const uint8_t* stage, const float* factors, int row, int slot, int j,
                              float (&acc)[S::kRowTiles][S::kSlotTiles][4]) {
  using C = typename S::C;
  const int lane = lane_index(), g = lane / 4, t = lane % 4;
  const int magic[4] = {kMagicBits, kMagicBits, kMagicBits, kMagicBits};
  // The slots' side, then rows one tile after the other: of those fewer values must be at hand.
  uint32_t b[S::kSlotTiles / 2][4];
  QW_UNROLL for (int pair = 0; pair < S::kSlotTiles / 2; pair++) {
    const int of = slot + 16 * pair + lane / 16 * 8 + lane % 8;
    load_matrices(b[pair], stage + S::kInputs + (of * (kStageGroups * 2) + ((2 * j + lane / 8 % 2) ^ swizzle<8>(of))) * 16);
  }
  const auto two = [](const float* p) { return *reinterpret_cast<const FloatPair*>(p); };
  const float* planes = reinterpret_cast<const float*>(stage + S::kFirstPlane) + j * S::kSlots + slot + 2 * t;
  FloatPair x[S::kSlotTiles], sums[2][S::kSlotTiles] = {};
  QW_UNROLL for (int n = 0; n < S::kSlotTiles; n++) {
    x[n] = two(planes + 8 * n);
    if constexpr (C::kOffset) sums[0][n] = two(planes + S::kPlaneFloats + 8 * n);
    if constexpr (C::kOffset && C::kHalves) {
      const FloatPair low = two(planes + 2 * S::kPlaneFloats + 8 * n);
      sums[1][n] = {{sums[0][n].v[0] - low.v[0], sums[0][n].v[1] - low.v[1]}};
      sums[0][n] = low;
    }
  }
  const uint8_t* codes = stage + (row + g) * 16 * S::kCodePieces;
  const uint8_t* high = stage + S::kHigh + (row + g) * 16 * S::kHighPieces;
  const float* of_rows = factors + j * S::kRows + row + g * 2 * S::kRowTiles;
  QW_UNROLL for (int i = 0; i < S::kRowTiles; i++) {
    uint32_t a[4];
    QW_UNROLL for (int k = 0; k < 2; k++) {
      const int of = 16 * i + 8 * k;
      decode_words<kCodes, S>(codes + of * 16 * S::kCodePieces, high + of * 16 * S::kHighPieces, swizzle<S::kCodePieces>(g),
                              swizzle<S::kHighPieces == 0 ? 1 : S::kHighPieces>(g), j, t, a[k], a[2 + k]);
    }
    FloatPair scale[S::kHalves], offset[S::kHalves] = {};
    QW_UNROLL for (int half = 0; half < S::kHalves; half++) {
      scale[half] = two(of_rows + half * S::kFactorFloats + 2 * i);
      if constexpr (C::kOffset) offset[half] = two(of_rows + (S::kHalves + half) * S::kFactorFloats + 2 * i);
    }
    QW_UNROLL for (int n = 0; n < S::kSlotTiles; n++) {
      const uint32_t of_slot[2] = {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]};
      int product[4];
      if constexpr (C::kHalves) {
        QW_UNROLL for (int half = 0; half < 2; half++) {
          multiply_int8(product, a[2 * half], a[2 * half + 1], of_slot[half], magic);
          add_product<C::kOffset>(product, scale[half], offset[half], x[n], sums[half][n], acc[i][n]);
        }
      } else {
        multiply_int8(product, a, of_slot, magic);
        add_product<C::kOffset>(product, scale[0], offset[0], x[n], sums[0][n], acc[i][n]);
      }
    }
  }
}

// The first stage of a strand; strand kStrands begins behind the last one.
QW_DEVICE int strand_begin(int stages, int strand) { return static_cast<int>(int64_t{stages} * strand / kStrands); }

template <int kCodes, IntegerTile kTile>
QW_KERNEL QW_LAUNCH_BOUNDS(kGemmThreads) multiply_tile(GemmArgs args) {
  if (kTile != IntegerTile::kNarrow && kOnlyNarrow) return;
  using S = GemmShape<kCodes, kTile>;
  // Blocks that run together share rows and tokens: up to 8 tiles of tokens, then the next rows.
  constexpr int kTogether = 8;
  const int64_t of_band = int64_t{kTogether} * args.row_tiles, band = block_x() / of_band, in_band = block_x() % of_band;
  const int64_t left = args.slot_tiles - band * kTogether, width = left < kTogether ? left : kTogether;
  const int64_t first_row = in_band / width * S::kRows;
  const int first_slot = static_cast<int>(band * kTogether + in_band % width) * S::kSlots;

  const int warp = thread_index() / kLanes, lane = lane_index(), g = lane / 4, t = lane % 4;
  const int row = S::kWarpTeams ? 0 : warp % S::kRowWarps * S::kWarpRows, slot = S::kWarpTeams ? 0 : warp / S::kRowWarps * S::kWarpSlots;
  uint8_t* team = launch_shared() + (S::kWarpTeams ? warp * (S::kFactorBytes + args.stages * S::kStageBytes) : 0);
  float* factors = reinterpret_cast<float*>(team);
  uint8_t* stages = team + S::kFactorBytes;

  const int all = (args.p.groups + kStageGroups - 1) / kStageGroups;
  const int begin = S::kWarpTeams ? strand_begin(all, warp) : 0, end = S::kWarpTeams ? strand_begin(all, warp + 1) : all;
  float acc[S::kRowTiles][S::kSlotTiles][4] = {}, total[S::kRowTiles][S::kSlotTiles][4] = {};
  int strand = 0;
  // Copies run ahead: of stage `at` those of stage at + ahead begin. Stage s is in the ring's place (s - begin) % args.stages.
  const int ahead = args.stages - 1;
  int place = 0, next_place = 0;
  QW_ROLLED for (int at = begin - ahead; at < end; at++) {
    // With one stage its copies begin when all have left it; with more the next ones go where all have left before this barrier.
    if (at >= begin) {
      if (ahead > 0) wait_but(ahead - 1);
      team_barrier<S>();
    }
    if (at + ahead < end) copy_stage<kCodes, S>(args, first_row, first_slot, at + ahead, stages + next_place * S::kStageBytes);
    end_copies();
    next_place = next_place == ahead ? 0 : next_place + 1;
    if (at < begin) continue;
    if (ahead == 0) {
      wait_copies<0>();
      team_barrier<S>();
    }
    const uint8_t* stage = stages + place * S::kStageBytes;
    make_factors<kCodes, S>(args, at, stage, factors);
    team_barrier<S>();
    QW_ROLLED for (int j = 0; j < kStageGroups; j++) multiply_group<kCodes, S>(stage, factors, row, slot, j, acc);
    place = place == ahead ? 0 : place + 1;
    if constexpr (!S::kWarpTeams) {
      while (strand_begin(all, strand + 1) <= at) strand++;
      if (strand_begin(all, strand + 1) == at + 1) {
        QW_UNROLL for (int i = 0; i < S::kRowTiles; i++) {
          QW_UNROLL for (int n = 0; n < S::kSlotTiles; n++) {
            QW_UNROLL for (int k = 0; k < 4; k++) {
              total[i][n][k] += acc[i][n][k];
              acc[i][n][k] = 0;
            }
          }
        }
      }
    }
  }

  // All have left their stages.
  wait_copies<0>();
  barrier();
  float* sums = reinterpret_cast<float*>(launch_shared());
  float* of_lane = sums + ((S::kWarpTeams ? warp * S::kSlots : slot) + 2 * t) * S::kSumPitch + row + g;
  QW_UNROLL for (int i = 0; i < S::kRowTiles; i++) {
    QW_UNROLL for (int n = 0; n < S::kSlotTiles; n++) {
      QW_UNROLL for (int k = 0; k < 4; k++) {
        of_lane[(8 * n + k % 2) * S::kSumPitch + 16 * i + k / 2 * 8] = S::kWarpTeams ? acc[i][n][k] : total[i][n][k];
      }
    }
  }
  barrier();
  const auto sum_of = [&](int slot_of_sum, int row_of_sum) {
    float sum = 0;
    QW_UNROLL for (int part = 0; part < S::kParts; part++) sum += sums[(part * S::kSlots + slot_of_sum) * S::kSumPitch + row_of_sum];
    return sum;
  };
  const IntegerProduct& p = args.p;
  const int64_t first_token = first_slot / p.x.sets;
  QW_ROLLED for (int item = thread_index(); item < S::kRows * S::kSlots / p.x.sets; item += kGemmThreads) {
    const int token = item / S::kRows, of = item % S::kRows;
    if (first_row + of >= p.rows || first_token + token >= p.x.tokens) continue;
    // Of tokens in two sets eight lie before the same eight again.
    const int of_set = token / 8 * 16 + token % 8;
    const float sum = p.x.sets == 1 ? sum_of(token, of) : sum_of(of_set, of) + sum_of(of_set + 8, of);
    float* to = p.y + (first_token + token) * p.y_stride + first_row + of;
    *to = p.add ? *to + sum : p.bias != nullptr ? p.bias[first_row + of] + sum : sum;
  }
}

template <IntegerTile kTile>
bool multiply_tiles(const Stream& stream, int64_t shared_bytes, int64_t processors, IntegerProduct product) {
  bool done = false;
  with_quantized(product.type, [&](auto type) {
    constexpr int kType = decltype(type)::value;
    using F = Format<kType>;
    constexpr int kCodes = codes_like(kType);
    using S = GemmShape<kCodes, kTile>;
    const int64_t row_tiles = divide_up(product.rows, S::kRows), slot_tiles = divide_up(product.x.slots, S::kSlots);
    const auto stages_in = [](int64_t bytes) {
      int stages = kMostStages;
      while (stages > 0 && S::shared_bytes(stages) > bytes) stages--;
      return stages;
    };
    int stages = stages_in(shared_bytes);
    // Two blocks of a few stages hide more than one of many, where their registers have room.
    if (kTile == IntegerTile::kNarrow && row_tiles * slot_tiles > processors && stages_in(shared_bytes / 2 - 1024) >= 2) {
      stages = stages_in(shared_bytes / 2 - 1024);
    }
    if (stages == 0) return;
    static_assert(F::kScaleGroups == 1 || F::kScaleGroups == kStageGroups, "groups of a stage have a scale each, or one");
    const RowPlaces<kType> places(product.groups);
    const GemmArgs args{product, places.high, places.scales, places.supers, kStageGroups / F::kScaleGroups * F::kScale,
                        F::kScaleGroups == 1 ? F::kScale : 0, F::kSuper, stages, static_cast<int32_t>(row_tiles),
                        static_cast<int32_t>(slot_tiles)};
    launch_sharing(stream, "multiply_tile", multiply_tile<kCodes, kTile>, row_tiles * slot_tiles, 1, 1, kGemmThreads,
                   S::shared_bytes(stages), args);
    done = true;
  });
  return done;
}

}  // namespace qw::cuda
