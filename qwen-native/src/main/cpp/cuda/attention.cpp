// Rotation, the KV cache, and attention over its pages.
#include "cuda/attention_plan.h"
#include "cuda/steps.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kLanes;

struct StoreArgs {
  KvPages kv;
  int64_t layer;
  float* qkv;
  int32_t heads;
  int32_t first_rotated;
  const float* rotations;
  int64_t rotation_stride;
  const int32_t* slots;
  const float* key_bias;  // [K E] or null
};

// A block sets the centres of the page whose first slot its token has.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) store_centres(StoreArgs args) {
  const int slot = args.slots[block_x()];
  if (slot % args.kv.page_tokens != 0) return;
  const int size = args.kv.head_size;
  const float* rotation = args.rotations + block_x() * args.rotation_stride + args.rotation_stride - size;
  for (int i = thread_index(); i < args.kv.kv_heads * size; i += kThreads) {
    const int head = i / size, e = i % size;
    uint8_t* keys = head_of_page(args.kv, args.layer, slot / args.kv.page_tokens, head, false);
    const float value = args.key_bias == nullptr ? 0.f : rotated(args.key_bias + head * size, rotation, size / 2, e);
    reinterpret_cast<uint16_t*>(keys + args.kv.centre)[e] = to_half(value);
  }
}

QW_DEVICE void store_element(int type, uint8_t* row, int64_t e, float value) {
  if (type == kKvF32) reinterpret_cast<float*>(row)[e] = value;
  if (type == kKvF16) reinterpret_cast<uint16_t*>(row)[e] = to_half(value);
  if (type == kKvBF16) reinterpret_cast<uint16_t*>(row)[e] = to_bf16(value);
}

// A warp stores a row in 8 bits: scale = largest magnitude / 127, value / scale to nearest even. A row of zeros, or of numbers below 1e-33,
// gets scale 0; one with a NaN or an infinity scale NaN, so that whatever is computed with it is.
QW_DEVICE void store_integers(const KvPages& kv, uint8_t* head, int64_t token, const float* x, bool values) {
  const uint16_t* centre = reinterpret_cast<const uint16_t*>(head + kv.centre);
  float largest = 0, bad = 0;
  for (int e = lane_index(); e < kv.head_size; e += kLanes) {
    const float value = values ? x[e] : x[e] - from_half(centre[e]);
    largest = larger(largest, magnitude(value));
    if (!(value - value == 0.f)) bad = 1.f;
  }
  largest = largest_of_lanes(largest);
  bad = largest_of_lanes(bad);
  const bool zero = bad != 0.f || largest < 1e-33f;
  const float inverse = zero ? 0.f : 127.f / largest;
  int8_t* row = reinterpret_cast<int8_t*>(head + token * kv.row_bytes);
  for (int e = lane_index(); e < kv.head_size; e += kLanes) {
    const float value = values ? x[e] : x[e] - from_half(centre[e]);
    row[e] = static_cast<int8_t>(zero ? 0.f : round_to_even(value * inverse));
  }
  if (lane_index() == 0) {
    reinterpret_cast<float*>(head + kv.scales)[token] = bad != 0.f ? not_a_number() : zero ? 0.f : largest / 127.f;
  }
}

// A warp rotates a head of a token in place and stores it, if it is a key or a value. Each lane has its own pairs of elements.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) rotate_heads(StoreArgs args) {
  const KvPages& kv = args.kv;
  const int size = kv.head_size, half = size / 2;
  const int all = args.heads + 2 * kv.kv_heads;
  const int slot = args.slots[block_x()], page = slot / kv.page_tokens, token = slot % kv.page_tokens;
  const float* rotation = args.rotations + block_x() * args.rotation_stride;
  for (int h = thread_index() / kLanes; h < all; h += kWarps) {
    float* x = args.qkv + (block_x() * all + h) * size;
    const bool values = h >= args.heads + kv.kv_heads;
    if (!values && h >= args.first_rotated) {
      for (int i = lane_index(); i < half; i += kLanes) {
        const float a = rotated(x, rotation, half, i), b = rotated(x, rotation, half, half + i);
        x[i] = a;
        x[half + i] = b;
      }
    }
    if (h < args.heads) continue;
    uint8_t* head = head_of_page(kv, args.layer, page, (h - args.heads) % kv.kv_heads, values);
    if (kv.type == kKvInt8) {
      // What other lanes rotated is read here.
      warp_barrier();
      store_integers(kv, head, token, x, values);
    } else {
      uint8_t* row = head + token * kv.row_bytes;
      for (int i = lane_index(); i < half; i += kLanes) {
        store_element(kv.type, row, i, x[i]);
        store_element(kv.type, row, half + i, x[half + i]);
      }
    }
  }
}

