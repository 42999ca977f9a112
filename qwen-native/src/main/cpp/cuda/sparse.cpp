// Attention to chosen keys, and the choice. The device weighs keys and attends; what is sorted and listed is sorted and listed on the host.
#include <cmath>

#include "cuda/flash.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPanelKeys = 16;

// Runs and heads that are weighed together.
struct WeighPiece {
  int32_t sequence;
  int32_t token;   // row of qkv, of the first of the last queries
  int32_t head;
  int32_t length;  // keys that the last query sees
};
constexpr int kWeighInts = sizeof(WeighPiece) / 4;

struct WeighArgs {
  AttendArgs attend;
  const WeighPiece* pieces;
  float* weights;  // [pieces][kChoosingQueries][stride]
  float* sums;     // [pieces][2][stride]: of columns, then of diagonals by distance
  int64_t stride;
};

QW_DEVICE float over_block(float value, float* shared, bool largest) {
  value = largest ? largest_of_lanes(value) : sum_of_lanes(value);
  barrier();
  if (lane_index() == 0) shared[thread_index() / kLanes] = value;
  barrier();
  float all = shared[0];
  for (int i = 1; i < kThreads / kLanes; i++) all = largest ? larger(all, shared[i]) : all + shared[i];
  return all;
}

// A block computes the weights of one query: a softmax over the keys at or before it.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) weigh_query(WeighArgs args, const int32_t* queries) {
  QW_SHARED float query[kQueryRanges * 256];
  QW_SHARED float shared[kThreads / kLanes];
  const WeighPiece piece = args.pieces[block_x()];
  const int count = queries[block_x()], index = static_cast<int>(block_y());
  if (index >= count) return;
  const AttendArgs& a = args.attend;
  const KvPages& kv = a.kv;
  const int size = kv.head_size;
  const int64_t token = piece.token + index;
  const int position = piece.length - count + index;
  const int kv_head = piece.head / (a.heads / kv.kv_heads);
  const int32_t* pages = a.pages + piece.sequence * a.page_stride;
  const float* q = a.qkv + token * a.qkv_stride + static_cast<int64_t>(piece.head) * size;
  const int ranges = a.chunk_length == 0 ? 1 : kQueryRanges;
  for (int i = thread_index(); i < ranges * size; i += kThreads) {
    const int range = i / size, e = i % size;
    const int64_t section = range == 0 ? kSameChunk : range == 1 ? kUncappedChunkBefore : kUncappedOlderChunks;
    query[i] = a.chunk_length == 0 ? q[e] : rotated(q, a.rotations + token * a.rotation_stride + section * size, size / 2, e);
  }
  barrier();
  float* weights = args.weights + (block_x() * kChoosingQueries + index) * args.stride;
  float largest = -infinity();
  for (int key = thread_index(); key <= position; key += kThreads) {
    const uint8_t* head = head_of_page(kv, a.layer, pages[key / kv.page_tokens], kv_head, false);
    const int row = key % kv.page_tokens;
    const float scale = row_scale(kv, head, row);
    const float* rotated_query = query + (a.chunk_length == 0 ? 0 : query_range(position, key, a.chunk_length)) * size;
    float dot = 0;
    for (int e = 0; e < size; e++) dot = fma(rotated_query[e], load_element(kv, head, row, e, false, scale), dot);
    weights[key] = dot * a.scale;
    largest = larger(largest, weights[key]);
  }
  largest = over_block(largest, shared, true);
  float sum = 0;
  for (int key = thread_index(); key <= position; key += kThreads) {
    weights[key] = exponential(weights[key] - largest);
    sum += weights[key];
  }
  sum = over_block(sum, shared, false);
  for (int key = thread_index(); key <= position; key += kThreads) weights[key] = weights[key] / sum;
}

// A thread adds the weights of a key, and those of a distance that all queries have.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) sum_weights(WeighArgs args, const int32_t* queries) {
  const WeighPiece piece = args.pieces[block_y()];
  const int count = queries[block_y()];
  const int64_t at = block_x() * kThreads + thread_index();
  if (at >= piece.length) return;
  const float* weights = args.weights + block_y() * kChoosingQueries * args.stride;
  float column = 0, diagonal = 0;
  for (int i = 0; i < count; i++) {
    const int64_t position = piece.length - count + i;
    if (at > position) continue;
    column += weights[i * args.stride + at];
    diagonal += weights[i * args.stride + position - at];
  }
  float* sums = args.sums + block_y() * 2 * args.stride;
  sums[at] = column;
  sums[args.stride + at] = diagonal;
}

