#include "cuda/attention_plan.h"

#include <algorithm>

#include "cuda/flash.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

// Slices that are decoded are cut from so many splits on, whatever there is beside them: one long one must not be the last.
constexpr int32_t kLongSplits = 32;
// Parts of prefill that are cut take no more than this.
constexpr int64_t kMostPartBytes = 256 << 20;

int64_t rows_of(AttendKernel kernel, const KvPages& kv, bool fine) {
  if (kernel == kAttendPlain) return piece_rows(kv.head_size);
  return kernel == kAttendDecode ? kFlashDecodeRows : flash_prefill_rows(kv, fine);
}
int64_t part_floats(AttendKernel kernel, const KvPages& kv, bool fine) { return rows_of(kernel, kv, fine) * (kv.head_size + 2); }

struct Planner {
  const BatchView& batch;
  const AttentionShape& shape;
  const KvPages& kv;
  bool fine;
  const ChoiceView* choice;
  std::vector<int32_t>& ints;

  AttendKernel kernel_of(int64_t sequence) const {
    if (!flash_serves(kv)) return kAttendPlain;
    const int64_t tokens = batch.starts[sequence + 1] - batch.starts[sequence];
    return tokens * (shape.heads / shape.kv_heads) <= kFlashDecodeRows ? kAttendDecode : kAttendPrefill;
  }