// What a row has seen: the largest score, and the sum of weights relative to it, 0 before any key.
struct Seen {
  float largest;
  float sum;
};

// Adds what a split has seen; sums are to be multiplied with the factors.
QW_DEVICE Seen merge(const Seen& all, const Seen& next, float& all_factor, float& next_factor) {
  all_factor = 1.f;
  next_factor = 0.f;
  if (next.sum == 0.f) return all;
  all_factor = 0.f;
  next_factor = 1.f;
  if (all.sum == 0.f) return next;
  const float largest = larger(all.largest, next.largest);
  all_factor = exponential(all.largest - largest);
  next_factor = exponential(next.largest - largest);
  return {largest, fma(all.sum, all_factor, next.sum * next_factor)};
}
QW_DEVICE float merge_sums(float all, float next, float all_factor, float next_factor) {
  return next_factor == 0.f ? all : all_factor == 0.f ? next * next_factor : fma(all, all_factor, next * next_factor);
}

// Keys or values of `count` tokens from position `begin` on; a warp loads a row.
template <int kStride>
QW_DEVICE void load_tile(const AttendArgs& args, const int32_t* pages, int kv_head, int begin, int count, bool values, float* tile) {
  const KvPages& kv = args.kv;
  for (int i = thread_index() / kLanes; i < count; i += kWarps) {
    const int key = begin + i, page = key / kv.page_tokens, token = key % kv.page_tokens;
    const uint8_t* head = head_of_page(kv, args.layer, pages[page], kv_head, values);
    const float scale = row_scale(kv, head, token);
    for (int e = lane_index(); e < kv.head_size; e += kLanes) tile[i * kStride + e] = load_element(kv, head, token, e, values, scale);
  }
}

