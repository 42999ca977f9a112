// The quantized blocks of GGUF files, byte for byte, and those that GPTQ and AWQ checkpoints are read as. Every member is made of
// bytes, so a block has alignment 1 and may lie anywhere in a file. e is the index of an element in its block; d, m and dmin are IEEE
// halves, subnormal ones included.
#pragma once

#include <cstdint>

namespace qw {

struct Half {
  uint8_t bytes[2];
};

static inline uint16_t half_bits(const Half& h) { return static_cast<uint16_t>(h.bytes[0] | h.bytes[1] << 8); }

// Q4_0, 4.5 bits a weight: value = d * (q - 8). qs[e] holds element e in its low and element e + 16 in its high nibble.
struct BlockQ4_0 {
  static constexpr int kColumns = 32;
  Half d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18, "Q4_0");

// Q4_1, 5 bits: value = d * q + m, nibbles as in Q4_0. The minimum m is stored with its sign.
struct BlockQ4_1 {
  static constexpr int kColumns = 32;
  Half d, m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20, "Q4_1");

// Q5_0, 5.5 bits: value = d * (q - 16); bit e of the little-endian word qh is the fifth bit of element e. A Q4_K file falls
// back to it where the row length is no multiple of 256 (all but ffn_down of the 0.5B model).
struct BlockQ5_0 {
  static constexpr int kColumns = 32;
  Half d;
  uint8_t qh[4], qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22, "Q5_0");

// Q5_1, 6 bits: value = d * q + m, bits as in Q5_0.
struct BlockQ5_1 {
  static constexpr int kColumns = 32;
  Half d, m;
  uint8_t qh[4], qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24, "Q5_1");

// Q8_0, 8.5 bits: value = d * q. Quantizers write -127 .. 127, a file may hold -128.
struct BlockQ8_0 {
  static constexpr int kColumns = 32;
  Half d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34, "Q8_0");

// Q2_K, 2.625 bits: value = d * (s & 15) * q - dmin * (s >> 4) with s = scales[e / 16]. Element e has the bits 2 * (e % 128 / 32)
// and up of qs[32 * (e / 128) + e % 32].
struct BlockQ2_K {
  static constexpr int kColumns = 256;
  uint8_t scales[16], qs[64];
  Half d, dmin;
};
static_assert(sizeof(BlockQ2_K) == 84, "Q2_K");

// Q3_K, 3.4375 bits: value = d * S * (q - 4). The two low bits of q lie as in Q2_K, the third is bit e / 32 of hmask[e % 32].
// The 16 scales S = s - 32 have 6 bits: four low ones in the nibbles of scales[0 .. 7], two high ones in scales[8 .. 11].
struct BlockQ3_K {
  static constexpr int kColumns = 256;
  uint8_t hmask[32], qs[64], scales[12];
  Half d;
};
static_assert(sizeof(BlockQ3_K) == 110, "Q3_K");

// Q4_K, 4.5 bits: value = d * sc * q - dmin * mn, with 6-bit sc and mn for each 32 elements packed into 12 bytes (see
// scale_min_6). qs[32 * (e / 64) + e % 32] holds even groups of 32 in low and odd ones in high nibbles.
struct BlockQ4_K {
  static constexpr int kColumns = 256;
  Half d, dmin;
  uint8_t scales[12], qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144, "Q4_K");

// Q5_K, 5.5 bits: as Q4_K; bit e / 32 of qh[e % 32] is the fifth bit of element e.
struct BlockQ5_K {
  static constexpr int kColumns = 256;
  Half d, dmin;
  uint8_t scales[12], qh[32], qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176, "Q5_K");

// Q6_K, 6.5625 bits: value = d * scales[e / 16] * (q - 32). With n = e / 128, r = e % 128 / 32, l = e % 32: the low four bits
// of q are nibble r / 2 of ql[64 n + 32 (r & 1) + l], the high two are the bits 2 r and up of qh[32 n + l].
struct BlockQ6_K {
  static constexpr int kColumns = 256;
  uint8_t ql[128], qh[64];
  int8_t scales[16];
  Half d;
};
static_assert(sizeof(BlockQ6_K) == 210, "Q6_K");

// IQ4_NL, 4.5 bits: value = d * kIq4Values[q], nibbles as in Q4_0.
struct BlockIQ4_NL {
  static constexpr int kColumns = 32;
  Half d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18, "IQ4_NL");

// IQ4_XS, 4.25 bits: value = d * (s - 32) * kIq4Values[q]. The 6-bit s of group b = e / 32 has its low nibble in
// scales_l[b / 2] and two high bits in the little-endian word scales_h; each group of 32 has 16 bytes of nibbles as in Q4_0.
struct BlockIQ4_XS {
  static constexpr int kColumns = 256;
  Half d;
  uint8_t scales_h[2], scales_l[4], qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136, "IQ4_XS");

// INT4_G32 and INT4_G128, 4.75 and 4.19 bits: value = d * (q - z), nibbles as in Q4_0 for each 32 elements. Not of GGUF: what a GPTQ or AWQ
// checkpoint has, row by row.
template <int kSize>
struct BlockInt4 {
  static constexpr int kColumns = kSize;
  Half d;
  uint8_t z, qs[kSize / 2];
};
static_assert(sizeof(BlockInt4<32>) == 19 && sizeof(BlockInt4<128>) == 67, "INT4");

// INT8_G32 and INT8_G128, 8.75 and 8.19 bits: value = d * (q - z).
template <int kSize>
struct BlockInt8 {
  static constexpr int kColumns = kSize;
  Half d;
  uint8_t z, qs[kSize];
};
static_assert(sizeof(BlockInt8<32>) == 35 && sizeof(BlockInt8<128>) == 131, "INT8");

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

}  // namespace qw
