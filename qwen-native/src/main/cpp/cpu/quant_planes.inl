// How the codes of 32 columns x 16 rows ("group") are kept in a packed panel. A group is 8 vectors of 64 bytes, vector j holding
// the columns 4 j .. 4 j + 3 of all rows: byte 4 * row + column % 4, as vpdpbusd wants it. Codes narrower than a byte are cut into
// planes: kLow low bits of every code first, then kHigh high bits, each plane with 64 * bits bytes, so nothing is padded.

#include "cpu/transpose.h"

namespace qw::QW_TARGET {
namespace {

constexpr int kGroupColumns = 32;
constexpr int kGroupVectors = 8;
constexpr int kVectorBytes = 64;
constexpr int kGroupCodes = kGroupVectors * kVectorBytes;

template <int kLow, int kHigh>
struct Planes {
  static_assert((kLow == 2 || kLow == 4 || kLow == 8) && (kHigh == 0 || kHigh == 1 || kHigh == 2), "planes");
  static constexpr int kGroupBytes = kVectorBytes * (kLow + kHigh);
  static constexpr int kHighAt = kVectorBytes * kLow;
  // The same bits of one row before 16 of them are put side by side: kLow words of 4 bytes, then kHigh ones. Byte c of word v of the
  // low ones holds the columns 4 j + c of all vectors j with index(j) = v, each shift(j) bits up; so with the high ones.
  static constexpr int kRowWords = kLow + kHigh;
  static constexpr int kRowBytes = 4 * kRowWords;

  // Where vector j finds its bits: in vector index() of the plane, shift() bits up.
  static constexpr int index(int j, int bits) { return j % bits; }
  static constexpr int shift(int j, int bits) { return j / bits * bits; }

  template <int j>
  static QW_INLINE U8x64 codes(const uint8_t* group) {
    const U8x64 plane = load_bytes(group + kVectorBytes * index(j, kLow));
    if constexpr (kLow == 8) {
      return plane;
    } else {
      const U8x64 low = bits<-shift(j, kLow), (1 << kLow) - 1>(plane);
      if constexpr (kHigh == 0) {
        return low;
      } else {
        const U8x64 high = load_bytes(group + kHighAt + kVectorBytes * index(j, kHigh));
        return or_bits<kLow - shift(j, kHigh), ((1 << kHigh) - 1) << kLow>(low, high);
      }
    }
  }

  // The codes of 16 rows, `stride` bytes from one to the next: word v of row r becomes word r of vector v.
  static void store(const uint8_t* rows, int64_t stride, uint8_t* group) {
    for (int64_t r = 0; r < kPanelRows; r += 4) {
      const uint8_t* from = rows + r * stride;
      uint8_t* to = group + 4 * r;
      int v = 0;
      for (; v + 4 <= kRowWords; v += 4) transpose_4x4(from + 4 * v, stride, to + kVectorBytes * v, kVectorBytes);
      for (; v < kRowWords; v++) {
        for (int i = 0; i < 4; i++) memcpy(to + kVectorBytes * v + 4 * i, from + i * stride + 4 * v, 4);
      }
    }
  }

  // One code: column of the group, row of the panel
  static int code(const uint8_t* group, int column, int row) {
    const int j = column / 4, at = 4 * row + column % 4;
    int code = group[kVectorBytes * index(j, kLow) + at] >> shift(j, kLow) & ((1 << kLow) - 1);
    if constexpr (kHigh > 0) {
      code |= (group[kHighAt + kVectorBytes * index(j, kHigh) + at] >> shift(j, kHigh) & ((1 << kHigh) - 1)) << kLow;
    }
    return code;
  }
};

}  // namespace
}  // namespace qw::QW_TARGET
