// The quantized kernels with VNNI; what computes in floating point is the same as for AVX-512 and is taken from there.
#define QW_TARGET vnni

#include <immintrin.h>

#include "cpu/quantize_rows.inl"
#include "cpu/quant_formats.inl"
#include "cpu/table.h"

namespace qw::vnni {

static KernelTable make_table() {
  KernelTable table = avx512::kernel_table();
  table.name = "vnni";
  for (int32_t i = 0; i < kWeightTypes; i++) {
    const WeightFormat* format = quantized_format(static_cast<WeightType>(i));
    if (format != nullptr) table.formats[i] = format;
  }
  table.quantize_rows = quantize_rows;
  return table;
}

const KernelTable& kernel_table() {
  static const KernelTable table = make_table();
  return table;
}

}  // namespace qw::vnni
