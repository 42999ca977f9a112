// Rows of a file laid out for the kernels, see formats.h.
#include <algorithm>

#include "cuda/formats.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;

struct PackArgs {
  const uint8_t* from;
  int64_t file_row_bytes;
  uint8_t* to;
  int64_t row_bytes;
  int64_t rows;
  int64_t columns;
};

QW_DEVICE void put_half(uint8_t* to, const Half& h) {
  to[0] = h.bytes[0];
  to[1] = h.bytes[1];
}

// Nibble of element e of 32: as in Q4_0.
QW_DEVICE int nibble(const uint8_t* qs, int e) { return e < 16 ? qs[e] & 15 : qs[e - 16] >> 4; }
QW_DEVICE int fifth_bit(const uint8_t* qh, int e) { return (qh[e / 8] >> e % 8 & 1) << 4; }

// The code of element e of a block, as it is kept.
QW_DEVICE int code_of(const BlockQ4_0& b, int e) { return nibble(b.qs, e); }
QW_DEVICE int code_of(const BlockQ4_1& b, int e) { return nibble(b.qs, e); }
QW_DEVICE int code_of(const BlockQ5_0& b, int e) { return nibble(b.qs, e) | fifth_bit(b.qh, e); }
QW_DEVICE int code_of(const BlockQ5_1& b, int e) { return nibble(b.qs, e) | fifth_bit(b.qh, e); }
QW_DEVICE int code_of(const BlockQ8_0& b, int e) { return static_cast<uint8_t>(b.qs[e]); }
QW_DEVICE int code_of(const BlockIQ4_NL& b, int e) { return nibble(b.qs, e); }
QW_DEVICE int code_of(const BlockIQ4_XS& b, int e) { return nibble(b.qs + 16 * (e / 32), e % 32); }
QW_DEVICE int code_of(const BlockQ2_K& b, int e) { return b.qs[32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3; }
QW_DEVICE int code_of(const BlockQ3_K& b, int e) {
  return (b.qs[32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3) | (b.hmask[e % 32] >> e / 32 & 1) << 2;
}
QW_DEVICE int code_of(const BlockQ4_K& b, int e) {
  const int byte = b.qs[32 * (e / 64) + e % 32];
  return e / 32 % 2 ? byte >> 4 : byte & 15;
}
QW_DEVICE int code_of(const BlockQ5_K& b, int e) {
  const int byte = b.qs[32 * (e / 64) + e % 32];
  return (e / 32 % 2 ? byte >> 4 : byte & 15) | (b.qh[e % 32] >> e / 32 & 1) << 4;
}
QW_DEVICE int code_of(const BlockQ6_K& b, int e) {
  const int n = e / 128, r = e % 128 / 32, l = e % 32;
  return (b.ql[64 * n + 32 * (r & 1) + l] >> 4 * (r >> 1) & 15) | (b.qh[32 * n + l] >> 2 * r & 3) << 4;
}

template <int kSize>
QW_DEVICE int code_of(const BlockInt4<kSize>& b, int e) { return nibble(b.qs + 16 * (e / 32), e % 32); }
template <int kSize>
QW_DEVICE int code_of(const BlockInt8<kSize>& b, int e) { return static_cast<uint8_t>(b.qs[e] - 128); }

// Scales of group j of a block; those of the whole block go to `super`, once.
QW_DEVICE void put_scales(const BlockQ4_0& b, int, uint8_t* to, uint8_t*) { put_half(to, b.d); }
QW_DEVICE void put_scales(const BlockQ5_0& b, int, uint8_t* to, uint8_t*) { put_half(to, b.d); }
QW_DEVICE void put_scales(const BlockQ8_0& b, int, uint8_t* to, uint8_t*) { put_half(to, b.d); }
QW_DEVICE void put_scales(const BlockIQ4_NL& b, int, uint8_t* to, uint8_t*) { put_half(to, b.d); }
QW_DEVICE void put_scales(const BlockQ4_1& b, int, uint8_t* to, uint8_t*) {
  put_half(to, b.d);
  put_half(to + 2, b.m);
}
QW_DEVICE void put_scales(const BlockQ5_1& b, int, uint8_t* to, uint8_t*) {
  put_half(to, b.d);
  put_half(to + 2, b.m);
}
QW_DEVICE void put_scales(const BlockQ2_K& b, int j, uint8_t* to, uint8_t* super) {
  to[0] = b.scales[2 * j];
  to[1] = b.scales[2 * j + 1];
  if (j == 0) {
    put_half(super, b.d);
    put_half(super + 2, b.dmin);
  }
}
QW_DEVICE void put_scales(const BlockQ3_K& b, int j, uint8_t* to, uint8_t* super) {
  for (int i = 0; i < 2; i++) {
    const int g = 2 * j + i;
    const int scale = ((b.scales[g % 8] >> 4 * (g / 8)) & 15) | (b.scales[8 + g % 4] >> 2 * (g / 4) & 3) << 4;
    to[i] = static_cast<uint8_t>(scale - 32);
  }
  if (j == 0) put_half(super, b.d);
}
// K blocks of 4 and 5 bits: scale and minimum of 6 bits.
template <class Block>
QW_DEVICE void put_scale_minimum(const Block& b, int j, uint8_t* to, uint8_t* super) {
  const uint8_t* k = b.scales;
  to[0] = static_cast<uint8_t>(j < 4 ? k[j] & 63 : (k[j + 4] & 15) | (k[j - 4] >> 6) << 4);
  to[1] = static_cast<uint8_t>(j < 4 ? k[j + 4] & 63 : k[j + 4] >> 4 | (k[j] >> 6) << 4);
  if (j == 0) {
    put_half(super, b.d);
    put_half(super + 2, b.dmin);
  }
}
QW_DEVICE void put_scales(const BlockQ4_K& b, int j, uint8_t* to, uint8_t* super) { put_scale_minimum(b, j, to, super); }
QW_DEVICE void put_scales(const BlockQ5_K& b, int j, uint8_t* to, uint8_t* super) { put_scale_minimum(b, j, to, super); }
QW_DEVICE void put_scales(const BlockQ6_K& b, int j, uint8_t* to, uint8_t* super) {
  to[0] = static_cast<uint8_t>(b.scales[2 * j]);
  to[1] = static_cast<uint8_t>(b.scales[2 * j + 1]);
  if (j == 0) put_half(super, b.d);
}
QW_DEVICE void put_scales(const BlockIQ4_XS& b, int j, uint8_t* to, uint8_t* super) {
  const int high = b.scales_h[0] | b.scales_h[1] << 8;
  const int scale = ((b.scales_l[j / 2] >> 4 * (j % 2)) & 15) | (high >> 2 * j & 3) << 4;
  to[0] = static_cast<uint8_t>(scale - 32);
  if (j == 0) put_half(super, b.d);
}

// A scale and a zero point of the codes as they are kept.
template <int kSize>
QW_DEVICE void put_scales(const BlockInt4<kSize>& b, int, uint8_t* to, uint8_t*) {
  put_half(to, b.d);
  to[2] = b.z;
  to[3] = 0;
}
template <int kSize>
QW_DEVICE void put_scales(const BlockInt8<kSize>& b, int, uint8_t* to, uint8_t*) {
  put_half(to, b.d);
  to[2] = static_cast<uint8_t>(b.z - 128);
  to[3] = 0;
}

// Two bits from `shift` on of 32 codes.
QW_DEVICE void put_two_bits(const uint8_t* codes, int shift, uint8_t* to) {
  for (int i = 0; i < 8; i++) {
    int byte = 0;
    for (int k = 0; k < 4; k++) byte |= (codes[i + 8 * k] >> shift & 3) << 2 * k;
    to[i] = static_cast<uint8_t>(byte);
  }
}

// A thread lays out a group.
template <int kType>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) pack_groups(PackArgs args) {
  using F = Format<kType>;
  const int64_t groups = args.columns / kGroup;
  const int64_t at = block_x() * kThreads + thread_index();
  if (at >= args.rows * groups) return;
  const int64_t row = at / groups, group = at % groups;
  const auto& block = reinterpret_cast<const typename F::Block*>(args.from + row * args.file_row_bytes)[group / F::kGroups];
  const int j = static_cast<int>(group % F::kGroups);
  const RowPlaces<kType> places(groups);
  uint8_t* to = args.to + row * args.row_bytes;
  uint8_t codes[kGroup];
  for (int e = 0; e < kGroup; e++) codes[e] = static_cast<uint8_t>(code_of(block, kGroup * j + e));
  uint8_t* code = to + group * F::kCode;
  if constexpr (F::kCode == 32) {
    for (int e = 0; e < kGroup; e++) code[e] = codes[e];
  } else if constexpr (F::kCode == 16) {
    for (int e = 0; e < 16; e++) code[e] = static_cast<uint8_t>((codes[e] & 15) | codes[e + 16] << 4);
  } else {
    put_two_bits(codes, 0, code);
  }
  if constexpr (F::kHigh == 4) {
    for (int i = 0; i < 4; i++) {
      int byte = 0;
      for (int k = 0; k < 8; k++) byte |= (codes[8 * i + k] >> (F::kBits - 1) & 1) << k;
      to[places.high + group * 4 + i] = static_cast<uint8_t>(byte);
    }
  }
  if constexpr (F::kHigh == 8) put_two_bits(codes, 4, to + places.high + group * 8);
  if (j % F::kScaleGroups == 0) {
    put_scales(block, j, to + places.scales + group / F::kScaleGroups * F::kScale, to + places.supers + group / 8 * F::kSuper);
  }
}

// A thread copies 16 bytes of a row of floating point; what is behind its end becomes zero.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) pack_floats(PackArgs args) {
  const int64_t pieces = args.row_bytes / 16;
  const int64_t at = block_x() * kThreads + thread_index();
  if (at >= args.rows * pieces) return;
  const int64_t row = at / pieces, begin = at % pieces * 16;
  const uint8_t* from = args.from + row * args.file_row_bytes;
  uint8_t* to = args.to + row * args.row_bytes;
  for (int64_t i = begin; i < begin + 16; i++) to[i] = i < args.file_row_bytes ? from[i] : 0;
}

}  // namespace

