// How the scales of 16 rows are kept in a packed panel. A panel is a chain of superblocks of kGroups groups of 32 columns, each
// a head with the scales of its groups, followed by their codes; heads are multiples of 64 bytes, so every vector of codes is
// aligned. The value of a code is scale * (code - offset) + minimum, scale and minimum being products d * s that are exact in
// float (11 bits of a half times at most 8), so nothing is lost against the file. Where kZero is set it is scale * (code + minimum).

namespace qw::QW_TARGET {
namespace {

// The scales of one file block of one row. scale and minimum count the spans of the block (16 or 32 columns) one by one.
struct RowScales {
  Half d{}, dmin{};
  uint8_t scale[16]{}, minimum[16]{};
};

// What the kernels read of a head.
struct HeadScales { F32x16 d, dmin; };
struct SpanScales { F32x16 scale, minimum; };

static float half_value(const uint8_t* p) {
  const uint32_t h = static_cast<uint32_t>(p[0] | p[1] << 8), magnitude = h & 0x7fff;
  float value;
  if (magnitude < 0x0400) {
    value = static_cast<float>(magnitude) * (1.0f / (1 << 24));
  } else {
    const uint32_t bits = (magnitude << 13) + (magnitude > 0x7bff ? 224u << 23 : 112u << 23);
    memcpy(&value, &bits, 4);
  }
  return h & 0x8000 ? -value : value;
}

static void put_half(const Half& h, uint8_t* p) { memcpy(p, h.bytes, 2); }

// One half for 32 columns: two groups share a head of 64 bytes.
struct HalfScales {
  static constexpr int kGroups = 2, kHeadBytes = 64, kSpans = 1;
  static constexpr bool kMinimum = false, kZero = false;

  static void put(const RowScales& s, int block, int row, uint8_t* head) { put_half(s.d, head + 32 * block + 2 * row); }
  static QW_INLINE void head(const uint8_t*, HeadScales&) {}
  static QW_INLINE void span(const uint8_t* head, const HeadScales&, int group, int, SpanScales& s) {
    s.scale = load_half(head + 32 * group);
  }
  static float scale(const uint8_t* head, int group, int, int row) { return half_value(head + 32 * group + 2 * row); }
  static float minimum(const uint8_t*, int, int, int) { return 0.0f; }
};

// A scale and a minimum, both halves, for 32 columns.
struct HalfScalesMinimum {
  static constexpr int kGroups = 1, kHeadBytes = 64, kSpans = 1;
  static constexpr bool kMinimum = true, kZero = false;

  static void put(const RowScales& s, int, int row, uint8_t* head) {
    put_half(s.d, head + 2 * row);
    put_half(s.dmin, head + 32 + 2 * row);
  }
  static QW_INLINE void head(const uint8_t*, HeadScales&) {}
  static QW_INLINE void span(const uint8_t* head, const HeadScales&, int, int, SpanScales& s) {
    s.scale = load_half(head);
    s.minimum = load_half(head + 32);
  }
  static float scale(const uint8_t* head, int, int, int row) { return half_value(head + 2 * row); }
  static float minimum(const uint8_t* head, int, int, int row) { return half_value(head + 32 + 2 * row); }
};

// K types and IQ4_XS: a half for 256 columns and a signed byte for every span of 32 / kSpans columns.
// Six-bit scales stay one byte each: 2.3 % (IQ4_XS, without padding 1.5 %) to 3.6 % (Q3_K) over the file for a single load.
template <int kSpansOfGroup>
struct ByteScales {
  static constexpr int kGroups = 8, kSpans = kSpansOfGroup;
  static constexpr int kHeadBytes = (32 + 16 * kGroups * kSpans + 63) / 64 * 64;
  static constexpr bool kMinimum = false, kZero = false;

  static int at(int group, int span) { return 32 + 16 * (group * kSpans + span); }
  static void put(const RowScales& s, int, int row, uint8_t* head) {
    put_half(s.d, head + 2 * row);
    for (int i = 0; i < kGroups * kSpans; i++) head[at(0, i) + row] = s.scale[i];
  }
  static QW_INLINE void head(const uint8_t* head, HeadScales& h) { h.d = load_half(head); }
  static QW_INLINE void span(const uint8_t* head, const HeadScales& h, int group, int span, SpanScales& s) {
    s.scale = mul(h.d, load_i8(head + at(group, span)));
  }
  static float scale(const uint8_t* head, int group, int span, int row) {
    return half_value(head + 2 * row) * static_cast<float>(static_cast<int8_t>(head[at(group, span) + row]));
  }
  static float minimum(const uint8_t*, int, int, int) { return 0.0f; }
};

// Q4_K and Q5_K: as ByteScales with an unsigned minimum for every 32 columns, subtracted. One byte for each 6-bit number:
// 148 bytes for the 144 of a Q4_K block.
struct ByteScalesMinimum {
  static constexpr int kGroups = 8, kHeadBytes = 320, kSpans = 1;
  static constexpr bool kMinimum = true, kZero = false;

