// The inner step of all quantized products. A span is what shares one scale: 16 or 32 columns. For a span, 16 rows per panel and
// one token:
//   y += (scale * (sum of code * q - offset * sum of q) + minimum * sum of q) * scale of the activations
// or, where the minimum is that of the codes (kZero), scale * (sum of code * q + minimum * sum of q) in the parentheses,
// where code * q is summed in int32, exactly. The offset costs nothing on VNNI: the accumulator starts with -offset * sum of q
// instead of zero. Every token sees the same operations in the same order however many tokens are computed at once, so its
// result does not depend on its neighbours; without -ffp-contract=off that holds too, since no addition here has a product of
// its own that the compiler could contract differently.

namespace qw::QW_TARGET {
namespace {

// Columns of one pass: codes of a panel 8 KiB, activations of a tile of 6 tokens 3 KiB, so both stay in the first-level cache.
constexpr int kPassColumns = 512;
constexpr int kPassGroups = kPassColumns / kGroupColumns;

// What of a type the arithmetic depends on once its codes are unpacked: types that agree here share their code.
template <int kSpansOfGroup_, bool kMinimum_, bool kZero_, int kOffset_, int kMaxCode_>
struct ShapeOf {
  static constexpr int kSpansOfGroup = kSpansOfGroup_;
  static constexpr int kVectors = kGroupVectors / kSpansOfGroup;  // vectors of codes in a span
  static constexpr int kSpans = kPassGroups * kSpansOfGroup;      // spans in a pass
  static constexpr bool kMinimum = kMinimum_;
  static constexpr bool kZero = kZero_;
  static constexpr int kOffset = kOffset_;
  static constexpr int kMaxCode = kMaxCode_;
};
template <class Type>
using Shape = ShapeOf<Type::Scales::kSpans, Type::Scales::kMinimum, Type::Scales::kZero, Type::kOffset, Type::kMaxCode>;

// -offset * sum of q, or sum of q as float for types with a minimum, for the spans of a pass
template <class S>
struct Sums {
  alignas(64) int32_t correction[S::kMinimum ? 1 : S::kSpans];
  alignas(64) float sum[S::kMinimum ? S::kSpans : 1];

  static QW_INLINE I32x16 sixteen(const int16_t* sum16) {
    constexpr int factor = S::kMinimum ? 1 : -S::kOffset;
    if constexpr (S::kSpansOfGroup == 1) return pair_sums(sum16, factor);
    return widen_times(sum16, factor);
  }
  QW_INLINE void put(int at, I32x16 v) {
    if constexpr (S::kMinimum) {
      store_f32(sum + at, to_f32(v));
    } else {
      store_i32(correction + at, v);
    }
  }
  // The sums of `groups` groups from sum16; whole passes are computed with vectors, the last one of a row with a copy, since
  // nothing may be read beyond the row.
  QW_INLINE void fill(const int16_t* sum16, int groups) {
    if constexpr (S::kMinimum || S::kOffset != 0) {
      alignas(64) int16_t copy[2 * kPassGroups];
      if (groups < kPassGroups) {
        memset(copy, 0, sizeof copy);
        memcpy(copy, sum16, static_cast<size_t>(groups) * 2 * sizeof(int16_t));
        sum16 = copy;
      }
      put(0, sixteen(sum16));
      if constexpr (S::kSpansOfGroup == 2) put(16, sixteen(sum16 + 16));
    }
  }
};

// One span for P panels and T tokens.
//   code(Int<p>, Int<j>)  vector j of the span's codes, of panel p
//   scale(Int<p>, s)      fills the SpanScales of panel p
//   q                     activations of the first token at the span; the next token is `stride` bytes on
//   x_scale               activation scale of the first token; the next token is `scale_stride` floats on
//   span                  index of the span in the pass
template <class S, int P, int T, class Code, class Scale>
QW_INLINE void span_product(Code code, Scale scale, const int8_t* q, int64_t stride, const float* x_scale, int64_t scale_stride,
                            const Sums<S>* sums, int span, F32x16 (&y)[P][T]) {
  using D = Dot<S::kMaxCode>;
  constexpr bool kCorrect = !S::kMinimum && S::kOffset != 0;
  typename D::Acc acc[P][T];
  unroll<P>([&](auto p) QW_INLINE_LAMBDA {
    unroll<T>([&](auto t) QW_INLINE_LAMBDA {
      if constexpr (kCorrect) {
        acc[p.value][t.value] = D::start(&sums[t.value].correction[span]);
      } else {
        acc[p.value][t.value] = D::start();
      }
    });
  });
  unroll<S::kVectors>([&](auto j) QW_INLINE_LAMBDA {
    typename D::Weight w[P];
    unroll<P>([&](auto p) QW_INLINE_LAMBDA { w[p.value] = D::weight(code(p, j)); });
    unroll<T>([&](auto t) QW_INLINE_LAMBDA {
      const typename D::Input x = D::input(q + t.value * stride + 4 * j.value);
      unroll<P>([&](auto p) QW_INLINE_LAMBDA { D::template step<j.value, S::kVectors>(acc[p.value][t.value], w[p.value], x); });
    });
  });
  unroll<P>([&](auto p) QW_INLINE_LAMBDA {
    SpanScales s;
    scale(p, s);
    unroll<T>([&](auto t) QW_INLINE_LAMBDA {
      I32x16 total;
      if constexpr (kCorrect) {
        total = D::finish(acc[p.value][t.value], &sums[t.value].correction[span]);
      } else {
        total = D::finish(acc[p.value][t.value]);
      }
      F32x16 value = to_f32(total);
      // A zero point comes before the scale: sums of codes and zero points stay below 2^24, so they are exact, also where they cancel.
      if constexpr (S::kZero) value = fma(s.minimum, broadcast(sums[t.value].sum[span]), value);
      value = mul(s.scale, value);
      if constexpr (S::kMinimum && !S::kZero) value = fma(s.minimum, broadcast(sums[t.value].sum[span]), value);
      y[p.value][t.value] = fma(value, broadcast(x_scale[t.value * scale_stride]), y[p.value][t.value]);
    });
  });
}

}  // namespace
}  // namespace qw::QW_TARGET
