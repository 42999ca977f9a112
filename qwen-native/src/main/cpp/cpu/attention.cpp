#include "cpu/attention.h"

#include <cmath>

namespace qw {
namespace {

void check_shape(const AttentionShape& shape, const KvPages& kv, int64_t layer) {
  require(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0, "query heads are not a multiple of the kv heads");
  require(shape.kv_heads == kv.kv_heads && shape.head_size == kv.head_size, "the KV cache has another shape");
  require(layer >= 0 && layer < kv.layers, "the KV cache has no such layer");
  require(shape.chunk_length >= 0, "a chunk has a negative length");
}

int64_t qkv_width(const AttentionShape& s) { return times(plus(s.heads, times(2, s.kv_heads)), s.head_size); }

int64_t rotation_width(const AttentionShape& s, const KvPages& kv) {
  return times((s.chunk_length == 0 ? int64_t{1} : int64_t{kRotations}) + (kv.type == kKvInt8 ? 1 : 0), s.head_size);
}

int64_t splits_for(int64_t length, const KvPages& kv) {
  const int64_t last = length - 1;
  const int64_t panels_per_page = (kv.page_tokens + kKeysPerPanel - 1) / kKeysPerPanel;
  const int64_t panels = last / kv.page_tokens * panels_per_page + last % kv.page_tokens / kKeysPerPanel + 1;
  return (panels + kSplitPanels - 1) / kSplitPanels;
}

struct DenseAttention {
  const AttentionCall& call;
  const ChoiceView* choice;
  Backend& backend = call.backend;
  const BatchView& batch = call.batch;
  const AttentionShape& shape = call.shape;
  const KvPages& kv = call.kv;
  int64_t parts = 0;

  int64_t group() const { return shape.heads / shape.kv_heads; }

  // Tokens of a slice that attend to all keys.
  int64_t tokens_of(int64_t b) const {
    return choice != nullptr && choice->has_sequence(b) ? 0 : batch.starts[b + 1] - batch.starts[b];
  }

  // Pieces of all slices. A slice of few tokens over a long cache is cut along the cache if there are too few pieces for the threads.
  void plan() {
    backend.pieces.clear();
    const int64_t heads_each = std::min(group(), kAttendRows);
    const int64_t tokens_each = std::max<int64_t>(1, kAttendRows / heads_each);
    int64_t whole = 0;
    for (int64_t b = 0; b < batch.sequences; b++) {
      whole += (tokens_of(b) + tokens_each - 1) / tokens_each * shape.kv_heads;
    }
    const bool cut = backend.pool.threads() > 1 && whole < 4 * backend.pool.threads();
    for (int64_t b = 0; b < batch.sequences; b++) {
      const int64_t count = tokens_of(b);
      // Last tokens first: they see most and take longest.
      for (int64_t end = count, begin = 0; end > 0; end = begin) {
        begin = std::max((end - 1) / tokens_each * tokens_each, call.chunk_of(batch.cached[b] + end - 1) - batch.cached[b]);
        const int64_t splits = splits_for(batch.cached[b] + end, kv);
        for (int64_t k = 0; k < shape.kv_heads; k++) {
          for (int64_t h = 0; h < group(); h += heads_each) add_pieces(b, k, h, std::min(group(), h + heads_each), begin, end, splits, cut);
        }
      }
    }
  }

  void add_pieces(int64_t b, int64_t k, int64_t head_begin, int64_t head_end, int64_t begin, int64_t end, int64_t splits, bool cut) {
    AttendPiece piece{};
    piece.sequence = static_cast<int32_t>(b);
    piece.kv_head = static_cast<int32_t>(k);
    piece.head_begin = static_cast<int32_t>(head_begin);
    piece.head_end = static_cast<int32_t>(head_end);
    piece.token_begin = static_cast<int32_t>(begin);
    piece.token_end = static_cast<int32_t>(end);
    if (!cut || splits == 1) {
      piece.split_end = static_cast<int32_t>(splits);
      piece.part = -1;
      backend.pieces.push_back(piece);
      return;
    }
    for (int64_t s = 0; s < splits; s++) {
      piece.split_begin = static_cast<int32_t>(s);
      piece.split_end = static_cast<int32_t>(s + 1);
      piece.part = parts++;
      backend.pieces.push_back(piece);
    }
  }

