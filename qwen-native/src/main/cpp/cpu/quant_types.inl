// The quantized weight types: how codes and scales are read from a file block, and how both are kept in a panel.
// Each type has
//   Block              the file block
//   Storage, Scales    planes and scales of the panel
//   kMaxCode           largest code (or entry of the table) that the dot product meets; 255 stands for a full byte
//   kOffset            subtracted from the codes; types with a minimum have none
//   codes(), scales()  one block of one row -> one byte per element, scales of the block
//   kTable             or null: what the dot product multiplies is kTable[code]

namespace qw::QW_TARGET {
namespace {

// Eight bytes at a time in an integer: with byte loops over the small blocks packing Q4_0 ran at 0.8 GB/s, Q5_0 at 0.45.
static void split_nibbles(const uint8_t* qs, int count, uint8_t* low, uint8_t* high) {
  constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
  for (int i = 0; i < count; i += 8) {
    const uint64_t bytes = load_u64(qs + i);
    store_u64(low + i, bytes & kNibbles);
    store_u64(high + i, bytes >> 4 & kNibbles);
  }
}

// Bit e of qh becomes bit 4 of codes[e]: a byte of qh is repeated eight times, each copy masked to its own bit, and adding 127
// carries any set bit into bit 7.
static void add_fifth_bits(const uint8_t* qh, uint8_t* codes) {
  for (int i = 0; i < 4; i++) {
    const uint64_t own = qh[i] * 0x0101010101010101u & 0x8040201008040201u;
    const uint64_t carried = own + 0x7f7f7f7f7f7f7f7fu;
    store_u64(codes + 8 * i, load_u64(codes + 8 * i) | (carried >> 3 & 0x1010101010101010u));
  }
}

// The two low bits of Q2_K and Q3_K
static void split_pairs(const uint8_t* qs, uint8_t* codes) {
  for (int half = 0; half < 2; half++) {
    for (int r = 0; r < 4; r++) {
      for (int l = 0; l < 32; l++) codes[128 * half + 32 * r + l] = qs[32 * half + l] >> 2 * r & 3;
    }
  }
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
  static void codes(const Block& b, uint8_t* out) { split_nibbles(b.qs, 16, out, out + 16); }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct Q4_1 : NoTable {
  using Block = BlockQ4_1;
  using Storage = Planes<4, 0>;
  using Scales = HalfScalesMinimum;
  static constexpr int kMaxCode = 15, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) { split_nibbles(b.qs, 16, out, out + 16); }
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
    split_nibbles(b.qs, 16, out, out + 16);
    add_fifth_bits(b.qh, out);
  }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct Q5_1 : NoTable {
  using Block = BlockQ5_1;
  using Storage = Planes<4, 1>;
  using Scales = HalfScalesMinimum;
  static constexpr int kMaxCode = 31, kOffset = 0;
  static void codes(const Block& b, uint8_t* out) {
    split_nibbles(b.qs, 16, out, out + 16);
    add_fifth_bits(b.qh, out);
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
  static void codes(const Block& b, uint8_t* out) { split_pairs(b.qs, out); }
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
    split_pairs(b.qs, out);
    for (int r = 0; r < 8; r++) {
      for (int l = 0; l < 32; l++) out[32 * r + l] = static_cast<uint8_t>(out[32 * r + l] | (b.hmask[l] >> r & 1) << 2);
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
    for (int i = 0; i < 4; i++) split_nibbles(b.qs + 32 * i, 32, out + 64 * i, out + 64 * i + 32);
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
    for (int i = 0; i < 4; i++) split_nibbles(b.qs + 32 * i, 32, out + 64 * i, out + 64 * i + 32);
    for (int j = 0; j < 8; j++) {
      for (int l = 0; l < 32; l++) out[32 * j + l] = static_cast<uint8_t>(out[32 * j + l] | (b.qh[l] >> j & 1) << 4);
    }
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
    for (int n = 0; n < 2; n++) {
      split_nibbles(b.ql + 64 * n, 64, out + 128 * n, out + 128 * n + 64);
      for (int r = 0; r < 4; r++) {
        uint8_t* part = out + 128 * n + 32 * r;
        for (int l = 0; l < 32; l++) part[l] = static_cast<uint8_t>(part[l] | (b.qh[32 * n + l] >> 2 * r & 3) << 4);
      }
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
  static void codes(const Block& b, uint8_t* out) { split_nibbles(b.qs, 16, out, out + 16); }
  static void scales(const Block& b, RowScales& out) { out.d = b.d; }
};

struct IQ4_XS : Iq4Table {
  using Block = BlockIQ4_XS;
  using Storage = Planes<4, 0>;
  using Scales = ByteScales<1>;
  static constexpr int kMaxCode = 255, kOffset = kByteOffset;
  static void codes(const Block& b, uint8_t* out) {
    for (int i = 0; i < 8; i++) split_nibbles(b.qs + 16 * i, 16, out + 32 * i, out + 32 * i + 16);
  }
  static void scales(const Block& b, RowScales& out) {
    out.d = b.d;
    const int high = b.scales_h[0] | b.scales_h[1] << 8;
    for (int i = 0; i < 8; i++) {
      out.scale[i] = static_cast<uint8_t>(((b.scales_l[i / 2] >> 4 * (i % 2) & 15) | (high >> 2 * i & 3) << 4) - 32);
    }
  }
};

}  // namespace
}  // namespace qw::QW_TARGET
