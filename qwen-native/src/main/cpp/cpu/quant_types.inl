// The quantized weight types: how codes and scales are read from a file block, and how both are kept in a panel.
// Each type has
//   Block              the file block
//   Storage, Scales    planes and scales of the panel
//   kMaxCode           largest code (or entry of the table) that the dot product meets; 255 stands for a full byte
//   kOffset            subtracted from the codes; types with a minimum have none
//   codes(), scales()  one block of one row -> its codes group by group as the planes of a row keep them; scales of the block
//                      (a zero point is in minimum[0])
//   kTable             or null: what the dot product multiplies is kTable[code]

namespace qw::QW_TARGET {
namespace {

// Eight bytes at a time in an integer, and straight into the order of the planes: by way of a byte for each code Q4_0 packed at 2.9 GB/s a
// thread instead of 7, Q4_K at 1.7 instead of 3.7.
constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;

static void split_nibbles(const uint8_t* qs, int count, uint8_t* low, uint8_t* high) {
  for (int i = 0; i < count; i += 8) {
    const uint64_t bytes = load_u64(qs + i);
    store_u64(low + i, bytes & kNibbles);
    store_u64(high + i, bytes >> 4 & kNibbles);
  }
}

// The low and the high nibbles of 32 bytes are the columns of two groups: each group gets its columns i and i + 16 in one byte.
static void pair_nibbles(const uint8_t* qs, uint8_t* low, uint8_t* high) {
  for (int i = 0; i < 16; i += 8) {
    const uint64_t left = load_u64(qs + i), right = load_u64(qs + 16 + i);
    store_u64(low + i, (left & kNibbles) | (right & kNibbles) << 4);
    store_u64(high + i, (left >> 4 & kNibbles) | (right & ~kNibbles));
  }
}

// A plane of two bits: the bits `shift` and up of 32 bytes, one for each column.
static void pair_plane(const uint8_t* bytes, int shift, uint8_t* out) {
  uint64_t plane = 0;
  for (int i = 0; i < 4; i++) plane |= (load_u64(bytes + 8 * i) >> shift & 0x0303030303030303) << 2 * i;
  store_u64(out, plane);
}

// A plane of one bit: bit `shift` of 32 bytes, one for each column.
static void bit_plane(const uint8_t* bytes, int shift, uint8_t* out) {
  uint64_t halves = 0;
  for (int i = 0; i < 4; i++) halves |= (load_u64(bytes + 8 * i) >> shift & 0x0101010101010101) << 2 * i;
  store_u32(out, static_cast<uint32_t>(halves | halves >> 31));
}

// A plane of one bit from 32 bits in a row: bit 4 j + c becomes bit j of byte c. Each 64-bit integer has two c, and every step joins
// neighbours.
static void bit_plane(const uint8_t* qh, uint8_t* out) {
  const uint32_t bits = load_u32(qh);
  uint32_t plane = 0;
  for (int c = 0; c < 4; c += 2) {
    uint64_t x = (bits >> c & 0x11111111) | static_cast<uint64_t>(bits >> (c + 1) & 0x11111111) << 32;
    x = (x | x >> 3) & 0x0303030303030303;
    x = (x | x >> 6) & 0x000f000f000f000f;
    x = (x | x >> 12) & 0x000000ff000000ff;
    plane |= static_cast<uint32_t>((x | x >> 24) & 0xffff) << 8 * c;
  }
  store_u32(out, plane);
}

// The eight pairs of 6-bit scales and minima of Q4_K and Q5_K: the first four whole in the low six bits of k[0 .. 7], the last
// four with their low nibbles in k[8 .. 11] and their high bits in the top bits of k[0 .. 7].
static void scale_min_6(const uint8_t* k, RowScales& out) {
  for (int j = 0; j < 4; j++) {
    out.scale[j] = k[j] & 63;
    out.minimum[j] = k[j + 4] & 63;
    out.scale[j + 4] = static_cast<uint8_t>((k[j + 8] & 15) | k[j] >> 6 << 4);
    out.minimum[j + 4] = static_cast<uint8_t>(k[j + 8] >> 4 | k[j + 4] >> 6 << 4);
  }
}

struct NoTable {
  static constexpr const uint8_t* kTable = nullptr;
};

// kIq4Values + kByteOffset
struct Iq4Bytes {
  uint8_t v[16];
  constexpr Iq4Bytes() : v() {
    for (int i = 0; i < 16; i++) v[i] = static_cast<uint8_t>(kIq4Values[i] + kByteOffset);
  }
};
static constexpr Iq4Bytes kIq4Bytes;

struct Iq4Table {
  static constexpr const uint8_t* kTable = kIq4Bytes.v;
};

struct Q4_0 : NoTable {
  using Block = BlockQ4_0;
  using Storage = Planes<4, 0>;
  using Scales = HalfScales;
  static constexpr int kMaxCode = 15, kOffset = 8;
  static void codes(const Block& b, uint8_t* out) { memcpy(out, b.qs, 16); }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct Q4_1 : NoTable {
  using Block = BlockQ4_1;
  using Storage = Planes<4, 0>;
  using Scales = HalfScalesMinimum;
  static constexpr int kMaxCode = 15, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) { memcpy(out, b.qs, 16); }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.dmin = b.m;
  }
};

struct Q5_0 : NoTable {
  using Block = BlockQ5_0;
  using Storage = Planes<4, 1>;
  using Scales = HalfScales;
  static constexpr int kMaxCode = 31, kOffset = 16;
  static void codes(const Block& b, uint8_t* out) {
    memcpy(out, b.qs, 16);
    bit_plane(b.qh, out + 16);
  }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct Q5_1 : NoTable {
  using Block = BlockQ5_1;
  using Storage = Planes<4, 1>;
  using Scales = HalfScalesMinimum;
  static constexpr int kMaxCode = 31, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    memcpy(out, b.qs, 16);
    bit_plane(b.qh, out + 16);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.dmin = b.m;
  }
};

struct Q8_0 : NoTable {
  using Block = BlockQ8_0;
  using Storage = Planes<8, 0>;
  using Scales = HalfScales;
  static constexpr int kMaxCode = 255, kOffset = kByteOffset;
  static void codes(const Block& b, uint8_t* out) {
    for (int e = 0; e < 32; e++) out[e] = static_cast<uint8_t>(b.qs[e] + kByteOffset);
  }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct Q2_K : NoTable {
  using Block = BlockQ2_K;
  using Storage = Planes<2, 0>;
  using Scales = NibbleScalesMinimum;
  static constexpr int kMaxCode = 3, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    for (int g = 0; g < 8; g++) pair_plane(b.qs + 32 * (g / 4), 2 * (g % 4), out + Storage::kRowBytes * g);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.dmin = b.dmin;
    split_nibbles(b.scales, 16, out.scale, out.minimum);
  }
};

struct Q3_K : NoTable {
  using Block = BlockQ3_K;
  using Storage = Planes<2, 1>;
  using Scales = ByteScales<2>;
  static constexpr int kMaxCode = 7, kOffset = 4;
  static void codes(const Block& b, uint8_t* out) {
    for (int g = 0; g < 8; g++, out += Storage::kRowBytes) {
      pair_plane(b.qs + 32 * (g / 4), 2 * (g % 4), out);
      bit_plane(b.hmask, g, out + 8);
    }
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    for (int g = 0; g < 16; g++) {
      const int low = b.scales[g % 8] >> 4 * (g / 8) & 15, high = b.scales[8 + g % 4] >> 2 * (g / 4) & 3;
      out.scale[g] = static_cast<uint8_t>((low | high << 4) - 32);
    }
  }
};

struct Q4_K : NoTable {
  using Block = BlockQ4_K;
  using Storage = Planes<4, 0>;
  using Scales = ByteScalesMinimum;
  static constexpr int kMaxCode = 15, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    for (int i = 0; i < 4; i++) pair_nibbles(b.qs + 32 * i, out + 32 * i, out + 32 * i + 16);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.dmin = b.dmin;
    scale_min_6(b.scales, out);
  }
};