  int64_t first_head(const AttendPiece& piece) const { return piece.kv_head * group() + piece.head_begin; }

  AttendArgs args_of(const AttendPiece& piece, float* scratch) const {
    return call.args(piece.sequence, piece.token_begin, piece.token_end, first_head(piece), piece.kv_head * group() + piece.head_end, scratch);
  }

  void finish(const AttendPiece& piece, const AttendArgs& args, const AttendPart& total) const {
    call.finish(piece.sequence, piece.token_begin, first_head(piece), args, total);
  }

  void compute() {
    plan();
    const int64_t size = shape.head_size;
    const int64_t query_floats = call.query_floats();
    const int64_t scratch_floats = query_floats + 2 * part_floats(size);
    backend.attend_scratch.grow(backend.pool.threads() * scratch_floats * 4);
    if (parts > 0) backend.attend_parts.grow(times(parts, part_floats(size) * 4));
    float* part_memory = reinterpret_cast<float*>(backend.attend_parts.data());

    backend.pool.each(static_cast<int64_t>(backend.pieces.size()), [&](int64_t i, int worker) {
      const AttendPiece& piece = backend.pieces[static_cast<size_t>(i)];
      float* scratch = reinterpret_cast<float*>(backend.attend_scratch.data()) + worker * scratch_floats;
      const AttendArgs args = args_of(piece, scratch);
      if (piece.part >= 0) {
        backend.table.attend(args, piece.split_begin, part_at(part_memory + piece.part * part_floats(size), size));
        return;
      }
      const AttendPart total = part_at(scratch + query_floats, size);
      const AttendPart next = part_at(scratch + query_floats + part_floats(size), size);
      backend.table.attend(args, 0, total);
      for (int64_t s = 1; s < piece.split_end; s++) {
        backend.table.attend(args, s, next);
        backend.table.attend_merge(args.tokens * args.heads, size, next, total);
      }
      finish(piece, args, total);
    });

    for (const AttendPiece& piece : backend.pieces) {
      if (piece.part < 0) continue;
      const AttendArgs args = args_of(piece, nullptr);
      const AttendPart total = part_at(part_memory + (piece.part - piece.split_begin) * part_floats(size), size);
      if (piece.split_begin > 0) {
        backend.table.attend_merge(args.tokens * args.heads, size, part_at(part_memory + piece.part * part_floats(size), size), total);
      }
      if (piece.split_end == splits_for(batch.cached[piece.sequence] + piece.token_end, kv)) finish(piece, args, total);
    }
  }
};

AttentionCall checked_call(Backend& backend, const Buffer& qkv, const Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                           const KvCache& cache, int64_t layer) {
  check_shape(shape, cache.pages, layer);
  check_rows(qkv, batch.tokens, qkv_width(shape), "qkv does not fit the attention layer");
  check_rows(rotations, batch.tokens, rotation_width(shape, cache.pages), "the rotations do not fit the attention layer");
  batch.check_pages(cache.pages.pages, cache.pages.page_tokens);
  return {backend, qkv, rotations, batch, shape, cache.pages, layer, nullptr, nullptr};
}

}  // namespace

AttendArgs AttentionCall::args(int64_t b, int64_t token_begin, int64_t token_end, int64_t head_begin, int64_t head_end,
                               float* scratch) const {
  const int64_t row = batch.starts[b] + token_begin;
  AttendArgs args{};
  args.kv = &kv;
  args.layer = layer;
  args.kv_head = head_begin / (shape.heads / shape.kv_heads);
  args.page_table = batch.page_tables + b * batch.page_stride;
  args.q = qkv.floats() + row * qkv.columns + head_begin * shape.head_size;
  args.q_stride = qkv.columns;
  args.tokens = token_end - token_begin;
  args.heads = head_end - head_begin;
  args.first_limit = int64_t{batch.cached[b]} + token_begin + 1;
  args.scale = shape.scale;
  if (shape.chunk_length > 0) {
    args.chunk_length = shape.chunk_length;
    args.chunk_begin = chunk_of(args.first_limit - 1);
    args.rotations = rotations.floats() + row * rotations.columns;
    args.rotation_stride = rotations.columns;
  }
  if (scratch != nullptr) {
    args.scores = scratch;
    args.rotated = scratch + kAttendRows * kBlockPanels * kKeysPerPanel;
    args.narrow = reinterpret_cast<int16_t*>(args.rotated + rotated_floats());
  }
  return args;
}

void AttentionCall::finish(int64_t b, int64_t token_begin, int64_t head_begin, const AttendArgs& args, const AttendPart& total) const {
  const int64_t row = batch.starts[b] + token_begin;
  float* to = out->floats() + row * out->columns + head_begin * shape.head_size;
  backend.table.attend_finish(args.tokens, args.heads, shape.head_size, total, to, out->columns);
  if (log_sum_exp == nullptr) return;
  for (int64_t r = 0; r < args.tokens * args.heads; r++) {
    float* sums = log_sum_exp->floats() + (row + r / args.heads) * log_sum_exp->columns;
    sums[head_begin + r % args.heads] = total.maximum[r] + std::log(total.weight[r]);
  }
}

void rotate_and_store(Backend& backend, const Buffer& qkv, const Buffer* bias, const Buffer& rotations, const BatchView& batch,
                      const AttentionShape& shape, const KvCache& cache, int64_t layer) {
  check_shape(shape, cache.pages, layer);
  check_rows(qkv, batch.tokens, qkv_width(shape), "qkv does not fit the attention layer");
  check_rows(rotations, batch.tokens, rotation_width(shape, cache.pages), "the rotations do not fit the attention layer");
  if (bias != nullptr) check_rows(*bias, 1, qkv.columns, "the bias does not fit the attention layer");
  batch.check_slots(cache.pages.pages, cache.pages.page_tokens);
  RotateArgs all{};
  all.qkv = qkv.floats();
  all.rotations = rotations.floats();
  all.rotation_stride = rotations.columns;
  all.first_rotated = shape.chunk_length == 0 ? 0 : shape.heads;
  all.key_bias = bias == nullptr ? nullptr : bias->floats() + shape.heads * shape.head_size;
  all.centre = rotations.columns - shape.head_size;
  all.slots = batch.slots;
  all.heads = shape.heads;
  all.token_end = batch.tokens;
  all.kv = &cache.pages;
  all.layer = layer;
  // Before the threads begin: tokens of one page may be stored by several of them.
  if (cache.pages.type == kKvInt8) backend.table.store_centres(all);
  const int64_t each = std::max<int64_t>(1, (8 << 10) / qkv.columns);
  backend.pool.each((batch.tokens + each - 1) / each, [&](int64_t i, int) {
    RotateArgs args = all;
    args.token_begin = i * each;
    args.token_end = std::min(batch.tokens, args.token_begin + each);
    backend.table.rotate_and_store(args);
  });
}

void choose_keys(Backend& backend, const Buffer& qkv, const Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                 const KvCache& cache, int64_t layer, const Buffer& choice) {
  const AttentionCall call = checked_call(backend, qkv, rotations, batch, shape, cache, layer);
  choose_keys(call, ChoiceView(choice, batch, shape.heads, shape.chunk_length));
}

void attention(Backend& backend, const Buffer& qkv, const Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
               const KvCache& cache, int64_t layer, const Buffer* choice, const Buffer& out, const Buffer* log_sum_exp) {
  AttentionCall call = checked_call(backend, qkv, rotations, batch, shape, cache, layer);
  check_rows(out, batch.tokens, times(shape.heads, shape.head_size), "out does not fit the attention layer");
  if (log_sum_exp != nullptr) check_rows(*log_sum_exp, batch.tokens, shape.heads, "log_sum_exp does not fit the attention layer");
  call.out = &out;
  call.log_sum_exp = log_sum_exp;
  if (choice == nullptr) {
    DenseAttention{call, nullptr}.compute();
    return;
  }
  const ChoiceView keys(*choice, batch, shape.heads, shape.chunk_length);
  attend_sparse(call, keys);
  DenseAttention{call, &keys}.compute();
}

}  // namespace qw