// Places of the `count` largest of `size` values, ascending; of equal ones the first. The first `sure` are among them.
void largest(float* values, int64_t size, int64_t sure, int64_t count, std::vector<int32_t>& order, int32_t* out) {
  order.resize(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; i++) {
    order[static_cast<size_t>(i)] = static_cast<int32_t>(i);
    // What is no number has no place in an order: it is taken first, so that it shows.
    if (i < sure || std::isnan(values[i])) values[i] = INFINITY;
  }
  const auto heavier = [&](int32_t a, int32_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; };
  std::nth_element(order.begin(), order.begin() + count - 1, order.end(), heavier);
  std::sort(order.begin(), order.begin() + count);
  std::copy(order.begin(), order.begin() + count, out);
}

int64_t run_length(const AttentionCall& call, const Run& run) { return int64_t{call.batch.cached[run.sequence]} + run.end; }

int64_t queries_of(const Run& run) { return std::min<int64_t>(kChoosingQueries, run.end - run.begin); }

// Lists of pieces and their keys, run when they are long and at the end.
struct ChosenPieces {
  const AttentionCall& call;
  const AttendArgs& args;
  const bool flash = flash_serves(args.kv);
  const int64_t width = flash ? 32 : tile_keys(call.shape.head_size);  // keys of a mask
  const size_t masks_of_tile = flash ? 2 : 1;
  std::vector<int32_t> pieces{};
  std::vector<int32_t> tiles{};
  std::vector<uint32_t> masks{};

  int32_t tile_count() const { return static_cast<int32_t>(tiles.size() / (1 + masks_of_tile)); }

  void run() {
    const int64_t count = static_cast<int64_t>(pieces.size()) / kPieceInts;
    if (count == 0) return;
    Backend& backend = call.backend;
    const int32_t* sent = backend.attend_pieces.send(backend.context, pieces);
    const int32_t* keys = backend.chosen_pieces.send(backend.context, tiles);
    if (flash) {
      launch_flash_prefill(backend.context->stream, args, backend.fine, sent, count, reinterpret_cast<const FlashTile*>(keys));
    } else {
      launch_pieces(backend.context->stream, args, sent, count, reinterpret_cast<const ChosenTile*>(keys));
    }
    pieces.clear();
    tiles.clear();
  }

  // Masks of the keys of a block of tokens at the positions begin .. end - 1.
  void set_masks(const int32_t* found, int64_t most_columns, int64_t begin, int64_t end) {
    const int64_t tile_width = width * static_cast<int64_t>(masks_of_tile);
    masks.assign(static_cast<size_t>(divide_up(end, tile_width)) * masks_of_tile, found[0] < 0 ? ~0u : 0u);
    if (found[0] < 0) return;
    const int32_t* diagonals = found + 2 + most_columns;
    for (int64_t i = 0; i < found[1] && diagonals[i] < end; i++) {
      const int64_t first = std::max<int64_t>(0, begin - diagonals[i]) / kPanelKeys;
      const int64_t last = (end - 1 - diagonals[i]) / kPanelKeys;
      for (int64_t p = first; p <= last; p++) masks[static_cast<size_t>(p * kPanelKeys / width)] |= 0xffffu << p * kPanelKeys % width;
    }
    for (int64_t i = 0; i < found[0] && found[2 + i] < begin; i++) {
      masks[static_cast<size_t>(found[2 + i] / width)] |= 1u << found[2 + i] % width;
    }
  }

  void add(const Run& run, int64_t head, const int32_t* found, int64_t most_columns, int64_t begin) {
    const int64_t end = std::min<int64_t>(run.end, begin + kBlockTokens);
    const int64_t cached = call.batch.cached[run.sequence];
    set_masks(found, most_columns, cached + begin, cached + end);
    const int32_t first = tile_count();
    for (size_t i = 0; i < masks.size(); i += masks_of_tile) {
      if ((masks[i] | masks[i + masks_of_tile - 1]) == 0) continue;
      tiles.push_back(static_cast<int32_t>(i / masks_of_tile));
      for (size_t k = i; k < i + masks_of_tile; k++) tiles.push_back(static_cast<int32_t>(masks[k]));
    }
    const int64_t rows = flash ? flash_prefill_rows(args.kv, call.backend.fine) : piece_rows(call.shape.head_size);
    for (int64_t t = begin; t < end; t += rows) {
      AttendPiece piece{};
      piece.sequence = run.sequence;
      piece.token = static_cast<int32_t>(call.batch.starts[run.sequence] + t);
      piece.tokens = static_cast<int32_t>(std::min(rows, end - t));
      piece.head = static_cast<int32_t>(head);
      piece.heads = 1;
      piece.limit = static_cast<int32_t>(cached + t + 1);
      piece.split_end = static_cast<int32_t>(divide_up(cached + t + std::min(rows, end - t), kSplitKeys));
      piece.part = -1;
      piece.chosen = first;
      piece.masks = tile_count() - first;
      const int32_t* values = reinterpret_cast<const int32_t*>(&piece);
      pieces.insert(pieces.end(), values, values + kPieceInts);
    }
    if (tile_count() >= kMostTiles) this->run();
  }
};

}  // namespace

