// What processor and operating system offer.
#pragma once

#include "cpu/table.h"

namespace qw {

// The best target of this machine: CPUID says what the processor has, XGETBV which registers the operating system saves.
Target best_target();

// Only for targets up to best_target().
const KernelTable& table_of(Target target);

}  // namespace qw
