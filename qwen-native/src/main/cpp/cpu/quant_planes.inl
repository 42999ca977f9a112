// How the codes of 32 columns x 16 rows ("group") are kept in a packed panel. A group is 8 vectors of 64 bytes, vector j holding
// the columns 4 j .. 4 j + 3 of all rows: byte 4 * row + column % 4, as vpdpbusd wants it. Codes narrower than a byte are cut into
// planes: kLow low bits of every code first, then kHigh high bits, each plane with 64 * bits bytes, so nothing is padded.

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

  // codes: the 8 vectors of one group, a byte per code
  static void store(const uint8_t* codes, uint8_t* group) {
    memset(group, 0, kGroupBytes);
    for (int j = 0; j < kGroupVectors; j++) {
      uint8_t* low = group + kVectorBytes * index(j, kLow);
      for (int i = 0; i < kVectorBytes; i++) {
        low[i] = static_cast<uint8_t>(low[i] | (codes[kVectorBytes * j + i] & ((1 << kLow) - 1)) << shift(j, kLow));
      }
      if constexpr (kHigh > 0) {
        uint8_t* high = group + kHighAt + kVectorBytes * index(j, kHigh);
        for (int i = 0; i < kVectorBytes; i++) {
          high[i] = static_cast<uint8_t>(high[i] | (codes[kVectorBytes * j + i] >> kLow) << shift(j, kHigh));
        }
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
