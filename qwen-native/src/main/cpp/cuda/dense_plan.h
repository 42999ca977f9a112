// How the slices of a batch that attend to all keys are cut into pieces of work.
#pragma once

#include "cuda/ops.h"

namespace qw::cuda {

enum AttendKernel { kAttendPlain, kAttendPrefill, kAttendDecode, kAttendKernels };

// The pieces of a kernel: first those that a block computes, then, where splits are computed apart, those that merge them. A piece whose
// integers are all 0 computes nothing.
struct DensePieces {
  const int32_t* data;  // on the device
  int64_t piece_ints;   // integers of a piece
  int64_t computed;
  int64_t merged;
  int64_t parts;        // results of splits that are kept
};
struct DensePlan {
  DensePieces of[kAttendKernels];
};

// Writes the pieces to `ints`, those of one kernel behind those of the other; `data` is null. Without the slices that have runs of a
// choice, if there is one. Slices of one token have pieces of one kernel only.
DensePlan plan_dense(const BatchView& batch, const AttentionShape& shape, const KvPages& kv, bool fine, const ChoiceView* choice,
                     int processors, std::vector<int32_t>& ints);

}  // namespace qw::cuda
