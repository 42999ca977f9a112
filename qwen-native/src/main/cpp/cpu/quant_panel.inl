// Packing rows of the file into panels, and reading a row back.

namespace qw::QW_TARGET {
namespace {

// Geometry of the panel of a type: superblocks of kGroups groups, the last one possibly not full (its room is there).
template <class Type>
struct Panel {
  using Scales = typename Type::Scales;
  using Storage = typename Type::Storage;
  static constexpr int kGroups = Scales::kGroups;
  static constexpr int kHeadBytes = Scales::kHeadBytes;
  static constexpr int64_t kBytes = kHeadBytes + int64_t{kGroups} * Storage::kGroupBytes;
  static_assert(kBytes % 64 == 0 && kHeadBytes % 64 == 0, "vectors of codes are aligned");

  static int64_t bytes(int64_t columns) {
    const int64_t groups = columns / kGroupColumns;
    return (groups + kGroups - 1) / kGroups * kBytes;
  }
  static QW_INLINE const uint8_t* head(const uint8_t* panel, int64_t group) { return panel + group / kGroups * kBytes; }
  static QW_INLINE const uint8_t* codes(const uint8_t* head, int group_in_head) {
    return head + kHeadBytes + group_in_head * Storage::kGroupBytes;
  }
  template <int j>
  static QW_INLINE U8x64 weights(const uint8_t* codes) {
    const U8x64 v = Storage::template codes<j>(codes);
    if constexpr (Type::kTable != nullptr) {
      return lookup16(v, Type::kTable);
    } else {
      return v;
    }
  }
};

// Superblock by superblock: row by row the bits of the codes are put in the order of the planes (4 KiB at most), then the rows side by side.
template <class Type>
static void pack(const uint8_t* rows, int64_t count, int64_t columns, uint8_t* panel) {
  using P = Panel<Type>;
  using Block = typename Type::Block;
  using Storage = typename P::Storage;
  constexpr int kBlockGroups = Block::kColumns / kGroupColumns;
  constexpr int kBlocks = P::kGroups / kBlockGroups;
  const int64_t blocks = columns / Block::kColumns;
  uint8_t ordered[kPanelRows][P::kGroups * Storage::kRowBytes];
  if (count < kPanelRows) memset(ordered, 0, sizeof ordered);
  for (int64_t first = 0; first < blocks; first += kBlocks, panel += P::kBytes) {
    const int present = static_cast<int>(min_of(kBlocks, blocks - first));
    memset(panel, 0, P::kHeadBytes);
    for (int64_t row = 0; row < count; row++) {
      const uint8_t* at = rows + (row * blocks + first) * static_cast<int64_t>(sizeof(Block));
      for (int b = 0; b < present; b++) {
        const Block& block = reinterpret_cast<const Block*>(at)[b];
        RowScales scales;
        Type::scales(block, scales);
        P::Scales::put(scales, b, static_cast<int>(row), panel);
        Type::codes(block, ordered[row] + b * kBlockGroups * Storage::kRowBytes);
      }
    }
    uint8_t* to = panel + P::kHeadBytes;
    for (int g = 0; g < present * kBlockGroups; g++, to += Storage::kGroupBytes) {
      Storage::store(ordered[0] + g * Storage::kRowBytes, sizeof ordered[0], to);
    }
    memset(to, 0, static_cast<size_t>(panel + P::kBytes - to));
  }
}

template <class Type>
static void decode_row(const uint8_t* panel, int64_t columns, int64_t row_in_panel, float* out) {
  using P = Panel<Type>;
  const int row = static_cast<int>(row_in_panel);
  for (int64_t group = 0; group < columns / kGroupColumns; group++, out += kGroupColumns) {
    const uint8_t* head = P::head(panel, group);
    const int g = static_cast<int>(group % P::kGroups);
    const uint8_t* codes = P::codes(head, g);
    for (int span = 0; span < P::Scales::kSpans; span++) {
      const float scale = P::Scales::scale(head, g, span, row);
      const float minimum = P::Scales::minimum(head, g, span, row);
      constexpr int kColumns = kGroupColumns / P::Scales::kSpans;
      for (int c = span * kColumns; c < (span + 1) * kColumns; c++) {
        int code = P::Storage::code(codes, c, row);
        if constexpr (Type::kTable != nullptr) {
          code = kIq4Values[code];
        } else if constexpr (Type::kMaxCode == 255 && kByteOffset == 0) {
          code = static_cast<int8_t>(code);
        } else {
          code -= Type::kOffset;
        }
        if constexpr (P::Scales::kZero) {
          out[c] = scale * (static_cast<float>(code) + minimum);
        } else {
          const float product = scale * static_cast<float>(code);
          out[c] = P::Scales::kMinimum ? product + minimum : product;
        }
      }
    }
  }
}

}  // namespace
}  // namespace qw::QW_TARGET