struct Q5_K : NoTable {
  using Block = BlockQ5_K;
  using Storage = Planes<4, 1>;
  using Scales = ByteScalesMinimum;
  static constexpr int kMaxCode = 31, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    constexpr int kRow = Storage::kRowBytes;
    for (int i = 0; i < 4; i++) pair_nibbles(b.qs + 32 * i, out + 2 * i * kRow, out + (2 * i + 1) * kRow);
    for (int g = 0; g < 8; g++) bit_plane(b.qh, g, out + g * kRow + 16);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.dmin = b.dmin;
    scale_min_6(b.scales, out);
  }
};

struct Q6_K : NoTable {
  using Block = BlockQ6_K;
  using Storage = Planes<4, 2>;
  using Scales = ByteScales<2>;
  static constexpr int kMaxCode = 63, kOffset = 32;
  static void codes(const Block& b, uint8_t* out) {
    constexpr int kRow = Storage::kRowBytes;
    for (int n = 0; n < 2; n++, out += 4 * kRow) {
      pair_nibbles(b.ql + 64 * n, out, out + 2 * kRow);
      pair_nibbles(b.ql + 64 * n + 32, out + kRow, out + 3 * kRow);
      for (int r = 0; r < 4; r++) pair_plane(b.qh + 32 * n, 2 * r, out + r * kRow + 16);
    }
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    memcpy(out.scale, b.scales, 16);
  }
};

struct IQ4_NL : Iq4Table {
  using Block = BlockIQ4_NL;
  using Storage = Planes<4, 0>;
  using Scales = HalfScales;
  static constexpr int kMaxCode = 255, kOffset = kByteOffset;
  static void codes(const Block& b, uint8_t* out) { memcpy(out, b.qs, 16); }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct IQ4_XS : Iq4Table {
  using Block = BlockIQ4_XS;
  using Storage = Planes<4, 0>;
  using Scales = ByteScales<1>;
  static constexpr int kMaxCode = 255, kOffset = kByteOffset;
  static void codes(const Block& b, uint8_t* out) { memcpy(out, b.qs, 128); }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    const int high = b.scales_h[0] | b.scales_h[1] << 8;
    for (int i = 0; i < 8; i++) {
      out.scale[i] = static_cast<uint8_t>(((b.scales_l[i / 2] >> 4 * (i % 2) & 15) | (high >> 2 * i & 3) << 4) - 32);
    }
  }
};

template <int kSize>
struct Int4 : NoTable {
  using Block = BlockInt4<kSize>;
  using Storage = Planes<4, 0>;
  using Scales = ZeroScales<kSize, false>;
  static constexpr int kMaxCode = 15, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) { memcpy(out, b.qs, sizeof b.qs); }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.minimum[0] = b.z;
  }
};

template <int kSize>
struct Int8 : NoTable {
  using Block = BlockInt8<kSize>;
  using Storage = Planes<8, 0>;
  using Scales = ZeroScales<kSize, kByteOffset == 0>;
  static constexpr int kMaxCode = 255, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    for (int e = 0; e < kSize; e++) out[e] = static_cast<uint8_t>(b.qs[e] - 128 + kByteOffset);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    out.minimum[0] = b.z;
  }
};

}  // namespace
}  // namespace qw::QW_TARGET
