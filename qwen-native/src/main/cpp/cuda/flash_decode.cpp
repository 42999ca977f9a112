// Attention of slices of few rows, and what merges the splits of rows.
#include "cuda/flash.h"

namespace qw::cuda {
namespace {

constexpr int kMergeThreads = 128;

template <int kSize, int kType>
void run(const Stream& stream, const AttendArgs& args, bool fine, const AttendPiece* pieces, int64_t count) {
  if (fine) {
    launch_flash<FlashShape<kSize, kType, true, 1, 4>>(stream, "flash_decode", args, pieces, count, nullptr);
  } else {
    launch_flash<FlashShape<kSize, kType, false, 1, 4>>(stream, "flash_decode", args, pieces, count, nullptr);
  }
}

template <int kSize>
void run(const Stream& stream, const AttendArgs& args, bool fine, const AttendPiece* pieces, int64_t count) {
  if (args.kv.type == kKvF16) {
    run<kSize, kKvF16>(stream, args, fine, pieces, count);
  } else if (args.kv.type == kKvBF16) {
    run<kSize, kKvBF16>(stream, args, fine, pieces, count);
  } else {
    run<kSize, kKvInt8>(stream, args, fine, pieces, count);
  }
}

// A block merges the splits of a row in their order, as a block that computes all of them does. Eight splits are read at once: what a step
// waits for is memory.
QW_KERNEL QW_LAUNCH_BOUNDS(kMergeThreads) flash_merge_splits(AttendArgs args, const AttendPiece* pieces, int32_t part_rows) {
  constexpr int kAtOnce = 8;
  const AttendPiece piece = pieces[block_x()];
  const int row = static_cast<int>(block_y()), size = args.kv.head_size, column = thread_index();
  if (row >= piece.tokens * piece.heads || column >= size) return;
  FlashSeen all{-infinity(), 0.f};
  float sum = 0.f;
  for (int begin = 0; begin < piece.split_end; begin += kAtOnce) {
    Floats2 seen[kAtOnce];
    float sums[kAtOnce];
    QW_UNROLL for (int k = 0; k < kAtOnce; k++) {
      seen[k] = {-infinity(), 0.f};
      sums[k] = 0.f;
      if (begin + k >= piece.split_end) continue;
      const float* part = args.parts + (piece.part + begin + k) * args.part_floats;
      seen[k] = *reinterpret_cast<const Floats2*>(part + part_rows * size + 2 * row);
      sums[k] = part[row * size + column];
    }
    QW_UNROLL for (int k = 0; k < kAtOnce; k++) {
      if (begin + k >= piece.split_end) break;
      float factor, next_factor;
      all = flash_merge(all, {seen[k].x, seen[k].y}, factor, next_factor);
      sum = fma(sum, factor, sums[k] * next_factor);
    }
  }
  const int64_t token = piece.token + row / piece.heads, head = piece.head + row % piece.heads;
  args.out[token * args.out_stride + head * size + column] = sum * (1.f / all.sum);
  if (args.log_sum_exp != nullptr && column == 0) args.log_sum_exp[token * args.heads + head] = flash_log_sum_exp(all);
}

}  // namespace

void launch_flash_decode(const Stream& stream, const AttendArgs& args, bool fine, const int32_t* pieces, int64_t count) {
  if (count == 0) return;
  const AttendPiece* first = reinterpret_cast<const AttendPiece*>(pieces);
  if (args.kv.head_size <= 64) {
    run<64>(stream, args, fine, first, count);
  } else {
    run<128>(stream, args, fine, first, count);
  }
}

void launch_flash_merge(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count, int64_t part_rows) {
  if (count == 0) return;
  launch(stream, "flash_merge", flash_merge_splits, count, part_rows, 1, kMergeThreads, args, reinterpret_cast<const AttendPiece*>(pieces),
         static_cast<int32_t>(part_rows));
}

}  // namespace qw::cuda