  static void put(const RowScales& s, int, int row, uint8_t* head) {
    put_half(s.d, head + 2 * row);
    put_half(s.dmin, head + 32 + 2 * row);
    for (int i = 0; i < kGroups; i++) {
      head[64 + 32 * i + row] = s.scale[i];
      head[80 + 32 * i + row] = s.minimum[i];
    }
  }
  static QW_INLINE void head(const uint8_t* head, HeadScales& h) {
    h.d = load_half(head);
    h.dmin = sub(zero_f32(), load_half(head + 32));
  }
  static QW_INLINE void span(const uint8_t* head, const HeadScales& h, int group, int, SpanScales& s) {
    s.scale = mul(h.d, load_u8(head + 64 + 32 * group));
    s.minimum = mul(h.dmin, load_u8(head + 80 + 32 * group));
  }
  static float scale(const uint8_t* head, int group, int, int row) {
    return half_value(head + 2 * row) * static_cast<float>(head[64 + 32 * group + row]);
  }
  static float minimum(const uint8_t* head, int group, int, int row) {
    return -(half_value(head + 32 + 2 * row) * static_cast<float>(head[80 + 32 * group + row]));
  }
};

// Q2_K: scale and subtracted minimum of 16 columns share a byte, four bits each.
struct NibbleScalesMinimum {
  static constexpr int kGroups = 8, kHeadBytes = 320, kSpans = 2;
  static constexpr bool kMinimum = true, kZero = false;

  static int at(int group, int span) { return 64 + 16 * (2 * group + span); }
  static void put(const RowScales& s, int, int row, uint8_t* head) {
    put_half(s.d, head + 2 * row);
    put_half(s.dmin, head + 32 + 2 * row);
    for (int i = 0; i < 2 * kGroups; i++) head[at(0, i) + row] = static_cast<uint8_t>(s.scale[i] | s.minimum[i] << 4);
  }
  static QW_INLINE void head(const uint8_t* head, HeadScales& h) {
    h.d = load_half(head);
    h.dmin = sub(zero_f32(), load_half(head + 32));
  }
  static QW_INLINE void span(const uint8_t* head, const HeadScales& h, int group, int span, SpanScales& s) {
    F32x16 low, high;
    load_nibbles(head + at(group, span), low, high);
    s.scale = mul(h.d, low);
    s.minimum = mul(h.dmin, high);
  }
  static float scale(const uint8_t* head, int group, int span, int row) {
    return half_value(head + 2 * row) * static_cast<float>(head[at(group, span) + row] & 15);
  }
  static float minimum(const uint8_t* head, int group, int span, int row) {
    return -(half_value(head + 32 + 2 * row) * static_cast<float>(head[at(group, span) + row] >> 4));
  }
};

// A half and a zero point of a byte for kSize columns. Four groups share a head: 64 bytes for 128 columns, or 192 where each 32 columns
// have their own. The zero point is that of the codes as they are kept: of those kept signed (kSigned) it is a signed byte.
template <int kSize, bool kSigned>
struct ZeroScales {
  static constexpr int kGroups = 4, kSpans = 1;
  static constexpr int kScales = 128 / kSize;
  static constexpr int kHeadBytes = 48 * kScales + (kScales == 1 ? 16 : 0);
  static constexpr bool kMinimum = true, kZero = true;

  static int index(int group) { return kScales == 1 ? 0 : group; }
  static const uint8_t* zeros(const uint8_t* head, int group) { return head + 32 * kScales + 16 * index(group); }
  static void put(const RowScales& s, int block, int row, uint8_t* head) {
    put_half(s.d, head + 32 * block + 2 * row);
    head[32 * kScales + 16 * block + row] = static_cast<uint8_t>(s.minimum[0] - (kSigned ? 128 : 0));
  }
  static QW_INLINE void load(const uint8_t* head, int group, F32x16& scale, F32x16& minimum) {
    scale = load_half(head + 32 * index(group));
    minimum = sub(zero_f32(), kSigned ? load_i8(zeros(head, group)) : load_u8(zeros(head, group)));
  }
  static QW_INLINE void head(const uint8_t* head, HeadScales& h) {
    if constexpr (kScales == 1) load(head, 0, h.d, h.dmin);
  }
  static QW_INLINE void span(const uint8_t* head, const HeadScales& h, int group, int, SpanScales& s) {
    if constexpr (kScales == 1) {
      s.scale = h.d;
      s.minimum = h.dmin;
    } else {
      load(head, group, s.scale, s.minimum);
    }
  }
  static float scale(const uint8_t* head, int group, int, int row) { return half_value(head + 32 * index(group) + 2 * row); }
  static float minimum(const uint8_t* head, int group, int, int row) {
    const uint8_t zero = zeros(head, group)[row];
    return -static_cast<float>(kSigned ? static_cast<int8_t>(zero) : static_cast<int>(zero));
  }
};

}  // namespace
}  // namespace qw::QW_TARGET
