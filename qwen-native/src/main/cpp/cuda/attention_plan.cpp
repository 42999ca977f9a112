#include "cuda/attention_plan.h"

#include "cuda/flash.h"

namespace qw::cuda {
namespace {

// Slices that are decoded are cut from so many splits on, whatever there is beside them: one long one must not be the last.
constexpr int32_t kLongSplits = 32;
// Parts of prefill that are cut take no more than this.
constexpr int64_t kMostPartBytes = 256 << 20;

}  // namespace

AttendKernel AttentionPlan::kernel_of(int64_t sequence) const {
  if (!flash_) return kAttendPlain;
  const int64_t tokens = call_.batch.starts[sequence + 1] - call_.batch.starts[sequence];
  return tokens * (call_.shape.heads / call_.shape.kv_heads) <= kFlashDecodeRows ? kAttendDecode : kAttendPrefill;
}

int64_t AttentionPlan::rows(AttendKernel kernel) const {
  if (kernel == kAttendPlain) return piece_rows(call_.shape.head_size);
  return kernel == kAttendDecode ? kFlashDecodeRows : flash_prefill_rows(call_.cache.pages, call_.backend.fine);
}

template <class Fn>
void AttentionPlan::each_piece(AttendKernel kernel, Fn fn) const {
  const int64_t group = call_.shape.heads / call_.shape.kv_heads, most = rows(kernel);
  const int64_t heads_each = std::min(group, most), tokens_each = most / heads_each;
  for (int64_t b = 0; b < call_.batch.sequences; b++) {
    if (kernel_of(b) != kernel || (choice_ != nullptr && choice_->has_sequence(b))) continue;
    const int64_t count = call_.batch.starts[b + 1] - call_.batch.starts[b];
    // Last tokens first: they see most and take longest.
    for (int64_t begin = (count - 1) / tokens_each * tokens_each; count > 0 && begin >= 0; begin -= tokens_each) {
      const int64_t tokens = std::min(tokens_each, count - begin);
      const int64_t limit = int64_t{call_.batch.cached[b]} + begin + 1;
      for (int64_t head = 0; head < call_.shape.heads; head += group) {
        for (int64_t h = 0; h < group; h += heads_each) {
          AttendPiece piece{};
          piece.sequence = static_cast<int32_t>(b);
          piece.token = static_cast<int32_t>(call_.batch.starts[b] + begin);
          piece.tokens = static_cast<int32_t>(tokens);
          piece.head = static_cast<int32_t>(head + h);
          piece.heads = static_cast<int32_t>(std::min(heads_each, group - h));
          piece.limit = static_cast<int32_t>(limit);
          piece.split_end = static_cast<int32_t>(divide_up(limit + tokens - 1, kSplitKeys));
          piece.part = -1;
          fn(piece);
        }
      }
    }
  }
}

void AttentionPlan::add(const AttendPiece& piece) {
  const int32_t* values = reinterpret_cast<const int32_t*>(&piece);
  call_.backend.ints.insert(call_.backend.ints.end(), values, values + kPieceInts);
}

void AttentionPlan::make(AttendKernel kernel, bool cut) {
  const auto is_cut = [&](const AttendPiece& piece) {
    return piece.split_end > 1 && (cut || (kernel == kAttendDecode && piece.split_end >= kLongSplits));
  };
  Pieces& made = pieces_[kernel];
  made.first = static_cast<int64_t>(call_.backend.ints.size());
  each_piece(kernel, [&](AttendPiece piece) {
    if (!is_cut(piece)) {
      add(piece);
      made.computed++;
      return;
    }
    const int32_t splits = piece.split_end;
    for (int32_t s = 0; s < splits; s++) {
      piece.split_begin = s;
      piece.split_end = s + 1;
      piece.part = static_cast<int32_t>(made.parts++);
      add(piece);
      made.computed++;
    }
  });
  int64_t part = 0;
  each_piece(kernel, [&](AttendPiece piece) {
    if (!is_cut(piece)) return;
    piece.part = static_cast<int32_t>(part);
    part += piece.split_end;
    add(piece);
    made.merged++;
  });
}

AttentionPlan::AttentionPlan(const AttentionCall& call, const ChoiceView* choice)
    : call_(call), choice_(choice), flash_(flash_serves(call.cache.pages)) {
  call.backend.ints.clear();
  int64_t whole[kAttendKernels] = {}, splits[kAttendKernels] = {}, all = 0;
  for (AttendKernel kernel : {kAttendPlain, kAttendDecode, kAttendPrefill}) {
    each_piece(kernel, [&](const AttendPiece& piece) {
      whole[kernel]++;
      splits[kernel] += piece.split_end;
    });
    all += whole[kernel];
  }
  // Enough blocks for two on each processor, of prefill for one; else splits are computed apart.
  const int64_t processors = call.backend.context->info.processors;
  make(kAttendPlain, all < 2 * processors);
  make(kAttendDecode, all < 2 * processors);
  make(kAttendPrefill, all < processors && splits[kAttendPrefill] * part_floats(kAttendPrefill) * 4 <= kMostPartBytes);
}

void AttentionPlan::run(AttendArgs args) const {
  Backend& backend = call_.backend;
  if (backend.ints.empty()) return;
  int64_t floats = 0;
  for (AttendKernel kernel : {kAttendPlain, kAttendDecode, kAttendPrefill}) {
    floats = plus(floats, times(pieces_[kernel].parts, part_floats(kernel)));
  }
  if (floats > 0) backend.attend_parts.grow(backend.context, times(floats, 4));
  args.parts = reinterpret_cast<float*>(backend.attend_parts.data());
  const int32_t* sent = backend.attend_pieces.send(backend.context, backend.ints);
  const Stream& stream = backend.context->stream;
  for (AttendKernel kernel : {kAttendPlain, kAttendPrefill, kAttendDecode}) {
    const Pieces& made = pieces_[kernel];
    const int32_t* merged = sent + made.first + made.computed * kPieceInts;
    args.part_floats = part_floats(kernel);
    if (kernel == kAttendPlain) {
      launch_pieces(stream, args, sent + made.first, made.computed, nullptr);
      launch_merge(stream, args, merged, made.merged);
    } else {
      if (kernel == kAttendDecode) launch_flash_decode(stream, args, backend.fine, sent + made.first, made.computed);
      if (kernel == kAttendPrefill) launch_flash_prefill(stream, args, backend.fine, sent + made.first, made.computed, nullptr);
      launch_flash_merge(stream, args, merged, made.merged, rows(kernel));
    }
    args.parts += made.parts * args.part_floats;
  }
}

}  // namespace qw::cuda
