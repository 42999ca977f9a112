// The quantized weight formats of one target, complete. The including file defines QW_TARGET.

#include "common/blocks.h"
#include "cpu/kernels.h"
#include "cpu/quant_target.h"
#include "cpu/quant_planes.inl"
#include "cpu/quant_scales.inl"
#include "cpu/quant_types.inl"
#include "cpu/quant_panel.inl"
#include "cpu/quant_span.inl"
#include "cpu/quant_multiply.inl"

namespace qw::QW_TARGET {
namespace {

template <class Type>
static const WeightFormat* format_of() {
  static constexpr WeightFormat format{true, &Panel<Type>::bytes, &pack<Type>, &decode_row<Type>, &multiply<Type>};
  return &format;
}

}  // namespace

// The format of a quantized type, null for the others.
const WeightFormat* quantized_format(WeightType type) {
  switch (type) {
    case kQ4_0: return format_of<Q4_0>();
    case kQ4_1: return format_of<Q4_1>();
    case kQ5_0: return format_of<Q5_0>();
    case kQ5_1: return format_of<Q5_1>();
    case kQ8_0: return format_of<Q8_0>();
    case kQ2_K: return format_of<Q2_K>();
    case kQ3_K: return format_of<Q3_K>();
    case kQ4_K: return format_of<Q4_K>();
    case kQ5_K: return format_of<Q5_K>();
    case kQ6_K: return format_of<Q6_K>();
    case kIQ4_NL: return format_of<IQ4_NL>();
    case kIQ4_XS: return format_of<IQ4_XS>();
    case kINT4_G32: return format_of<Int4<32>>();
    case kINT4_G128: return format_of<Int4<128>>();
    case kINT8_G32: return format_of<Int8<32>>();
    case kINT8_G128: return format_of<Int8<128>>();
    default: return nullptr;
  }
}

}  // namespace qw::QW_TARGET
