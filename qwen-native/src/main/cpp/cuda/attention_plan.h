// Runs the pieces of a plan of attention.
#pragma once

#include "cuda/attention.h"
#include "cuda/dense_plan.h"

namespace qw::cuda {

// Puts the kernels of a plan whose data is on the device on the stream.
void run_dense(const AttentionCall& call, AttendArgs args, const DensePlan& plan);

}  // namespace qw::cuda
