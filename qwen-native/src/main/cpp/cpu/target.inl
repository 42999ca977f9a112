// All kernels for the target QW_TARGET. Everything lives in the target's namespace or is static: an inline function shared with other
// translation units could be emitted here with instructions that the chosen target does not have, and be linked for all of them. For
// the same reason nothing of the C++ library is used here; `ctest` looks for weak symbols in these objects.

#include <immintrin.h>

#include "cpu/table.h"

#define QW_LANES static inline __attribute__((always_inline))
#define QW_UNROLL _Pragma("GCC unroll 16")

#if defined(__AVX512F__)
#include "cpu/lanes_avx512.inl"
#elif defined(__AVX2__)
#include "cpu/lanes_avx2.inl"
#else
#include "cpu/lanes_sse2.inl"
#endif
#include "cpu/lanes_common.inl"
#include "cpu/float_formats.inl"
#include "cpu/norm.inl"
#include "cpu/swiglu.inl"
#include "cpu/int8_rows.inl"
#include "cpu/rotate.inl"
#include "cpu/attend_tiles.inl"
#include "cpu/attend_int8.inl"
#include "cpu/attend_panel.inl"
#include "cpu/attend_queries.inl"
#include "cpu/attend.inl"
#include "cpu/attend_chosen.inl"
#include "cpu/quantize_rows.inl"
#include "cpu/quant_formats.inl"

#define QW_TEXT_OF(x) #x
#define QW_TEXT(x) QW_TEXT_OF(x)

namespace qw::QW_TARGET {

static KernelTable make_table() {
  KernelTable table{};
  table.name = QW_TEXT(QW_TARGET);
  for (int32_t i = 0; i < kWeightTypes; i++) {
    const WeightType type = static_cast<WeightType>(i);
    const WeightFormat* format = fp::float_format(type);
    table.formats[i] = format != nullptr ? format : quantized_format(type);
  }
  table.quantize_rows = quantize_rows;
  table.rms_norm = fp::rms_norm;
  table.swiglu = fp::swiglu;
  table.store_centres = fp::store_centres;
  table.rotate_and_store = fp::rotate_and_store;
  table.attend = fp::attend;
  table.attend_merge = fp::attend_merge;
  table.attend_finish = fp::attend_finish;
  table.weigh_keys = fp::weigh_keys;
  table.gather_keys = fp::gather_keys;
  table.attend_chosen = fp::attend_chosen;
  return table;
}

const KernelTable& kernel_table() {
  static const KernelTable table = make_table();
  return table;
}

}  // namespace qw::QW_TARGET