// A block computes a piece. Keys come in tiles at fixed places; a row's sums are made of tiles, then of splits, in their order.
template <int kSize, bool kChunked>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) attend(AttendArgs args, const AttendPiece* pieces, const ChosenTile* chosen) {
  constexpr int kRows = AttendShape<kSize>::kRows, kKeys = AttendShape<kSize>::kKeys;
  constexpr int kRanges = kChunked ? kQueryRanges : 1;
  constexpr int kColumns = kSize > kThreads ? kSize / kThreads : 1;      // of a thread
  constexpr int kRowGroups = kSize < kThreads ? kThreads / kSize : 1;    // rows at the same time
  constexpr int kOwn = kRows / kRowGroups;                               // rows of a thread
  constexpr int kStride = kSize + 1;
  QW_SHARED float queries[kRanges * kRows * kSize];
  QW_SHARED float tile[kKeys * kStride];
  QW_SHARED float weights[kRows * kKeys];
  QW_SHARED float factors[kRows];
  QW_SHARED float next_factors[kRows];
  QW_SHARED Seen seen[kRows];
  QW_SHARED Seen total[kRows];
  QW_SHARED uint32_t visible[kRows];

  const AttendPiece piece = pieces[block_x()];
  if (piece.tokens == 0) return;
  const KvPages& kv = args.kv;
  const int size = kv.head_size;
  const int thread = thread_index();
  const int rows = piece.tokens * piece.heads;
  const int most = piece.limit + piece.tokens - 1;
  const int kv_head = piece.head / (args.heads / kv.kv_heads);
  const int32_t* pages = args.pages + piece.sequence * args.page_stride;

  for (int i = thread; i < kRanges * rows * size; i += kThreads) {
    const int range = i / (rows * size), row = i / size % rows, e = i % size;
    const int64_t token = piece.token + row / piece.heads;
    const float* q = args.qkv + token * args.qkv_stride + static_cast<int64_t>(piece.head + row % piece.heads) * size;
    queries[(range * kRows + row) * kSize + e] =
        kChunked ? rotated(q, args.rotations + token * args.rotation_stride + (kSameChunk + range) * size, size / 2, e) : q[e];
  }
  if (thread < kRows) total[thread] = {-infinity(), 0.f};

  float sums[kOwn * kColumns], next[kOwn * kColumns];
  QW_UNROLL for (int i = 0; i < kOwn * kColumns; i++) sums[i] = 0;
  const int own_column = thread % kSize, own_row = kSize < kThreads ? thread / kSize : 0;

  constexpr int kSplitTiles = kSplitKeys / kKeys;
  int at = chosen != nullptr ? 0 : piece.split_begin * kSplitTiles;
  for (int split = piece.split_begin; split < piece.split_end; split++) {
    const int next_split = (split + 1) * kSplitTiles;
    // Of chosen keys most splits may have none.
    if (chosen != nullptr && (at == piece.masks || chosen[piece.chosen + at].tile >= next_split)) continue;
    if (thread < kRows) seen[thread] = {-infinity(), 0.f};
    QW_UNROLL for (int i = 0; i < kOwn * kColumns; i++) next[i] = 0;
    for (;; at++) {
      if (chosen != nullptr ? at == piece.masks || chosen[piece.chosen + at].tile >= next_split : at == next_split || at * kKeys >= most) break;
      const int begin = (chosen != nullptr ? chosen[piece.chosen + at].tile : at) * kKeys;
      const uint32_t mask = chosen != nullptr ? chosen[piece.chosen + at].mask : ~0u;
      const int loaded = most - begin < kKeys ? most - begin : kKeys;
      barrier();
      load_tile<kStride>(args, pages, kv_head, begin, loaded, false, tile);
      barrier();
      for (int i = thread; i < rows * kKeys; i += kThreads) {
        const int row = i / kKeys, key = i % kKeys;
        const int limit = piece.limit + row / piece.heads;
        if (begin + key >= limit) continue;
        const int range = kChunked ? query_range(limit - 1, begin + key, args.chunk_length) : 0;
        const float* q = queries + (range * kRows + row) * kSize;
        float dot = 0;
        for (int e = 0; e < size; e++) dot = fma(q[e], tile[key * kStride + e], dot);
        weights[i] = dot * args.scale;
      }
      barrier();
      // Lanes of a row are kKeys side by side.
      for (int row = thread / kKeys; row < kRows; row += kThreads / kKeys) {
        const int key = thread % kKeys;
        const int left = piece.limit + row / piece.heads - begin;
        const uint32_t sees = row >= rows || left <= 0 ? 0u : left >= 32 ? mask : mask & ((1u << left) - 1);
        const uint32_t bits = kKeys == 32 ? sees : sees & 0xffffu;
        const bool has = bits >> key & 1;
        const float score = has ? weights[row * kKeys + key] : -infinity();
        float largest = score;
        for (int m = kKeys / 2; m > 0; m /= 2) largest = larger(largest, exchange(largest, m));
        const Seen before = seen[row];
        largest = larger(before.largest, largest);
        const float weight = has ? exponential(score - largest) : 0.f;
        float sum = weight;
        for (int m = kKeys / 2; m > 0; m /= 2) sum += exchange(sum, m);
        weights[row * kKeys + key] = weight;
        warp_barrier();  // all lanes have read what the first one writes
        if (key != 0) continue;
        visible[row] = bits;
        factors[row] = before.sum == 0.f ? 0.f : bits == 0 ? 1.f : exponential(before.largest - largest);
        if (bits != 0) seen[row] = {largest, before.sum == 0.f ? sum : fma(before.sum, factors[row], sum)};
      }
      load_tile<kStride>(args, pages, kv_head, begin, loaded, true, tile);
      barrier();
      QW_UNROLL for (int r = 0; r < kOwn; r++) {
        const int row = own_row + r * kRowGroups;
        if (row >= rows) continue;
        const uint32_t bits = visible[row];
        if (bits == 0) continue;
        QW_UNROLL for (int c = 0; c < kColumns; c++) {
          const int column = own_column + c * kThreads;
          if (column >= size) continue;
          // A key that is not seen may be anything, also no number.
          float sum = factors[row] == 0.f ? 0.f : next[r * kColumns + c] * factors[row];
          for (int key = 0; key < kKeys; key++) {
            if (bits >> key & 1) sum = fma(weights[row * kKeys + key], tile[key * kStride + column], sum);
          }
          next[r * kColumns + c] = sum;
        }
      }
    }
    barrier();
    if (piece.part >= 0) {
      float* part = args.parts + (piece.part + split - piece.split_begin) * args.part_floats;
      QW_UNROLL for (int r = 0; r < kOwn; r++) {
        const int row = own_row + r * kRowGroups;
        QW_UNROLL for (int c = 0; c < kColumns; c++) {
          const int column = own_column + c * kThreads;
          if (row < rows && column < size) part[row * size + column] = next[r * kColumns + c];
        }
      }
      if (thread < rows) {
        part[kRows * size + 2 * thread] = seen[thread].largest;
        part[kRows * size + 2 * thread + 1] = seen[thread].sum;
      }
      continue;
    }
    if (thread < kRows) total[thread] = merge(total[thread], seen[thread], factors[thread], next_factors[thread]);
    barrier();
    QW_UNROLL for (int r = 0; r < kOwn; r++) {
      const int row = own_row + r * kRowGroups;
      QW_UNROLL for (int c = 0; c < kColumns; c++) {
        float& sum = sums[r * kColumns + c];
        sum = merge_sums(sum, next[r * kColumns + c], factors[row], next_factors[row]);
      }
    }
    barrier();
  }
  if (piece.part >= 0) return;
  QW_UNROLL for (int r = 0; r < kOwn; r++) {
    const int row = own_row + r * kRowGroups;
    if (row >= rows) continue;
    float* out = args.out + (piece.token + row / piece.heads) * args.out_stride + static_cast<int64_t>(piece.head + row % piece.heads) * size;
    QW_UNROLL for (int c = 0; c < kColumns; c++) {
      const int column = own_column + c * kThreads;
      if (column < size) out[column] = sums[r * kColumns + c] / total[row].sum;
    }
  }
  if (args.log_sum_exp != nullptr && thread < rows) {
    args.log_sum_exp[(piece.token + thread / piece.heads) * args.heads + piece.head + thread % piece.heads] =
        total[thread].largest + logarithm(total[thread].sum);
  }
}

