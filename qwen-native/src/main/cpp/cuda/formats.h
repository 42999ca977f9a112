// How weights lie on the device, and how 32 values of a row are decoded.
//
// A row is one piece of memory, a multiple of 16 bytes, so that rows of one type that follow each other are one matrix. Floating point: the
// values, filled up with zeros to whole pieces of 16 bytes. Quantized, for each 32 columns (a group), all groups side by side:
//   codes   their low 2 bits (8 bytes: element e in byte e % 8, from bit 2 * (e / 8)), low 4 bits (16 bytes: elements e and e + 16 in
//           byte e), or all 8
//   high    where codes have 3 or 5 bits the last one (a word, bit e is element e's), where they have 6 two (as codes of 2 bits)
//   scales  d, or d and m, in half precision; in formats of 256 columns what multiplies those; in groups of 128 columns one for 4 groups of 32
//   supers  in formats of 256 columns, for each 8 groups: d, or d and dmin, in half precision
// A lane takes a group: 16 bytes of 4-bit codes are one load, and 32 lanes load 512 bytes side by side.
#pragma once

#include <type_traits>

#include "common/blocks.h"
#include "cpu/kernels.h"
#include "cuda/lanes.h"

namespace qw::cuda {

constexpr int kGroup = 32;

// What a type has; bytes are of a group.
template <int kType>
struct Format;

template <class B, int kBitsOfCode, int kScaleBytes, int kSuperBytes, bool kTwoScales, bool kHasOffset, int kGroupsOfScale = 1>
struct QuantizedFormat {
  using Block = B;
  static constexpr int kBits = kBitsOfCode;
  static constexpr int kCode = kBits == 8 ? 32 : kBits < 4 ? 8 : 16;
  static constexpr int kHigh = kBits == 6 ? 8 : kBits == 3 || kBits == 5 ? 4 : 0;
  static constexpr int kScale = kScaleBytes;
  static constexpr int kScaleGroups = kGroupsOfScale;  // that share a scale
  static constexpr int kSuper = kSuperBytes;     // of 8 groups
  static constexpr bool kHalves = kTwoScales;    // 16 columns have a scale, not 32
  static constexpr bool kOffset = kHasOffset;    // value = scale * code + offset
  static constexpr int kGroups = Block::kColumns / kGroup;
};

template <> struct Format<kQ4_0> : QuantizedFormat<BlockQ4_0, 4, 2, 0, false, false> {};
template <> struct Format<kQ4_1> : QuantizedFormat<BlockQ4_1, 4, 4, 0, false, true> {};
template <> struct Format<kQ5_0> : QuantizedFormat<BlockQ5_0, 5, 2, 0, false, false> {};
template <> struct Format<kQ5_1> : QuantizedFormat<BlockQ5_1, 5, 4, 0, false, true> {};
template <> struct Format<kQ8_0> : QuantizedFormat<BlockQ8_0, 8, 2, 0, false, false> {};
template <> struct Format<kQ2_K> : QuantizedFormat<BlockQ2_K, 2, 2, 4, true, true> {};
template <> struct Format<kQ3_K> : QuantizedFormat<BlockQ3_K, 3, 2, 2, true, false> {};
template <> struct Format<kQ4_K> : QuantizedFormat<BlockQ4_K, 4, 2, 4, false, true> {};
template <> struct Format<kQ5_K> : QuantizedFormat<BlockQ5_K, 5, 2, 4, false, true> {};
template <> struct Format<kQ6_K> : QuantizedFormat<BlockQ6_K, 6, 2, 2, true, false> {};
template <> struct Format<kIQ4_NL> : QuantizedFormat<BlockIQ4_NL, 4, 2, 0, false, false> {};
template <> struct Format<kIQ4_XS> : QuantizedFormat<BlockIQ4_XS, 4, 1, 2, false, false> {};
// With a zero point, which is kept beside the scale: offset = -scale * zero.
template <> struct Format<kINT4_G32> : QuantizedFormat<BlockInt4<32>, 4, 4, 0, false, true> {};
template <> struct Format<kINT4_G128> : QuantizedFormat<BlockInt4<128>, 4, 4, 0, false, true, 4> {};
template <> struct Format<kINT8_G32> : QuantizedFormat<BlockInt8<32>, 8, 4, 0, false, true> {};
template <> struct Format<kINT8_G128> : QuantizedFormat<BlockInt8<128>, 8, 4, 0, false, true, 4> {};

constexpr bool is_float(int32_t type) { return type == kF32 || type == kF16 || type == kBF16; }
// The same where a device asks, which calls no function of the host.
template <int kType>
constexpr bool kIsFloat = kType == kF32 || kType == kF16 || kType == kBF16;
// Columns of a piece of 16 bytes.
template <int kType>
constexpr int kPieceColumns = kType == kF32 ? 4 : 8;

template <int kType>
struct RowPlaces {
  using F = Format<kType>;
  int64_t high, scales, supers, end;
  QW_DEVICE explicit RowPlaces(int64_t groups)
      : high(groups * F::kCode), scales(high + groups * F::kHigh),
        supers(scales + groups / F::kScaleGroups * F::kScale), end(supers + groups / 8 * F::kSuper) {}
};

// Four numbers of 0 .. 127, less c.
QW_DEVICE uint32_t subtract_bytes(uint32_t x, uint32_t c) { return ((x | 0x80808080u) - c * 0x01010101u) ^ 0x80808080u; }
// Bits 0 .. 3 to the lowest bits of four bytes.
QW_DEVICE uint32_t spread_bits(uint32_t bits) { return (bits & 15) * 0x00204081u & 0x01010101u; }
// Bits of elements 4 i .. 4 i + 3 of codes of 2 bits.
QW_DEVICE uint32_t two_bits(uint32_t even, uint32_t odd, int i) { return ((i & 1 ? odd : even) >> 2 * (i >> 1)) & 0x03030303u; }

// Values of kIq4Values at four numbers of 0 .. 15.
QW_DEVICE uint32_t iq4_values(uint32_t codes) {
  const uint32_t pairs = codes | codes >> 4;
  const uint32_t selectors = (pairs & 255) | (pairs >> 8 & 0xff00);
  const uint32_t low = permute(0xbfad9881u, 0xf6eaddcfu, selectors & 0x7777);
  const uint32_t high = permute(0x26190d01u, 0x71594535u, selectors & 0x7777);
  const uint32_t mask = (codes >> 3 & 0x01010101u) * 255u;
  return (low & ~mask) | (high & mask);
}

// A group: 32 signed bytes, and what their halves are multiplied with.
struct Decoded {
  uint32_t words[8];
  float scale[2];
  float offset[2];
};

// What a lane loads of a group, so that several groups can be on their way before one is decoded.
template <int kType>
struct LoadedGroup {
  using F = Format<kType>;
  uint32_t codes[F::kCode / 4];
  uint32_t high[F::kHigh == 8 ? 2 : 1];
  uint32_t scale;
  uint32_t super;
};

template <int kType>
QW_DEVICE void load_group(const uint8_t* row, const RowPlaces<kType>& places, int64_t group, LoadedGroup<kType>& g) {
  using F = Format<kType>;
  if constexpr (F::kCode == 32) {
    Words4 a, b;
    load8_once(row + group * 32, a, b);
    g.codes[0] = a.x, g.codes[1] = a.y, g.codes[2] = a.z, g.codes[3] = a.w;
    g.codes[4] = b.x, g.codes[5] = b.y, g.codes[6] = b.z, g.codes[7] = b.w;
  } else if constexpr (F::kCode == 16) {
    const Words4 a = load4_once(row + group * 16);
    g.codes[0] = a.x, g.codes[1] = a.y, g.codes[2] = a.z, g.codes[3] = a.w;
  } else {
    const Words2 a = load2_once(row + group * 8);
    g.codes[0] = a.x, g.codes[1] = a.y;
  }
  if constexpr (F::kHigh == 4) g.high[0] = load1_once(row + places.high + group * 4);
  if constexpr (F::kHigh == 8) {
    const Words2 a = load2_once(row + places.high + group * 8);
    g.high[0] = a.x, g.high[1] = a.y;
  }
  const uint8_t* scale = row + places.scales + group / F::kScaleGroups * F::kScale;
  if constexpr (F::kScale == 4) g.scale = load1(scale);
  if constexpr (F::kScale == 2) g.scale = load_half(scale);
  if constexpr (F::kScale == 1) g.scale = *scale;
  const uint8_t* super = row + places.supers + group / 8 * F::kSuper;
  if constexpr (F::kSuper == 4) g.super = load1(super);
  if constexpr (F::kSuper == 2) g.super = load_half(super);
}

template <int kType>
QW_DEVICE void decode_codes(const LoadedGroup<kType>& g, uint32_t words[8]) {
  using F = Format<kType>;
  QW_UNROLL for (int i = 0; i < 8; i++) {
    if constexpr (F::kCode == 32) words[i] = g.codes[i];
    if constexpr (F::kCode == 16) words[i] = g.codes[i % 4] >> i / 4 * 4 & 0x0f0f0f0fu;
    if constexpr (F::kCode == 8) words[i] = two_bits(g.codes[0], g.codes[1], i);
    if constexpr (F::kHigh == 4) words[i] |= spread_bits(g.high[0] >> 4 * i) << (F::kBits - 1);
    if constexpr (F::kHigh == 8) words[i] |= two_bits(g.high[0], g.high[1], i) << 4;
    constexpr uint32_t kMiddle = kType == kQ4_0 ? 8 : kType == kQ5_0 ? 16 : kType == kQ3_K ? 4 : kType == kQ6_K ? 32 : 0;
    if constexpr (kMiddle != 0) words[i] = subtract_bytes(words[i], kMiddle);
    if constexpr (kType == kIQ4_NL || kType == kIQ4_XS) words[i] = iq4_values(words[i]);
  }
}

QW_DEVICE float low_half(uint32_t word) { return from_half(static_cast<uint16_t>(word)); }
QW_DEVICE float high_half(uint32_t word) { return from_half(static_cast<uint16_t>(word >> 16)); }

template <int kType>
QW_DEVICE void decode_scales(const LoadedGroup<kType>& g, Decoded& d) {
  using F = Format<kType>;
  if constexpr (F::kSuper == 0) {
    d.scale[0] = low_half(g.scale);
    if constexpr (kType == kINT4_G32 || kType == kINT4_G128) {
      d.offset[0] = -(d.scale[0] * static_cast<float>(g.scale >> 16 & 255));
    } else if constexpr (kType == kINT8_G32 || kType == kINT8_G128) {
      d.offset[0] = -(d.scale[0] * static_cast<float>(static_cast<int8_t>(g.scale >> 16)));
    } else if constexpr (F::kOffset) {
      d.offset[0] = high_half(g.scale);
    }
  } else {
    const float scale = low_half(g.super);
    if constexpr (kType == kQ2_K) {
      const float minimum = high_half(g.super);
      QW_UNROLL for (int i = 0; i < 2; i++) {
        d.scale[i] = scale * static_cast<float>(g.scale >> 8 * i & 15);
        d.offset[i] = -(minimum * static_cast<float>(g.scale >> (8 * i + 4) & 15));
      }
    } else if constexpr (F::kOffset) {
      d.scale[0] = scale * static_cast<float>(g.scale & 255);
      d.offset[0] = -(high_half(g.super) * static_cast<float>(g.scale >> 8));
    } else {
      QW_UNROLL for (int i = 0; i < F::kScale; i++) d.scale[i] = scale * static_cast<float>(static_cast<int8_t>(g.scale >> 8 * i));
    }
  }
}

template <int kType>
QW_DEVICE void decode(const LoadedGroup<kType>& g, Decoded& d) {
  decode_codes<kType>(g, d.words);
  decode_scales<kType>(g, d);
}
template <int kType>
QW_DEVICE void decode(const uint8_t* row, const RowPlaces<kType>& places, int64_t group, Decoded& d) {
  LoadedGroup<kType> g;
  load_group<kType>(row, places, group, g);
  decode<kType>(g, d);
}

// Bytes of a row; columns are whole blocks.
int64_t row_bytes(int32_t type, int64_t columns);
// Bytes and columns of a block of the file; throws kUnsupported for types without kernels.
struct BlockSize {
  int64_t columns;
  int64_t bytes;
};
BlockSize block_size(int32_t type);

// fn(std::integral_constant<int, type>) for a quantized type.
template <class Fn>
void with_quantized(int32_t type, Fn fn) {
  switch (type) {
    case kQ4_0: return fn(std::integral_constant<int, kQ4_0>());
    case kQ4_1: return fn(std::integral_constant<int, kQ4_1>());
    case kQ5_0: return fn(std::integral_constant<int, kQ5_0>());
    case kQ5_1: return fn(std::integral_constant<int, kQ5_1>());
    case kQ8_0: return fn(std::integral_constant<int, kQ8_0>());
    case kQ2_K: return fn(std::integral_constant<int, kQ2_K>());
    case kQ3_K: return fn(std::integral_constant<int, kQ3_K>());
    case kQ4_K: return fn(std::integral_constant<int, kQ4_K>());
    case kQ5_K: return fn(std::integral_constant<int, kQ5_K>());
    case kQ6_K: return fn(std::integral_constant<int, kQ6_K>());
    case kIQ4_NL: return fn(std::integral_constant<int, kIQ4_NL>());
    case kIQ4_XS: return fn(std::integral_constant<int, kIQ4_XS>());
    case kINT4_G32: return fn(std::integral_constant<int, kINT4_G32>());
    case kINT4_G128: return fn(std::integral_constant<int, kINT4_G128>());
    case kINT8_G32: return fn(std::integral_constant<int, kINT8_G32>());
    case kINT8_G128: return fn(std::integral_constant<int, kINT8_G128>());
    default: throw Failure(kUnsupported, "the CUDA kernels do not know this weight type");
  }
}
template <class Fn>
void with_type(int32_t type, Fn fn) {
  switch (type) {
    case kF32: return fn(std::integral_constant<int, kF32>());
    case kF16: return fn(std::integral_constant<int, kF16>());
    case kBF16: return fn(std::integral_constant<int, kBF16>());
    default: with_quantized(type, fn);
  }
}

}  // namespace qw::cuda