  template <class Fn>
  void each_piece(AttendKernel kernel, Fn fn) const {
    const int64_t group = shape.heads / shape.kv_heads, rows = rows_of(kernel, kv, fine);
    const int64_t heads_each = std::min(group, rows), tokens_each = rows / heads_each;
    for (int64_t b = 0; b < batch.sequences; b++) {
      if (kernel_of(b) != kernel || (choice != nullptr && choice->has_sequence(b))) continue;
      const int64_t count = batch.starts[b + 1] - batch.starts[b];
      // Last tokens first: they see most and take longest.
      for (int64_t begin = (count - 1) / tokens_each * tokens_each; count > 0 && begin >= 0; begin -= tokens_each) {
        const int64_t tokens = std::min(tokens_each, count - begin);
        const int64_t limit = int64_t{batch.cached[b]} + begin + 1;
        for (int64_t head = 0; head < shape.heads; head += group) {
          for (int64_t h = 0; h < group; h += heads_each) {
            AttendPiece piece{};
            piece.sequence = static_cast<int32_t>(b);
            piece.token = static_cast<int32_t>(batch.starts[b] + begin);
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

  void add(const AttendPiece& piece) {
    const int32_t* values = reinterpret_cast<const int32_t*>(&piece);
    ints.insert(ints.end(), values, values + kPieceInts);
  }

  DensePieces make(AttendKernel kernel, bool cut) {
    const auto is_cut = [&](const AttendPiece& piece) {
      return piece.split_end > 1 && (cut || (kernel == kAttendDecode && piece.split_end >= kLongSplits));
    };
    DensePieces made{nullptr, kPieceInts, 0, 0, 0};
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
    return made;
  }
};

}  // namespace

DensePlan plan_dense(const BatchView& batch, const AttentionShape& shape, const KvPages& kv, bool fine, const ChoiceView* choice,
                     int processors, std::vector<int32_t>& ints) {
  ints.clear();
  Planner planner{batch, shape, kv, fine, choice, ints};
  int64_t whole = 0, prefill_splits = 0;
  for (AttendKernel kernel : {kAttendPlain, kAttendPrefill, kAttendDecode}) {
    planner.each_piece(kernel, [&](const AttendPiece& piece) {
      whole++;
      if (kernel == kAttendPrefill) prefill_splits += piece.split_end;
    });
  }
  // Enough blocks for two on each processor, of prefill for one; else splits are computed apart.
  const bool cut = whole < 2 * processors;
  const int64_t prefill_bytes = prefill_splits * part_floats(kAttendPrefill, kv, fine) * 4;
  DensePlan plan{};
  plan.of[kAttendPlain] = planner.make(kAttendPlain, cut);
  plan.of[kAttendPrefill] = planner.make(kAttendPrefill, whole < processors && prefill_bytes <= kMostPartBytes);
  plan.of[kAttendDecode] = planner.make(kAttendDecode, cut);
  return plan;
}

void run_dense(const AttentionCall& call, AttendArgs args, const DensePlan& plan) {
  Backend& backend = call.backend;
  int64_t floats = 0;
  for (AttendKernel kernel : {kAttendPlain, kAttendPrefill, kAttendDecode}) {
    floats = plus(floats, times(plan.of[kernel].parts, part_floats(kernel, args.kv, backend.fine)));
  }
  if (floats > 0) backend.attend_parts.grow(backend.context, times(floats, 4));
  const Stream& stream = backend.context->stream;
  int64_t used = 0;
  for (AttendKernel kernel : {kAttendPlain, kAttendPrefill, kAttendDecode}) {
    const DensePieces& pieces = plan.of[kernel];
    const int32_t* merged = pieces.data + pieces.computed * pieces.piece_ints;
    args.part_floats = part_floats(kernel, args.kv, backend.fine);
    args.parts = reinterpret_cast<float*>(backend.attend_parts.data()) + used;
    used += pieces.parts * args.part_floats;
    switch (kernel) {
      case kAttendPrefill: launch_flash_prefill(stream, args, backend.fine, pieces.data, pieces.computed, nullptr); break;
      case kAttendDecode: launch_flash_decode(stream, args, backend.fine, pieces.data, pieces.computed); break;
      default: launch_pieces(stream, args, pieces.data, pieces.computed, nullptr);
    }
    if (kernel == kAttendPlain) {
      launch_merge(stream, args, merged, pieces.merged);
    } else {
      launch_flash_merge(stream, args, merged, pieces.merged, rows_of(kernel, args.kv, backend.fine));
    }
  }
}

int64_t scratch_bytes(const Backend& backend, int64_t activation_bytes, const KvPages& kv, bool sparse) {
  require(activation_bytes >= 0, "a size is negative");
  // Kernels, which the driver loads when they are first used, and its own tables; pieces of memory, each rounded up to 2 MiB; and what other
  // processes take between the look at what is free and the last allocation.
  constexpr int64_t kMargin = 192 << 20;
  // Graphs of recorded steps, and what they read.
  constexpr int64_t kGraphs = 48 << 20;
  // Weights that are decoded to BF16, see gemm.cpp.
  const int64_t decoded = backend.context->info.major == 9 ? 128 << 20 : 0;
  // Splits that are computed apart. Decoded slices have one piece for each kv head, and all sequences no more splits than the cache has, and
  // one each; others are cut for less than one or two pieces on each processor. In recorded steps their room is rounded up to a power of two.
  const int64_t processors = backend.context->info.processors, splits = plus(divide_up(times(kv.pages, kv.page_tokens), kSplitKeys), 256);
  const auto bytes = [&](AttendKernel kernel, int64_t pieces) { return times(times(pieces, splits), part_floats(kernel, kv, backend.fine) * 4); };
  const int64_t parts = flash_serves(kv) ? plus(2 * bytes(kAttendDecode, kv.kv_heads), std::min(bytes(kAttendPrefill, processors), kMostPartBytes))
                                         : 2 * bytes(kAttendPlain, 2 * processors);
  const int64_t choosing = sparse ? kMostWeightBytes + kMostTiles * static_cast<int64_t>(sizeof(FlashTile)) : 0;
  // Rounded activations take up to 2.5 bytes for 4, those of 16 bits up to 4, both of the widest alone; results of experts less than what the
  // experts compute. What grows, grows by half more than needed.
  return plus(plus(kMargin + kGraphs + decoded, activation_bytes), plus(parts, choosing) / 2 * 3);
}

}  // namespace qw::cuda