BlockSize block_size(int32_t type) {
  BlockSize size{1, type == kF32 ? 4 : 2};
  if (!is_float(type)) {
    with_quantized(type, [&](auto t) {
      using Block = typename Format<decltype(t)::value>::Block;
      size = {Block::kColumns, static_cast<int64_t>(sizeof(Block))};
    });
  }
  return size;
}

int64_t row_bytes(int32_t type, int64_t columns) {
  int64_t bytes = times(columns, type == kF32 ? 4 : 2);
  if (!is_float(type)) {
    const int64_t groups = columns / kGroup;
    with_quantized(type, [&](auto t) {
      using F = Format<decltype(t)::value>;
      bytes = plus(times(groups, F::kCode + F::kHigh), groups / F::kScaleGroups * F::kScale + groups / 8 * F::kSuper);
    });
  }
  return plus(bytes, 15) / 16 * 16;
}

int64_t segment_bytes(int32_t type, int64_t rows, int64_t columns) {
  require(type >= 0, "unknown weight type");
  const BlockSize block = block_size(type);
  require(rows >= 1 && rows <= INT32_MAX && columns >= 1 && columns <= INT32_MAX, "a matrix has at least one row and one column");
  require(columns % block.columns == 0, "a row is not a whole number of blocks");
  return times(rows, row_bytes(type, columns));
}

