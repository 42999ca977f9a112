// How the slices of a batch that attend to all keys are cut into pieces of work, for each of the kernels that compute them.
#pragma once

#include "cuda/attention.h"

namespace qw::cuda {

enum AttendKernel { kAttendPlain, kAttendDecode, kAttendPrefill, kAttendKernels };

class AttentionPlan {
 public:
  // Writes the pieces to the backend's `ints`. Slices that have a run of the choice are left out.
  AttentionPlan(const AttentionCall& call, const ChoiceView* choice);
  // Sends them and puts their kernels on the stream.
  void run(AttendArgs args) const;

 private:
  // Pieces that a kernel computes, and behind them those whose splits it computes apart and that are merged.
  struct Pieces {
    int64_t first = 0;
    int64_t computed = 0;
    int64_t merged = 0;
    int64_t parts = 0;
  };

  AttendKernel kernel_of(int64_t sequence) const;
  int64_t rows(AttendKernel kernel) const;
  int64_t part_floats(AttendKernel kernel) const { return rows(kernel) * (call_.shape.head_size + 2); }
  template <class Fn>
  void each_piece(AttendKernel kernel, Fn fn) const;
  void add(const AttendPiece& piece);
  void make(AttendKernel kernel, bool cut);

  const AttentionCall& call_;
  const ChoiceView* choice_;
  const bool flash_;
  Pieces pieces_[kAttendKernels];
};

}  // namespace qw::cuda