// A block merges the splits of the rows of a piece.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) merge_splits(AttendArgs args, const AttendPiece* pieces) {
  const AttendPiece piece = pieces[block_x()];
  const int size = args.kv.head_size;
  const int64_t most_rows = size <= 128 ? 16 : 8;
  for (int i = thread_index(); i < piece.tokens * piece.heads * size; i += kThreads) {
    const int row = i / size, column = i % size;
    Seen total{-infinity(), 0.f};
    float sum = 0;
    for (int split = 0; split < piece.split_end; split++) {
      const float* part = args.parts + (piece.part + split) * args.part_floats;
      const float* of_row = part + most_rows * size + 2 * row;
      float factor, next_factor;
      total = merge(total, {of_row[0], of_row[1]}, factor, next_factor);
      sum = merge_sums(sum, part[row * size + column], factor, next_factor);
    }
    const int64_t token = piece.token + row / piece.heads, head = piece.head + row % piece.heads;
    args.out[token * args.out_stride + head * size + column] = sum / total.sum;
    if (args.log_sum_exp != nullptr && column == 0) args.log_sum_exp[token * args.heads + head] = total.largest + logarithm(total.sum);
  }
}

template <int kSize>
void launch_attend(const Stream& stream, const AttendArgs& args, const AttendPiece* pieces, int64_t count, const ChosenTile* chosen) {
  if (args.chunk_length == 0) {
    launch(stream, "attend", attend<kSize, false>, count, 1, 1, kThreads, args, pieces, chosen);
  } else {
    launch(stream, "attend", attend<kSize, true>, count, 1, 1, kThreads, args, pieces, chosen);
  }
}

void check_shape(const AttentionShape& shape, const KvPages& kv, int64_t layer) {
  require(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0, "query heads are not a multiple of the kv heads");
  require(shape.kv_heads == kv.kv_heads && shape.head_size == kv.head_size, "the KV cache has another shape");
  require(layer >= 0 && layer < kv.layers, "the KV cache has no such layer");
  require(shape.chunk_length >= 0 && shape.chunk_length <= INT32_MAX, "a chunk has no such length");
  require(shape.heads <= INT32_MAX, "there are too many heads");
}

int64_t qkv_width(const AttentionShape& s) { return times(plus(s.heads, times(2, s.kv_heads)), s.head_size); }

int64_t rotation_width(const AttentionShape& s, const KvPages& kv) {
  return times((s.chunk_length == 0 ? int64_t{1} : int64_t{kRotations}) + (kv.type == kKvInt8 ? 1 : 0), s.head_size);
}

// The slices that have no run of the choice.
void attend_all(const AttentionCall& call, const ChoiceView* choice, const AttendArgs& args) {
  Backend& backend = call.backend;
  if (const DensePlan* prepared = backend.steps->plan(call.shape)) {
    require(choice == nullptr, "a prepared step attends to all keys");
    run_dense(call, args, *prepared);
    return;
  }
  DensePlan plan = plan_dense(call.batch, call.shape, args.kv, backend.fine, choice, backend.context->info.processors, backend.ints);
  if (backend.ints.empty()) return;
  const int32_t* sent = backend.attend_pieces.send(backend.context, backend.ints);
  for (DensePieces& pieces : plan.of) {
    pieces.data = sent;
    sent += (pieces.computed + pieces.merged) * pieces.piece_ints;
  }
  run_dense(call, args, plan);
}

}  // namespace

