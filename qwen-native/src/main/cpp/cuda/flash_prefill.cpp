// Attention of slices of many rows.
#include "cuda/flash.h"

namespace qw::cuda {
namespace {

template <int kSize, int kType>
void run(const Stream& stream, const AttendArgs& args, bool fine, const AttendPiece* pieces, int64_t count, const FlashTile* chosen) {
  if (fine) {
    launch_flash<FlashShape<kSize, kType, true, flash_row_warps(kSize, kType, true), flash_column_warps(kSize, kType, true)>>(
        stream, "flash_prefill", args, pieces, count, chosen);
  } else {
    launch_flash<FlashShape<kSize, kType, false, flash_row_warps(kSize, kType, false), flash_column_warps(kSize, kType, false)>>(
        stream, "flash_prefill", args, pieces, count, chosen);
  }
}

template <int kSize>
void run(const Stream& stream, const AttendArgs& args, bool fine, const AttendPiece* pieces, int64_t count, const FlashTile* chosen) {
  if (args.kv.type == kKvF16) {
    run<kSize, kKvF16>(stream, args, fine, pieces, count, chosen);
  } else if (args.kv.type == kKvBF16) {
    run<kSize, kKvBF16>(stream, args, fine, pieces, count, chosen);
  } else {
    run<kSize, kKvInt8>(stream, args, fine, pieces, count, chosen);
  }
}

}  // namespace

void launch_flash_prefill(const Stream& stream, const AttendArgs& args, bool fine, const int32_t* pieces, int64_t count,
                          const FlashTile* chosen) {
  if (count == 0) return;
  const AttendPiece* first = reinterpret_cast<const AttendPiece*>(pieces);
  if (args.kv.head_size <= 64) {
    run<64>(stream, args, fine, first, count, chosen);
  } else {
    run<128>(stream, args, fine, first, count, chosen);
  }
}

}  // namespace qw::cuda