void attend_chosen(const AttentionCall& call, const AttendArgs& args, const ChoiceView& choice) {
  for (int64_t r = 0; r < choice.runs; r++) {
    for (int64_t h = 0; h < choice.heads; h++) choice.check_choice(r, h, run_length(call, choice.run[r]));
  }
  ChosenPieces chosen{call, args};
  for (int64_t r = 0; r < choice.runs; r++) {
    const Run& run = choice.run[r];
    for (int64_t h = 0; h < choice.heads; h++) {
      for (int64_t begin = run.begin; begin < run.end; begin += kBlockTokens) {
        chosen.add(run, h, choice.choice(r, h), choice.most_columns, begin);
      }
    }
  }
  chosen.run();
}

void choose_keys(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                 const KvCache& cache, int64_t layer, const IntArray& array) {
  const AttentionCall call = checked_call(backend, qkv, rotations, batch, shape, cache, layer);
  const ChoiceView choice(array, batch, shape.heads, shape.chunk_length);
  struct Wanted {
    int64_t run, head;
  };
  std::vector<Wanted> wanted;
  int64_t stride = 0;
  for (int64_t h = 0; h < choice.heads; h++) {
    const int32_t* budget = choice.budgets + 2 * h;
    require(budget[0] >= kSureColumns && budget[0] <= choice.most_columns && budget[1] >= kSureDiagonals && budget[1] <= choice.most_diagonals,
            "a budget of the choice is out of its range");
    for (int64_t r = 0; r < choice.runs; r++) {
      const int64_t length = run_length(call, choice.run[r]), distances = length - queries_of(choice.run[r]) + 1;
      int32_t* found = choice.choice(r, h);
      if (length < kShortestSparse || budget[0] >= length || budget[1] >= distances) {
        found[0] = -1;
        found[1] = 0;
        continue;
      }
      wanted.push_back({r, h});
      stride = std::max(stride, length);
    }
  }
  if (wanted.empty()) return;
  WeighArgs args{};
  args.attend = call.args();
  args.stride = stride;
  const int64_t piece_bytes = times(stride, (kChoosingQueries + 2) * 4);
  const int64_t at_once = std::min<int64_t>(static_cast<int64_t>(wanted.size()), std::max<int64_t>(1, kMostWeightBytes / piece_bytes));
  backend.key_weights.grow(backend.context, times(at_once, piece_bytes));
  args.weights = reinterpret_cast<float*>(backend.key_weights.data());
  args.sums = args.weights + at_once * kChoosingQueries * stride;
  std::vector<int32_t> order, ints;
  for (size_t begin = 0; begin < wanted.size(); begin += static_cast<size_t>(at_once)) {
    const size_t end = std::min(wanted.size(), begin + static_cast<size_t>(at_once));
    const int64_t count = static_cast<int64_t>(end - begin);
    ints.clear();
    for (size_t i = begin; i < end; i++) {
      const Run& run = choice.run[wanted[i].run];
      const int64_t first = batch.starts[run.sequence] + run.end - queries_of(run);
      for (int64_t value : {int64_t{run.sequence}, first, wanted[i].head, run_length(call, run)}) ints.push_back(static_cast<int32_t>(value));
    }
    for (size_t i = begin; i < end; i++) ints.push_back(static_cast<int32_t>(queries_of(choice.run[wanted[i].run])));
    const int32_t* sent = backend.attend_pieces.send(backend.context, ints);
    const int32_t* queries = sent + count * kWeighInts;
    args.pieces = reinterpret_cast<const WeighPiece*>(sent);
    Stream& stream = backend.context->stream;
    launch(stream, "weigh_query", weigh_query, count, kChoosingQueries, 1, kThreads, args, queries);
    launch(stream, "sum_weights", sum_weights, divide_up(stride, kThreads), count, 1, kThreads, args, queries);
    backend.floats.resize(static_cast<size_t>(count * 2 * stride));
    stream.copy_to_host(backend.floats.data(), args.sums, count * 2 * stride * 4);
    for (size_t i = begin; i < end; i++) {
      const Run& run = choice.run[wanted[i].run];
      const int64_t length = run_length(call, run), distances = length - queries_of(run) + 1;
      float* sums = backend.floats.data() + static_cast<int64_t>(i - begin) * 2 * stride;
      int32_t* found = choice.choice(wanted[i].run, wanted[i].head);
      const int32_t* budget = choice.budgets + 2 * wanted[i].head;
      found[0] = budget[0];
      found[1] = budget[1];
      largest(sums, length, kSureColumns, budget[0], order, found + 2);
      largest(sums + stride, distances, kSureDiagonals, budget[1], order, found + 2 + choice.most_columns);
    }
  }
}

}  // namespace qw::cuda
