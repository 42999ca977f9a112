// The targets under test and what a processor must have for them.
#pragma once

#include <vector>

#include "cpu/kernels.h"

#define QW_DECLARE(name)                                                                            \
  namespace qw::name {                                                                              \
  const WeightFormat* quantized_format(WeightType type);                                            \
  void quantize_rows(const float* x, int64_t tokens, int64_t columns, const Q8Rows& out);           \
  }
QW_DECLARE(baseline)
QW_DECLARE(avx2)
QW_DECLARE(avx512)
QW_DECLARE(vnni)
#undef QW_DECLARE

namespace qw::test {

struct Target {
  const char* name;
  bool supported;
  const WeightFormat* (*format)(WeightType);
  QuantizeRows quantize;
};

inline std::vector<Target> quant_targets() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool has_vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  return {{"baseline", true, &baseline::quantized_format, &baseline::quantize_rows},
          {"avx2", avx2, &avx2::quantized_format, &avx2::quantize_rows},
          {"avx512", avx512, &avx512::quantized_format, &avx512::quantize_rows},
          {"vnni", has_vnni, &vnni::quantized_format, &vnni::quantize_rows}};
}

}  // namespace qw::test