void add_segment(Weight& weight, int32_t type, int64_t rows, const int32_t* order, Arena& arena) {
  const int64_t bytes = segment_bytes(type, rows, weight.columns);
  require(order == nullptr || !is_float(type), "only quantized weights have columns in another order");
  const BlockSize block = block_size(type);
  require(plus(weight.rows, rows) <= INT32_MAX, "a matrix has at most 2^31 - 1 rows");
  require(bytes <= arena.memory->bytes() - arena.used, "the arena has no room for the segment");
  Segment segment{type, weight.rows, rows, row_bytes(type, weight.columns), times(weight.columns / block.columns, block.bytes),
                  order_number(weight.orders, weight.columns, order), arena.memory->data() + arena.used};
  arena.used += bytes;
  weight.segments.push_back(segment);
  weight.rows += rows;
  if (weight.memory.empty() || weight.memory.back() != arena.memory) weight.memory.push_back(arena.memory);
  if (!weight.runs.empty()) {
    Segment& last = weight.runs.back();
    if (last.type == type && last.order == segment.order && last.data + last.rows * last.row_bytes == segment.data) {
      last.rows += rows;
      return;
    }
  }
  weight.runs.push_back(segment);
}

void pack_rows(const Weight& weight, int64_t index, int64_t first_row, int64_t rows, Staging& staging, int64_t bytes) {
  require(index >= 0 && index < static_cast<int64_t>(weight.segments.size()), "nothing to pack");
  const Segment& segment = weight.segments[static_cast<size_t>(index)];
  require(first_row >= 0 && rows >= 1 && rows <= segment.rows && first_row <= segment.rows - rows, "rows outside the segment");
  require(times(rows, segment.file_row_bytes) == bytes && bytes <= staging.host.bytes(), "the rows have another size");
  uint8_t* to = segment.data + first_row * segment.row_bytes;
  if (is_float(segment.type) && segment.row_bytes == segment.file_row_bytes) {
    // As in the file.
    staging.stream.copy_to_device(to, staging.host.data(), bytes);
    return;
  }
  if (staging.device.data() == nullptr) staging.device = DeviceMemory(staging.context, staging.host.bytes());
  staging.stream.copy_to_device(staging.device.data(), staging.host.data(), bytes);
  const PackArgs args{staging.device.data(), segment.file_row_bytes, to, segment.row_bytes, rows, weight.columns};
  const Stream& stream = staging.stream;
  if (is_float(segment.type)) {
    launch(stream, "pack_floats", pack_floats, divide_up(rows * (segment.row_bytes / 16), kThreads), 1, 1, kThreads, args);
  } else {
    with_quantized(segment.type, [&](auto t) {
      launch(stream, "pack_groups", pack_groups<decltype(t)::value>, divide_up(rows * (weight.columns / kGroup), kThreads), 1, 1, kThreads, args);
    });
  }
}

}  // namespace qw::cuda
