// Attention on tensor cores; what prefill and decode share. A block has some rows (a row is a token and a query head) and reads the keys
// and values of their kv head in tiles of 64 keys at fixed places, one tile ahead. A warp has 16 rows and all of their columns, or with
// several column warps a part of the columns of the same rows, whose scores each of them computes: a row's bits are the same either way.
#pragma once

#include "cuda/attention.h"
#include "cuda/tensor.h"

namespace qw::cuda {

constexpr int kFlashKeys = 64;
constexpr int kFlashSplitTiles = kSplitKeys / kFlashKeys;
// Centres of the pages that a tile of 8-bit keys touches, the columns of one product.
constexpr int kFlashCentres = 8;

// kSize: elements of a row in shared memory, at least the head size. Integers of 8 bits are exact in 16: of keys they become f16, for which
// queries keep most bits; of values bf16, because their scales are taken to the weights, which may then be smaller than f16 holds.
template <int kSizeOf, int kTypeOf, bool kFineOf, int kRowWarpsOf, int kColumnWarpsOf>
struct FlashShape {
  static constexpr int kSize = kSizeOf;
  static constexpr bool kFine = kFineOf;
  static constexpr bool kInt8 = kTypeOf == kKvInt8;
  static constexpr bool kHalfKeys = kTypeOf != kKvBF16;
  static constexpr bool kHalfValues = kTypeOf == kKvF16;
  static constexpr int kColumnWarps = kColumnWarpsOf;
  static constexpr int kWarps = kRowWarpsOf * kColumnWarpsOf;
  static constexpr int kThreads = kWarps * kLanes;
  static constexpr int kRows = 16 * kRowWarpsOf;
  static constexpr int kColumns = kSize / kColumnWarps;  // of a warp
  static constexpr int kParts = kColumns / 8;            // of 8 columns
  static constexpr int kRowBytes = 2 * kSize;
  static constexpr int kTileBytes = kFlashKeys * kRowBytes;
  static constexpr int kQueryBytes = kRows * kRowBytes;
  static constexpr int kStoredRowBytes = kInt8 ? kSize : 2 * kSize;
  static constexpr int kStoredBytes = kFlashKeys * kStoredRowBytes;
  static constexpr int kStageBytes = 2 * kStoredBytes + (kInt8 ? kFlashCentres * kRowBytes : 0);
  // That fit a processor of compute capability 9.0, by registers and shared memory.
  static constexpr int kTogether = kWarps >= 8 ? 1 : kColumnWarps == 4 ? 3 : 2;
  static constexpr int kSharedBytes = (kFine ? 2 : 1) * kQueryBytes + 2 * kStageBytes + (kInt8 ? 2 * kTileBytes : 0);
  static_assert(kThreads >= kFlashKeys + kFlashCentres && kThreads >= kSize, "threads locate rows and copy centres");
  static_assert(kColumns % 16 == 0, "values are loaded for 16 columns");
};

// Chosen keys of a tile.
struct FlashTile {
  int32_t tile;
  uint32_t masks[2];
};

// Place of 16 bytes of a row in a tile. Those of eight rows side by side are in different banks.
template <int kRowBytes>
QW_DEVICE int flash_place(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

template <bool kHalf>
QW_DEVICE void multiply16(float (&d)[4], const uint32_t (&a)[4], uint32_t low, uint32_t high) {
  const uint32_t b[2] = {low, high};
  if (kHalf) {
    multiply_half(d, a, b);
  } else {
    multiply_bf16(d, a, b);
  }
}
template <bool kHalf>
QW_DEVICE uint32_t pack16(float low, float high) {
  return kHalf ? pack_half(low, high) : pack_bf16(low, high);
}
// What is left of two values behind pack16.
template <bool kHalf>
QW_DEVICE uint32_t pack16_rest(uint32_t packed, float low, float high) {
  const uint16_t a = static_cast<uint16_t>(packed), b = static_cast<uint16_t>(packed >> 16);
  return pack16<kHalf>(low - (kHalf ? from_half(a) : from_bf16(a)), high - (kHalf ? from_half(b) : from_bf16(b)));
}
template <bool kHalf>
QW_DEVICE bool finite16(uint32_t bits) {
  constexpr uint32_t kExponent = kHalf ? 0x7c00 : 0x7f80;
  return (bits & kExponent) != kExponent;
}

QW_DEVICE float sum_of_four_lanes(float value) {
  value += exchange(value, 1);
  return value + exchange(value, 2);
}
QW_DEVICE float largest_of_four_lanes(float value) {
  value = larger(value, exchange(value, 1));
  return larger(value, exchange(value, 2));
}

// Scores are logarithms to base 2. A row that has seen nothing has {-infinity, 0}.
struct FlashSeen {
  float largest;
  float sum;
};
QW_DEVICE float flash_factor(float largest, float next) { return largest == -infinity() ? 0.f : power_of_two(largest - next); }
// Adds what a split has seen; sums s become fma(s, factor, next * next_factor).
QW_DEVICE FlashSeen flash_merge(const FlashSeen& all, const FlashSeen& next, float& factor, float& next_factor) {
  const float largest = larger(all.largest, next.largest);
  factor = flash_factor(all.largest, largest);
  next_factor = flash_factor(next.largest, largest);
  return {largest, fma(all.sum, factor, next.sum * next_factor)};
}
QW_DEVICE float flash_log_sum_exp(const FlashSeen& seen) { return fma(seen.largest, 0.693147181f, logarithm(seen.sum)); }

// What the thread of a key in 8 bits keeps of it until the tile before is done.
struct FlashScales {
  float key;
  float value;
  int32_t page;  // whose centre holds for it, of those that the tile touches
};

// Shared memory of a block besides tiles. Of two tiles: the one that is computed and the one that is copied.
template <class F>
struct FlashTables {
  // What all threads know and few need often: registers are for sums.
  AttendPiece piece;
  const uint8_t* memory;  // of the cache's layer and head
  const int32_t* pages_of_sequence;
  int32_t rows;
  int32_t most;  // keys that the last row sees
  int32_t first_tile;
  int32_t tiles;
  // Places of keys in that memory, in units of 16 bytes, or kNowhere.
  uint32_t places[2][kFlashKeys];
  // Tiles in which a bad value was found last: in any key, in a key.
  int32_t bad;
  int32_t bad_keys[kFlashKeys];
  // With kInt8 only.
  static constexpr int kTwo = F::kInt8 ? 2 : 1;
  static constexpr int kKeys = F::kInt8 ? kFlashKeys : 1;
  uint32_t centres[kTwo][kFlashCentres];
  float scales[kTwo][2][kKeys];
  uint8_t pages[kTwo][kKeys];  // which of the centres holds for a key
  float centred[F::kInt8 ? F::kWarps : 1][F::kInt8 ? 16 * kFlashCentres : 1];
};
constexpr uint32_t kNowhere = ~0u;

template <class F>
struct FlashBlock {
  const AttendArgs& args;
  const FlashTile* chosen;  // of the piece, or null
  FlashTables<F>& tables;
  uint8_t* queries;
  uint8_t* stages;
  uint8_t* keys_and_values;  // with kInt8: the tile as 16 bits
  int range;  // whose rotation the queries have, or -1

  QW_DEVICE void begin(const AttendPiece& piece) {
    const KvPages& kv = args.kv;
    tables.piece = piece;
    const int kv_head = piece.head / (args.heads / kv.kv_heads);
    tables.memory = kv.memory + args.layer * kv.pages * kv.page_bytes + kv_head * kv.head_bytes;
    tables.pages_of_sequence = args.pages + piece.sequence * args.page_stride;
    tables.rows = piece.tokens * piece.heads;
    tables.most = piece.limit + piece.tokens - 1;
    tables.first_tile = piece.split_begin * kFlashSplitTiles;
    const int all = (tables.most + kFlashKeys - 1) / kFlashKeys, end = piece.split_end * kFlashSplitTiles;
    tables.tiles = chosen != nullptr ? piece.masks : (all < end ? all : end) - tables.first_tile;
    tables.bad = -1;
    for (int key = 0; key < kFlashKeys; key++) tables.bad_keys[key] = -1;
  }
  QW_DEVICE int tile(int i) const { return chosen == nullptr ? tables.first_tile + i : chosen[i].tile; }
  QW_DEVICE int limit(int row) const { return tables.piece.limit + (row < tables.rows ? row : tables.rows - 1) / tables.piece.heads; }

  // Queries are multiplied with the scale in advance: so they are far from the end of f16, and scores are logarithms to base 2.
  QW_DEVICE void fill_queries() {
    const AttendPiece& piece = tables.piece;
    const int size = args.kv.head_size;
    const float scale = args.scale * 1.44269504f;
    QW_ROLLED for (int i = thread_index(); i < F::kRows * F::kSize / 2; i += F::kThreads) {
      const int row = i / (F::kSize / 2), e = i % (F::kSize / 2) * 2;
      float x[2] = {0.f, 0.f};
      if (row < tables.rows && e < size) {
        const int64_t token = piece.token + row / piece.heads;
        const float* q = args.qkv + token * args.qkv_stride + static_cast<int64_t>(piece.head + row % piece.heads) * size;
        const float* rotation = args.rotations + token * args.rotation_stride + (kSameChunk + range) * size;
        QW_UNROLL for (int k = 0; k < 2; k++) x[k] = scale * (args.chunk_length == 0 ? q[e + k] : rotated(q, rotation, size / 2, e + k));
      }
      const int at = flash_place<F::kRowBytes>(row, e / 8) + e % 8 * 2;
      const uint32_t packed = pack16<F::kHalfKeys>(x[0], x[1]);
      *reinterpret_cast<uint32_t*>(queries + at) = packed;
      if (F::kFine) *reinterpret_cast<uint32_t*>(queries + F::kQueryBytes + at) = pack16_rest<F::kHalfKeys>(packed, x[0], x[1]);
    }
  }

  // Finds the rows of tile i; returns what belongs to the thread's key.
  QW_DEVICE FlashScales locate(int i) {
    FlashScales scales{0.f, 0.f, 0};
    if (i >= tables.tiles) return scales;
    const KvPages& kv = args.kv;
    const int thread = thread_index(), begin = tile(i) * kFlashKeys;
    if (thread < kFlashKeys) {
      const int key = begin + thread;
      uint32_t at = kNowhere;
      if (key < tables.most) {
        const int page = key / kv.page_tokens, token = key - page * kv.page_tokens;
        const int64_t head = tables.pages_of_sequence[page] * kv.page_bytes;
        at = static_cast<uint32_t>((head + token * kv.row_bytes) / 16);
        if (F::kInt8) {
          const float* of_page = reinterpret_cast<const float*>(tables.memory + head + kv.scales);
          scales = {of_page[token], reinterpret_cast<const float*>(tables.memory + head + kv.values + kv.scales)[token],
                    page - begin / kv.page_tokens};
        }
      }
      tables.places[i & 1][thread] = at;
    } else if (F::kInt8 && thread < kFlashKeys + kFlashCentres) {
      const int page = begin / kv.page_tokens + thread - kFlashKeys;
      const int key = page * kv.page_tokens;
      tables.centres[i & 1][thread - kFlashKeys] =
          key < tables.most && key < begin + kFlashKeys
              ? static_cast<uint32_t>((tables.pages_of_sequence[page] * kv.page_bytes + kv.centre) / 16)
              : kNowhere;
    }
    return scales;
  }
  QW_DEVICE void keep(int i, const FlashScales& scales) {
    if (!F::kInt8 || thread_index() >= kFlashKeys) return;
    tables.scales[i & 1][0][thread_index()] = scales.key;
    tables.scales[i & 1][1][thread_index()] = scales.value;
    tables.pages[i & 1][thread_index()] = static_cast<uint8_t>(scales.page);
  }

  // Rows behind the last key, and columns behind the head's, become zeros.
  QW_DEVICE void copy(int i) {
    if (i >= tables.tiles) return;
    constexpr int kChunks = F::kStoredRowBytes / 16;
    const KvPages& kv = args.kv;
    uint8_t* stage = stages + (i & 1) * F::kStageBytes;
    const uint8_t* memory = tables.memory;
    const int chunk = thread_index() % kChunks;
    QW_UNROLL for (int k = 0; k < kFlashKeys * kChunks / F::kThreads; k++) {
      const int row = thread_index() / kChunks + k * (F::kThreads / kChunks);
      const uint32_t at = tables.places[i & 1][row];
      const bool inside = at != kNowhere && chunk * 16 < kv.row_bytes;
      const uint8_t* from = memory + (inside ? static_cast<int64_t>(at + chunk) * 16 : 0);
      const int to = F::kInt8 ? row * F::kStoredRowBytes + chunk * 16 : flash_place<F::kRowBytes>(row, chunk);
      copy_async(stage + to, from, inside);
      copy_async(stage + F::kStoredBytes + to, from + (inside ? kv.values : 0), inside);
    }
    if (F::kInt8 && thread_index() < F::kSize) {
      const int row = thread_index() / (F::kSize / 8), centre_chunk = thread_index() % (F::kSize / 8);
      const uint32_t at = tables.centres[i & 1][row];
      const bool inside = at != kNowhere && centre_chunk * 8 < kv.head_size;
      copy_async(stage + 2 * F::kStoredBytes + flash_place<F::kRowBytes>(row, centre_chunk),
                 memory + (inside ? static_cast<int64_t>(at + centre_chunk) * 16 : 0), inside);
    }
  }

  // 16 integers as 16 bits each. Behind the bits of 2^23 stands the integer plus 128.
  template <bool kHalf>
  QW_DEVICE static void widen(const uint8_t* from, uint8_t* to, int row, int chunk) {
    const Words4 words = *reinterpret_cast<const Words4*>(from);
    const uint32_t in[4] = {words.x, words.y, words.z, words.w};
    uint32_t out[8];
    QW_UNROLL for (int w = 0; w < 4; w++) {
      const uint32_t shifted = in[w] ^ 0x80808080u;
      float x[4];
      QW_UNROLL for (uint32_t k = 0; k < 4; k++) x[k] = float_of(permute(shifted, 0x4b000000u, 0x7440u | k)) - 8388736.f;
      out[2 * w] = pack16<kHalf>(x[0], x[1]);
      out[2 * w + 1] = pack16<kHalf>(x[2], x[3]);
    }
    *reinterpret_cast<Words4*>(to + flash_place<F::kRowBytes>(row, 2 * chunk)) = {out[0], out[1], out[2], out[3]};
    *reinterpret_cast<Words4*>(to + flash_place<F::kRowBytes>(row, 2 * chunk + 1)) = {out[4], out[5], out[6], out[7]};
  }
  QW_DEVICE void widen_tile(int i) {
    constexpr int kChunks = F::kStoredRowBytes / 16;
    const uint8_t* stage = stages + (i & 1) * F::kStageBytes;
    QW_ROLLED for (int k = thread_index(); k < kFlashKeys * kChunks; k += F::kThreads) {
      widen<F::kHalfKeys>(stage + k * 16, keys_and_values, k / kChunks, k % kChunks);
      widen<F::kHalfValues>(stage + F::kStoredBytes + k * 16, keys_and_values + F::kTileBytes, k / kChunks, k % kChunks);
    }
  }
  QW_DEVICE uint8_t* keys(int i) const { return F::kInt8 ? keys_and_values : stages + (i & 1) * F::kStageBytes; }
  QW_DEVICE uint8_t* values(int i) const { return keys(i) + F::kTileBytes; }
};

// The rows of a warp: lane / 4 and lane / 4 + 8 of its 16 are those of a thread, its columns 2 (lane % 4) and the next of each part.
template <class F>
struct FlashRows {
  FlashBlock<F>& block;
  int row;     // of the block, the warp's first
  int column;  // the warp's first
  float sums[F::kParts][4];  // of the split
  float all[F::kParts][4];   // of the splits before
  float largest[2];          // of the split
  float sum[2];              // of the split, over the thread's own keys
  FlashSeen seen[2];         // of the splits before

  QW_DEVICE void begin_split() {
    QW_UNROLL for (int p = 0; p < F::kParts; p++) {
      QW_UNROLL for (int k = 0; k < 4; k++) sums[p][k] = 0.f;
    }
    QW_UNROLL for (int r = 0; r < 2; r++) {
      largest[r] = -infinity();
      sum[r] = 0.f;
    }
  }
  QW_DEVICE void begin() {
    QW_UNROLL for (int p = 0; p < F::kParts; p++) {
      QW_UNROLL for (int k = 0; k < 4; k++) all[p][k] = 0.f;
    }
    QW_UNROLL for (int r = 0; r < 2; r++) seen[r] = {-infinity(), 0.f};
    begin_split();
  }
  QW_DEVICE void end_split() {
    QW_UNROLL for (int r = 0; r < 2; r++) {
      float factor, next_factor;
      seen[r] = flash_merge(seen[r], {largest[r], sum_of_four_lanes(sum[r])}, factor, next_factor);
      QW_UNROLL for (int p = 0; p < F::kParts; p++) {
        QW_UNROLL for (int k = 2 * r; k < 2 * r + 2; k++) all[p][k] = fma(all[p][k], factor, sums[p][k] * next_factor);
      }
    }
  }
  QW_DEVICE int thread_row(int r) const { return row + lane_index() / 4 + 8 * r; }

  // Of the 16 x 16 elements whose rows are at `rows`, the address that a lane names for a product's left side, less those of columns.
  QW_DEVICE static int left_place(int rows) {
    const int lane = lane_index();
    return flash_place<F::kRowBytes>(rows + (lane / 8 & 1) * 8 + lane % 8, lane / 16);
  }
  QW_DEVICE static int right_place() {
    const int lane = lane_index();
    return flash_place<F::kRowBytes>(lane / 16 * 8 + lane % 8, lane / 8 & 1);
  }

  QW_DEVICE void load_queries(int at, int k, uint32_t (&q)[4], uint32_t (&rest)[4]) const {
    load_matrices(q, block.queries + (at ^ k << 5));
    if (F::kFine) load_matrices(rest, block.queries + F::kQueryBytes + (at ^ k << 5));
  }
  QW_DEVICE static void add_products(float (&d)[4], const uint32_t (&q)[4], const uint32_t (&rest)[4], uint32_t low, uint32_t high) {
    multiply16<F::kHalfKeys>(d, q, low, high);
    if (F::kFine) multiply16<F::kHalfKeys>(d, rest, low, high);
  }

  QW_DEVICE void score(int i, float (&s)[8][4]) const {
    const int queries_at = left_place(row), keys_at = right_place();
    const uint8_t* keys = block.keys(i);
    QW_UNROLL for (int p = 0; p < 8; p++) {
      QW_UNROLL for (int k = 0; k < 4; k++) s[p][k] = 0.f;
    }
    QW_UNROLL_TWO for (int k = 0; k < F::kSize / 16; k++) {
      uint32_t q[4], rest[4];
      load_queries(queries_at, k, q, rest);
      QW_UNROLL for (int p = 0; p < 4; p++) {
        uint32_t m[4];
        load_matrices(m, keys + p * 16 * F::kRowBytes + (keys_at ^ k << 5));
        add_products(s[2 * p], q, rest, m[0], m[1]);
        add_products(s[2 * p + 1], q, rest, m[2], m[3]);
      }
    }
    score_centres(i);
    QW_UNROLL for (int p = 0; p < 8; p++) scale_scores(i, p, s[p]);
  }

  // The same products in the same order, of which only those with keys of a range are taken. For tiles in which chunks meet: slower, but
  // without registers for a second set of scores.
  QW_DEVICE void score_range(int i, int range, float (&s)[8][4]) const {
    const int chunk = block.args.chunk_length;
    int chunk_begin[2];
    QW_UNROLL for (int r = 0; r < 2; r++) chunk_begin[r] = (block.limit(thread_row(r)) - 1) / chunk * chunk;
    const int queries_at = left_place(row), keys_at = right_place();
    const uint8_t* keys = block.keys(i);
    score_centres(i);
    QW_UNROLL for (int p = 0; p < 4; p++) {
      float d[2][4] = {{0.f, 0.f, 0.f, 0.f}, {0.f, 0.f, 0.f, 0.f}};
      QW_ROLLED for (int k = 0; k < F::kSize / 16; k++) {
        uint32_t q[4], rest[4], m[4];
        load_queries(queries_at, k, q, rest);
        load_matrices(m, keys + p * 16 * F::kRowBytes + (keys_at ^ k << 5));
        add_products(d[0], q, rest, m[0], m[1]);
        add_products(d[1], q, rest, m[2], m[3]);
      }
      QW_UNROLL for (int n = 0; n < 2; n++) {
        scale_scores(i, 2 * p + n, d[n]);
        QW_UNROLL for (int k = 0; k < 4; k++) {
          const int key = block.tile(i) * kFlashKeys + 8 * (2 * p + n) + lane_index() % 4 * 2 + k % 2, begin = chunk_begin[k / 2];
          const int of_key = key >= begin ? 0 : key >= begin - chunk ? 1 : 2;
          if (of_key == range) s[2 * p + n][k] = d[n][k];
        }
      }
    }
  }

  // Products of the rows with the centres of the tile's pages.
  QW_DEVICE void score_centres(int i) const {
    if (!F::kInt8) return;
    const int lane = lane_index(), queries_at = left_place(row);
    const uint8_t* centres = block.stages + (i & 1) * F::kStageBytes + 2 * F::kStoredBytes;
    float d[4] = {0.f, 0.f, 0.f, 0.f};
    QW_UNROLL for (int k = 0; k < F::kSize / 16; k += 2) {
      uint32_t m[4];
      load_matrices(m, centres + flash_place<F::kRowBytes>(lane % 8, 2 * k + lane / 8));
      QW_UNROLL for (int n = 0; n < 2; n++) {
        uint32_t q[4], rest[4];
        load_queries(queries_at, k + n, q, rest);
        add_products(d, q, rest, m[2 * n], m[2 * n + 1]);
      }
    }
    float* centred = block.tables.centred[thread_index() / kLanes];
    warp_barrier();  // all lanes have read what was there
    QW_UNROLL for (int k = 0; k < 4; k++) centred[(lane / 4 + k / 2 * 8) * kFlashCentres + lane % 4 * 2 + k % 2] = d[k];
    warp_barrier();
  }
  QW_DEVICE void scale_scores(int i, int part, float (&s)[4]) const {
    if (!F::kInt8) return;
    const int lane = lane_index();
    QW_UNROLL for (int k = 0; k < 4; k++) {
      const int key = 8 * part + lane % 4 * 2 + k % 2;
      s[k] = fma(s[k], block.tables.scales[i & 1][0][key],
                 block.tables.centred[thread_index() / kLanes][(lane / 4 + k / 2 * 8) * kFlashCentres + block.tables.pages[i & 1][key]]);
    }
  }

  QW_DEVICE bool sees(int i, int r, int key) const {
    const bool is_chosen = block.chosen == nullptr || (block.chosen[i].masks[key / 32] >> key % 32 & 1) != 0;
    return is_chosen && block.tile(i) * kFlashKeys + key < block.limit(thread_row(r));
  }

  // Makes scores that are not seen -infinity.
  QW_DEVICE void hide(int i, float (&s)[8][4]) const {
    uint32_t masks[2] = {~0u, ~0u};
    if (block.chosen != nullptr) {
      masks[0] = block.chosen[i].masks[0];
      masks[1] = block.chosen[i].masks[1];
    }
    QW_UNROLL for (int r = 0; r < 2; r++) {
      const int left = block.limit(thread_row(r)) - block.tile(i) * kFlashKeys;
      QW_UNROLL for (int p = 0; p < 8; p++) {
        QW_UNROLL for (int k = 0; k < 2; k++) {
          const int key = 8 * p + lane_index() % 4 * 2 + k;
          if (key >= left || (masks[p / 4] >> key % 32 & 1) == 0) s[p][2 * r + k] = -infinity();
        }
      }
    }
  }

  // Scores become weights relative to the largest score; what was summed before is made relative to it too.
  QW_DEVICE void weigh(float (&s)[8][4]) {
    QW_UNROLL for (int r = 0; r < 2; r++) {
      float next = -infinity();
      QW_UNROLL for (int p = 0; p < 8; p++) next = larger(next, larger(s[p][2 * r], s[p][2 * r + 1]));
      next = larger(largest[r], largest_of_four_lanes(next));
      const float factor = flash_factor(largest[r], next);
      // A row that sees nothing yet has weights of 2^-infinity.
      const float reference = next == -infinity() ? 0.f : next;
      float added = 0.f;
      QW_UNROLL for (int p = 0; p < 8; p++) {
        QW_UNROLL for (int k = 2 * r; k < 2 * r + 2; k++) {
          s[p][k] = power_of_two(s[p][k] - reference);
          added += s[p][k];
        }
      }
      sum[r] = fma(sum[r], factor, added);
      largest[r] = next;
      QW_UNROLL for (int p = 0; p < F::kParts; p++) {
        QW_UNROLL for (int k = 2 * r; k < 2 * r + 2; k++) sums[p][k] *= factor;
      }
    }
  }

  // Scores' fragments are those of the left side of the next product.
  QW_DEVICE void add_values(int i, float (&s)[8][4]) {
    if (F::kInt8) {
      QW_UNROLL for (int p = 0; p < 8; p++) {
        QW_UNROLL for (int k = 0; k < 4; k++) {
          // The scale of a value that is not seen may be no number.
          s[p][k] = s[p][k] == 0.f ? 0.f : s[p][k] * block.tables.scales[i & 1][1][8 * p + lane_index() % 4 * 2 + k % 2];
        }
      }
    }
    const uint8_t* values = block.values(i);
    const int values_at = left_place(0) ^ column << 1;
    uint32_t w[4][4], rest[4][4];
    QW_UNROLL for (int k = 0; k < 4; k++) {
      QW_UNROLL for (int n = 0; n < 4; n++) {
        const float low = s[2 * k + n / 2][n % 2 * 2], high = s[2 * k + n / 2][n % 2 * 2 + 1];
        w[k][n] = pack16<F::kHalfValues>(low, high);
        rest[k][n] = F::kFine ? pack16_rest<F::kHalfValues>(w[k][n], low, high) : 0u;
      }
    }
    QW_UNROLL for (int p = 0; p < F::kParts; p += 2) {
      QW_UNROLL for (int k = 0; k < 4; k++) {
        uint32_t m[4];
        load_matrices_transposed(m, values + k * 16 * F::kRowBytes + (values_at ^ p << 4));
        QW_UNROLL for (int n = 0; n < 2; n++) {
          multiply16<F::kHalfValues>(sums[p + n], w[k], m[2 * n], m[2 * n + 1]);
          if (F::kFine) multiply16<F::kHalfValues>(sums[p + n], rest[k], m[2 * n], m[2 * n + 1]);
        }
      }
    }
  }

  // Rows that see a bad value become no number.
  QW_DEVICE void spoil(int i) {
    QW_ROLLED for (int key = 0; key < kFlashKeys; key++) {
      if (block.tables.bad_keys[key] != i) continue;
      QW_UNROLL for (int r = 0; r < 2; r++) {
        if (sees(i, r, key)) sum[r] = not_a_number();
      }
    }
  }

  QW_DEVICE void store_part() const {
    const AttendArgs& args = block.args;
    const int size = args.kv.head_size;
    float* part = args.parts + block.tables.piece.part * args.part_floats;
    QW_UNROLL for (int r = 0; r < 2; r++) {
      const float whole = sum_of_four_lanes(sum[r]);
      const int at = thread_row(r);
      if (at >= block.tables.rows) continue;
      QW_UNROLL for (int p = 0; p < F::kParts; p++) {
        const int to = column + 8 * p + lane_index() % 4 * 2;
        if (to < size) *reinterpret_cast<Floats2*>(part + at * size + to) = {sums[p][2 * r], sums[p][2 * r + 1]};
      }
      if (column == 0 && lane_index() % 4 == 0) *reinterpret_cast<Floats2*>(part + F::kRows * size + 2 * at) = {largest[r], whole};
    }
  }
  QW_DEVICE void store() const {
    const AttendArgs& args = block.args;
    const int size = args.kv.head_size;
    QW_UNROLL for (int r = 0; r < 2; r++) {
      const int at = thread_row(r);
      if (at >= block.tables.rows) continue;
      const AttendPiece& piece = block.tables.piece;
      const int64_t token = piece.token + at / piece.heads, head = piece.head + at % piece.heads;
      float* out = args.out + token * args.out_stride + head * size;
      const float inverse = 1.f / seen[r].sum;
      QW_UNROLL for (int p = 0; p < F::kParts; p++) {
        const int to = column + 8 * p + lane_index() % 4 * 2;
        if (to < size) *reinterpret_cast<Floats2*>(out + to) = {all[p][2 * r] * inverse, all[p][2 * r + 1] * inverse};
      }
      if (args.log_sum_exp != nullptr && column == 0 && lane_index() % 4 == 0) {
        args.log_sum_exp[token * args.heads + head] = flash_log_sum_exp(seen[r]);
      }
    }
  }
};

// A value that some rows do not see must not reach their sums, and nothing times zero is zero only if it is finite. Where it is not, rows
// that see it are spoilt, in all their columns, and it becomes zero.
template <class F>
QW_DEVICE void take_out_bad_values(FlashBlock<F>& block, FlashRows<F>& warp, int i, bool works) {
  uint16_t* values = reinterpret_cast<uint16_t*>(block.values(i));
  QW_ROLLED for (int k = thread_index(); k < kFlashKeys * F::kSize / 8; k += F::kThreads) {
    const Words4 words = reinterpret_cast<const Words4*>(values)[k];
    const auto finite = [](uint32_t word) { return finite16<F::kHalfValues>(word) && finite16<F::kHalfValues>(word >> 16); };
    if (finite(words.x) && finite(words.y) && finite(words.z) && finite(words.w)) continue;
    block.tables.bad = i;
    block.tables.bad_keys[k / (F::kSize / 8)] = i;
  }
  barrier();
  if (block.tables.bad != i) return;
  if (works) warp.spoil(i);
  barrier();
  QW_ROLLED for (int k = thread_index(); k < kFlashKeys * F::kSize; k += F::kThreads) {
    if (!finite16<F::kHalfValues>(values[k])) values[k] = 0;
  }
  barrier();
}

// A block computes a piece: all splits of its rows, which it finishes, or one split.
template <class F>
QW_KERNEL QW_LAUNCH_RESIDENT(F::kThreads, F::kTogether)
    flash_attend(AttendArgs args, const AttendPiece* pieces, const FlashTile* chosen) {
  QW_SHARED FlashTables<F> tables;
  const AttendPiece* own = pieces + block_x();
  if (own->tokens == 0) return;
  uint8_t* shared = launch_shared();
  uint8_t* stages = shared + (F::kFine ? 2 : 1) * F::kQueryBytes;
  FlashBlock<F> block{args, chosen == nullptr ? nullptr : chosen + own->chosen, tables, shared, stages, stages + 2 * F::kStageBytes, -1};
  if (thread_index() == 0) block.begin(*own);
  barrier();
  const AttendPiece& piece = tables.piece;
  const int warp_index = thread_index() / kLanes;
  FlashRows<F> warp{block, warp_index / F::kColumnWarps * 16, warp_index % F::kColumnWarps * F::kColumns, {}, {}, {}, {}, {}};
  warp.begin();
  const bool has_rows = warp.row < block.tables.rows;
  const int least_limit = block.limit(warp.row), most_limit = block.limit(warp.row + 15);
  block.keep(0, block.locate(0));
  FlashScales scales = block.locate(1);
  barrier();
  block.copy(0);
  end_copies();
  // Beside the first tile's way.
  const bool chunks = args.chunk_length != 0 && tables.tiles > 0;
  block.range = chunks ? query_range(tables.most - 1, block.tile(0) * kFlashKeys, args.chunk_length) : 0;
  if (block.range < 0) block.range = 0;  // chosen keys begin behind the piece
  block.fill_queries();
  QW_ROLLED for (int i = 0; i < block.tables.tiles; i++) {
    const int begin = block.tile(i) * kFlashKeys;
    if (i > 0 && block.tile(i) / kFlashSplitTiles != block.tile(i - 1) / kFlashSplitTiles) {
      warp.end_split();
      warp.begin_split();
    }
    wait_copies<0>();
    barrier();  // tile i is there, and nobody reads tile i - 1 any more
    block.copy(i + 1);
    end_copies();
    block.keep(i + 1, scales);
    scales = block.locate(i + 2);
    if (F::kInt8) {
      block.widen_tile(i);
      barrier();
    }
    const bool works = has_rows && begin < most_limit;
    const bool masked = block.chosen != nullptr && (block.chosen[i].masks[0] & block.chosen[i].masks[1]) != ~0u;
    if (!F::kInt8 && (masked || (begin + kFlashKeys > piece.limit && piece.tokens > 1))) take_out_bad_values(block, warp, i, works);
    float s[8][4];
    int nearest = 0, farthest = 0;
    if (args.chunk_length != 0) {
      const int last = (begin + kFlashKeys < tables.most ? begin + kFlashKeys : tables.most) - 1;
      nearest = last >= piece.limit ? 0 : query_range(piece.limit - 1, last, args.chunk_length);
      farthest = query_range(tables.most - 1, begin, args.chunk_length);
    }
    QW_ROLLED for (int range = farthest; range >= nearest; range--) {
      if (block.range != range) {
        barrier();
        block.range = range;
        block.fill_queries();
        barrier();
      }
      if (!works) continue;
      if (nearest == farthest) {
        warp.score(i, s);
      } else {
        warp.score_range(i, range, s);
      }
    }
    if (!works) continue;
    if (masked || begin + kFlashKeys > least_limit) warp.hide(i, s);
    warp.weigh(s);
    warp.add_values(i, s);
  }
  if (!has_rows) return;
  if (piece.part >= 0) {
    warp.store_part();
  } else {
    warp.end_split();
    warp.store();
  }
}

template <class F>
void launch_flash(const Stream& stream, const char* name, const AttendArgs& args, const AttendPiece* pieces, int64_t count,
                  const FlashTile* chosen) {
  static_assert(F::kSharedBytes + (sizeof(FlashTables<F>) + 1023) / 1024 * 1024 <= 99 << 10, "the smallest devices give a block 99 KB");
  launch_sharing(stream, name, flash_attend<F>, count, 1, 1, F::kThreads, F::kSharedBytes, args, pieces, chosen);
}

// Heads are padded to 64 or 128 elements.
inline bool flash_serves(const KvPages& kv) {
  if (kv.type == kKvF32 || kv.head_size > 128 || kv.pages * kv.page_bytes / 16 >= kNowhere) return false;
  return kv.type != kKvInt8 || (kFlashKeys + kv.page_tokens - 2) / kv.page_tokens < kFlashCentres;
}
constexpr int64_t kFlashDecodeRows = 16;
// Row warps and column warps of prefill. Blocks fit the 99 KB of shared memory that the smallest devices give; where queries have two terms
// or tiles are copied twice, two blocks of half the rows run on a large one.
constexpr int flash_row_warps(int size, int type, bool fine) {
  return size <= 64 || (!fine && type != kKvInt8) ? 8 : fine && type == kKvInt8 ? 2 : 4;
}
constexpr int flash_column_warps(int size, int type, bool fine) { return size > 64 && fine && type == kKvInt8 ? 2 : 1; }

void launch_flash_prefill(const Stream& stream, const AttendArgs& args, bool fine, const int32_t* pieces, int64_t count,
                          const FlashTile* chosen);
void launch_flash_decode(const Stream& stream, const AttendArgs& args, bool fine, const int32_t* pieces, int64_t count);
// Finishes the rows of pieces whose splits were computed apart; part_rows: rows for which a part has room
void launch_flash_merge(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count, int64_t part_rows);

inline int64_t flash_prefill_rows(const KvPages& kv, bool fine) {
  return 16 * flash_row_warps(kv.head_size <= 64 ? 64 : 128, kv.type, fine);
}

}  // namespace qw::cuda