void launch_pieces(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count, const ChosenTile* chosen) {
  if (count == 0) return;
  const AttendPiece* first = reinterpret_cast<const AttendPiece*>(pieces);
  if (args.kv.head_size <= 64) {
    launch_attend<64>(stream, args, first, count, chosen);
  } else if (args.kv.head_size <= 128) {
    launch_attend<128>(stream, args, first, count, chosen);
  } else {
    launch_attend<256>(stream, args, first, count, chosen);
  }
}

void launch_merge(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count) {
  if (count == 0) return;
  launch(stream, "merge_splits", merge_splits, count, 1, 1, kThreads, args, reinterpret_cast<const AttendPiece*>(pieces));
}

AttentionCall checked_call(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                           const KvCache& cache, int64_t layer) {
  check_shape(shape, cache.pages, layer);
  check_rows(qkv, batch.tokens, qkv_width(shape), "qkv does not fit the attention layer");
  check_rows(rotations, batch.tokens, rotation_width(shape, cache.pages), "the rotations do not fit the attention layer");
  batch.check_pages(cache.pages.pages, cache.pages.page_tokens);
  return {backend, qkv, rotations, batch, shape, cache, layer};
}

AttendArgs AttentionCall::args() const {
  const SentBatch sent = send_batch(backend, batch);
  AttendArgs args{};
  args.kv = cache.pages;
  args.layer = layer;
  args.qkv = qkv.read(batch.tokens);
  args.qkv_stride = qkv.columns;
  args.rotations = rotations.read(batch.tokens);
  args.rotation_stride = rotations.columns;
  args.pages = sent.pages;
  args.page_stride = sent.page_stride;
  args.scale = shape.scale;
  args.chunk_length = static_cast<int32_t>(shape.chunk_length);
  args.heads = static_cast<int32_t>(shape.heads);
  return args;
}

void rotate_and_store(Backend& backend, Buffer& qkv, Buffer* bias, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                      const KvCache& cache, int64_t layer) {
  check_shape(shape, cache.pages, layer);
  check_rows(qkv, batch.tokens, qkv_width(shape), "qkv does not fit the attention layer");
  check_rows(rotations, batch.tokens, rotation_width(shape, cache.pages), "the rotations do not fit the attention layer");
  if (bias != nullptr) check_rows(*bias, 1, qkv.columns, "the bias does not fit the attention layer");
  batch.check_slots(cache.pages.pages, cache.pages.page_tokens);
  if (batch.tokens == 0) return;
  const SentBatch sent = send_batch(backend, batch);
  StoreArgs args{};
  args.kv = cache.pages;
  args.layer = layer;
  args.qkv = qkv.change(batch.tokens);
  args.heads = static_cast<int32_t>(shape.heads);
  args.first_rotated = shape.chunk_length == 0 ? 0 : args.heads;
  args.rotations = rotations.read(batch.tokens);
  args.rotation_stride = rotations.columns;
  args.slots = sent.slots;
  args.key_bias = bias == nullptr ? nullptr : bias->read(1) + shape.heads * shape.head_size;
  const Stream& stream = backend.context->stream;
  // Before the keys of these pages: tokens of one page are stored by several blocks.
  if (cache.pages.type == kKvInt8) launch(stream, "store_centres", store_centres, batch.tokens, 1, 1, kThreads, args);
  launch(stream, "rotate_and_store", rotate_heads, batch.tokens, 1, 1, kThreads, args);
}

void attention(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape, const KvCache& cache,
               int64_t layer, const IntArray* choice, Buffer& out, Buffer* log_sum_exp) {
  const AttentionCall call = checked_call(backend, qkv, rotations, batch, shape, cache, layer);
  check_rows(out, batch.tokens, times(shape.heads, shape.head_size), "out does not fit the attention layer");
  if (log_sum_exp != nullptr) check_rows(*log_sum_exp, batch.tokens, shape.heads, "log_sum_exp does not fit the attention layer");
  if (batch.tokens == 0) return;
  AttendArgs args = call.args();
  args.out = out.write(batch.tokens);
  args.out_stride = out.columns;
  args.log_sum_exp = log_sum_exp == nullptr ? nullptr : log_sum_exp->write(batch.tokens);
  if (choice == nullptr) {
    attend_all(call, nullptr, args);
    return;
  }
  const ChoiceView keys(*choice, batch, shape.heads, shape.chunk_length);
  attend_chosen(call, args, keys);
  attend_all(call, &keys, args);
}

}  // namespace qw::cuda
