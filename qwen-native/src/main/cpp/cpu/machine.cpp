#include "cpu/machine.h"

#include <cpuid.h>

namespace qw {
namespace {

uint64_t saved_registers() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool has(uint32_t bits, int bit) { return bits >> bit & 1; }

}  // namespace

Target best_target() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return kBaseline;
  const bool fma = has(c, 12), osxsave = has(c, 27), avx = has(c, 28), f16c = has(c, 29);
  if (!fma || !osxsave || !avx || !f16c) return kBaseline;
  const uint64_t saved = saved_registers();
  if ((saved & 0x6) != 0x6) return kBaseline;  // xmm, ymm
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, 5)) return kBaseline;
  const bool f = has(b, 16), dq = has(b, 17), bw = has(b, 30), vl = has(b, 31);
  if (!f || !dq || !bw || !vl || (saved & 0xe0) != 0xe0) return kAvx2;  // mask registers, both halves of zmm
  return has(c, 11) ? kVnni : kAvx512;
}

const KernelTable& table_of(Target target) {
  switch (target) {
    case kVnni: return vnni::kernel_table();
    case kAvx512: return avx512::kernel_table();
    case kAvx2: return avx2::kernel_table();
    default: return baseline::kernel_table();
  }
}

}  // namespace qw
