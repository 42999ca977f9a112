// What dense and chosen attention share.
#pragma once

#include <algorithm>

#include "cuda/ops.h"
#include "cuda/pages.h"

namespace qw::cuda {

// What is the same for all pieces of an operation.
struct AttendArgs {
  KvPages kv;
  int64_t layer;
  const float* qkv;
  int64_t qkv_stride;
  const float* rotations;
  int64_t rotation_stride;
  const int32_t* pages;
  int64_t page_stride;
  float scale;
  int32_t chunk_length;
  float* out;
  int64_t out_stride;
  float* log_sum_exp;  // or null
  int32_t heads;
  float* parts;        // results of splits
  int64_t part_floats;
};

// Some tokens of a slice, and query heads of one kv head; a row is a token and a head.
struct AttendPiece {
  int32_t sequence;
  int32_t token;   // row of qkv, of the first token
  int32_t tokens;
  int32_t head;    // the first one
  int32_t heads;
  int32_t limit;   // keys that the first token sees; each following one sees one more
  int32_t split_begin;
  int32_t split_end;
  int32_t part;    // where the splits' results are kept, one after the other, or -1 if the piece finishes its rows itself
  int32_t chosen;  // chosen keys: the first of its masks, and how many there are
  int32_t masks;
};
constexpr int kPieceInts = sizeof(AttendPiece) / 4;

// Keys of a tile that are chosen.
struct ChosenTile {
  int32_t tile;
  uint32_t mask;
};

// Rows of a piece and keys of a tile, for heads of at most kSize elements.
template <int kSize>
struct AttendShape {
  static constexpr int kRows = kSize <= 128 ? 16 : 8;
  static constexpr int kKeys = kSize <= 128 ? 32 : 16;
};
// The cached length is cut at fixed places, so that a row's result does not depend on who computes the pieces.
constexpr int kSplitKeys = 256;
// Where keys are chosen, of the weights of one launch and of the lists of one.
constexpr int64_t kMostWeightBytes = 256 << 20;
constexpr int64_t kMostTiles = 4 << 20;

inline int64_t piece_rows(int64_t head_size) { return head_size <= 128 ? 16 : 8; }
inline int64_t tile_keys(int64_t head_size) { return head_size <= 128 ? 32 : 16; }

// Runs pieces, given as ints; whose splits' results are kept are not finished. `chosen` are masks of all pieces, or null.
void launch_pieces(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count, const ChosenTile* chosen);
// Finishes the rows of pieces whose splits were computed apart.
void launch_merge(const Stream& stream, const AttendArgs& args, const int32_t* pieces, int64_t count);

// Operands of one attention operation, checked.
struct AttentionCall {
  Backend& backend;
  Buffer& qkv;
  Buffer& rotations;
  const BatchView& batch;
  const AttentionShape& shape;
  const KvCache& cache;
  int64_t layer;

  AttendArgs args() const;
};
AttentionCall checked_call(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                           const KvCache& cache, int64_t layer);

// Attends the slices of the runs, each with its chosen keys.
void attend_chosen(const AttentionCall& call, const AttendArgs& args, const ChoiceView& choice);

}  // namespace qw::cuda
