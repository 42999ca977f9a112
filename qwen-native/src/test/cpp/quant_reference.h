// The plain definition of every quantized block, element by element, and random blocks to try it on.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/kernels.h"

namespace qw::test {

struct BlockType {
  WeightType type;
  const char* name;
  int columns, bytes;
  std::vector<int> halves;  // where its half scales are
};

inline const std::vector<BlockType>& block_types() {
  static const std::vector<BlockType> types = {
      {kQ4_0, "Q4_0", 32, 18, {0}},       {kQ4_1, "Q4_1", 32, 20, {0, 2}},    {kQ5_0, "Q5_0", 32, 22, {0}},
      {kQ5_1, "Q5_1", 32, 24, {0, 2}},    {kQ8_0, "Q8_0", 32, 34, {0}},       {kQ2_K, "Q2_K", 256, 84, {80, 82}},
      {kQ3_K, "Q3_K", 256, 110, {108}},   {kQ4_K, "Q4_K", 256, 144, {0, 2}},  {kQ5_K, "Q5_K", 256, 176, {0, 2}},
      {kQ6_K, "Q6_K", 256, 210, {208}},   {kIQ4_NL, "IQ4_NL", 32, 18, {0}},   {kIQ4_XS, "IQ4_XS", 256, 136, {0}},
      {kINT4_G32, "INT4_G32", 32, 19, {0}}, {kINT4_G128, "INT4_G128", 128, 67, {0}}, {kINT8_G32, "INT8_G32", 32, 35, {0}},
      {kINT8_G128, "INT8_G128", 128, 131, {0}}};
  return types;
}

inline float half_to_float(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                          : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

inline float half_at(const uint8_t* b, int at) { return half_to_float(static_cast<uint16_t>(b[at] | b[at + 1] << 8)); }

// Element e of a block, from the table of the format (offsets in bytes, not the structs the kernels use).
inline float element(WeightType type, const uint8_t* b, int e) {
  static const int iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  auto nibble32 = [e](const uint8_t* qs) { return e % 32 < 16 ? qs[e % 16] & 15 : qs[e % 16] >> 4; };
  auto fifth = [e](const uint8_t* qh) { return (qh[e / 8] >> e % 8 & 1) << 4; };
  auto pair = [e](const uint8_t* qs) { return qs[32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3; };
  switch (type) {
    case kQ4_0: return half_at(b, 0) * static_cast<float>(nibble32(b + 2) - 8);
    case kQ4_1: return half_at(b, 0) * static_cast<float>(nibble32(b + 4)) + half_at(b, 2);
    case kQ5_0: return half_at(b, 0) * static_cast<float>((nibble32(b + 6) | fifth(b + 2)) - 16);
    case kQ5_1: return half_at(b, 0) * static_cast<float>(nibble32(b + 8) | fifth(b + 4)) + half_at(b, 2);
    case kQ8_0: return half_at(b, 0) * static_cast<float>(static_cast<int8_t>(b[2 + e]));
    case kIQ4_NL: return half_at(b, 0) * static_cast<float>(iq4[nibble32(b + 2)]);
    case kIQ4_XS: {
      const int g = e / 32, high = b[2] | b[3] << 8;
      const int scale = ((b[4 + g / 2] >> 4 * (g % 2)) & 15) | ((high >> 2 * g & 3) << 4);
      return half_at(b, 0) * static_cast<float>(scale - 32) * static_cast<float>(iq4[nibble32(b + 8 + 16 * g)]);
    }
    case kQ2_K: {
      const int s = b[e / 16];
      return half_at(b, 80) * static_cast<float>(s & 15) * static_cast<float>(pair(b + 16)) - half_at(b, 82) * static_cast<float>(s >> 4);
    }
    case kQ3_K: {
      const int g = e / 16;
      const uint8_t* k = b + 96;
      const int scale = ((k[g % 8] >> 4 * (g / 8)) & 15) | ((k[8 + g % 4] >> 2 * (g / 4) & 3) << 4);
      const int q = pair(b + 32) - (b[e % 32] >> e / 32 & 1 ? 0 : 4);
      return half_at(b, 108) * static_cast<float>(scale - 32) * static_cast<float>(q);
    }
    case kQ4_K:
    case kQ5_K: {
      const int j = e / 32;
      const uint8_t* k = b + 4;
      const int scale = j < 4 ? k[j] & 63 : (k[j + 4] & 15) | (k[j - 4] >> 6) << 4;
      const int minimum = j < 4 ? k[j + 4] & 63 : k[j + 4] >> 4 | (k[j] >> 6) << 4;
      const uint8_t part = b[(type == kQ4_K ? 16 : 48) + 32 * (e / 64) + e % 32];
      const int q = (j % 2 ? part >> 4 : part & 15) + (type == kQ5_K ? (b[16 + e % 32] >> j & 1) * 16 : 0);
      return half_at(b, 0) * static_cast<float>(scale) * static_cast<float>(q) - half_at(b, 2) * static_cast<float>(minimum);
    }
    case kQ6_K: {
      const int n = e / 128, r = e % 128 / 32, l = e % 32;
      const int low = b[64 * n + 32 * (r & 1) + l] >> 4 * (r >> 1) & 15, high = b[128 + 32 * n + l] >> 2 * r & 3;
      return half_at(b, 208) * static_cast<float>(static_cast<int8_t>(b[192 + e / 16])) * static_cast<float>((low | high << 4) - 32);
    }
    case kINT4_G32:
    case kINT4_G128: return half_at(b, 0) * static_cast<float>(nibble32(b + 3 + e / 32 * 16) - b[2]);
    case kINT8_G32:
    case kINT8_G128: return half_at(b, 0) * static_cast<float>(b[3 + e] - b[2]);
    default: return NAN;
  }
}

enum class Fill { kRandom, kZero, kOnes, kNegative, kSubnormal, kMixed };
constexpr Fill kFills[] = {Fill::kRandom, Fill::kZero, Fill::kOnes, Fill::kNegative, Fill::kSubnormal, Fill::kMixed};

// Random bits of codes and scales; finite halves. kOnes: all bits of the codes set, the largest codes there are.
inline void fill_block(const BlockType& type, Fill fill, std::mt19937& random, uint8_t* block) {
  if (fill == Fill::kMixed) fill = kFills[random() % 5];
  for (int i = 0; i < type.bytes; i++) {
    block[i] = fill == Fill::kZero ? 0 : fill == Fill::kOnes ? 255 : static_cast<uint8_t>(random());
  }
  for (int at : type.halves) {
    uint16_t h = static_cast<uint16_t>(0x2000 + random() % 0x0800);  // 2^-7 .. 2^-5
    if (fill == Fill::kRandom) h = static_cast<uint16_t>(h | (random() & 1) << 15);
    if (fill == Fill::kNegative) h |= 0x8000;
    if (fill == Fill::kSubnormal) h = static_cast<uint16_t>(random() % 0x0400 | (random() & 1) << 15);
    if (fill == Fill::kZero) h = 0;
    block[at] = static_cast<uint8_t>(h);
    block[at + 1] = static_cast<uint8_t>(h >> 8);
  }
}

}  // namespace qw::test
