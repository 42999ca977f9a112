// The dispatch table of one target. Kernels compute ranges and know no threads; they allocate nothing and cannot fail.
#pragma once

#include "cpu/kernels.h"

namespace qw {

enum Target : int32_t { kBaseline, kAvx2, kAvx512, kVnni, kTargets };

enum KvType : int32_t { kKvF32, kKvF16, kKvBF16, kKvInt8, kKvTypes };

// Pages of keys and values. A page of a layer holds for each head keys in panels of 16 tokens, element-major (element e of 16 tokens
// side by side, so that 16 scores are one register), then for each head values, token-major.
//
// With kKvInt8 two neighbours are side by side, for products of pairs: elements 2 i and 2 i + 1 of 16 tokens, and each element of the tokens
// 2 j and 2 j + 1. The keys of a head are followed by an f32 scale for each token of its panels and by the centre (E values in f16) that
// was subtracted before they were rounded; its values by a scale for each token. Both have the last 16 tokens filled up.
struct KvPages {
  uint8_t* memory;
  KvType type;
  int64_t layers;
  int64_t pages;
  int64_t page_tokens;
  int64_t kv_heads;
  int64_t head_size;
  int64_t element_bytes;
  int64_t key_bytes;    // of one head in a page, the last panel filled up
  int64_t value_bytes;  // of one head in a page
  int64_t page_bytes;   // of one layer
  // kKvInt8: places within a head's keys and values
  int64_t key_scales;
  int64_t key_centre;
  int64_t value_scales;
};

// The sections of a row of rotations, each E / 2 cosines and E / 2 sines; as Java's Rotations. Plain attention has the first one only. With
// kKvInt8 one more follows, by which the bias of keys is rotated for the centre of a page.
enum Rotation : int64_t { kKeyRotation, kSameChunk, kChunkBefore, kOlderChunks, kUncappedChunkBefore, kUncappedOlderChunks, kRotations };

// The tokens token_begin .. token_end - 1 of a step: rotate the heads from first_rotated on in place, store keys and values. Before that
// store_centres has set the centres of pages whose first token is among them.
struct RotateArgs {
  float* qkv;              // [T, (H + 2K) E]
  const float* rotations;  // of token t at rotations + t * rotation_stride
  int64_t rotation_stride;
  int64_t first_rotated;
  const float* key_bias;  // [K E] or null
  int64_t centre;         // place of its rotation in a row of rotations
  const int32_t* slots;   // [T]
  int64_t heads;
  int64_t token_begin;
  int64_t token_end;
  const KvPages* kv;
  int64_t layer;
};

// Attention in pieces of at most kAttendRows rows; a row is one token and one query head of the group of a kv head.
constexpr int64_t kAttendRows = 64;
// In dual chunk attention: keys of the same chunk, of the chunk before, of older chunks.
constexpr int64_t kQueryRanges = 3;
// The cached length is cut at fixed places, so that a row's result does not depend on who computes the pieces.
constexpr int64_t kSplitPanels = 64;
constexpr int64_t kBlockPanels = 4;
constexpr int64_t kKeysPerPanel = 16;

struct AttendArgs {
  const KvPages* kv;
  int64_t layer;
  int64_t kv_head;
  const int32_t* page_table;
  const float* q;       // row (token i, head j) at q + i * q_stride + j * E
  int64_t q_stride;
  int64_t tokens;
  int64_t heads;
  int64_t first_limit;  // keys that token 0 sees; token i sees i more
  float scale;
  float* scores;        // scratch [kAttendRows, kBlockPanels * 16]
  // Dual chunk attention, else chunk_length is 0 and q is rotated: all tokens are in the chunk that begins at chunk_begin, and q is rotated
  // here for the keys of each range.
  int64_t chunk_length;
  int64_t chunk_begin;
  const float* rotations;  // of token i at rotations + i * rotation_stride
  int64_t rotation_stride;
  float* rotated;          // scratch [kQueryRanges, kAttendRows, E]
  int16_t* narrow;         // for kKvInt8: scratch [kQueryRanges, kAttendRows, E], without dual chunk attention [kAttendRows, E]
};

// Result of one split: unnormalised sums, the maximum they are relative to, and the sum of weights. Row r = i * heads + j.
struct AttendPart {
  float* sums;     // [rows, E]
  float* maximum;  // [rows]
  float* weight;   // [rows]; 0 where the row sees no key of this split
};

// The keys of a block of a sparse run, of one head: whole panels of the cache, then single keys gathered into panels of f32.
struct ChosenKeys {
  const int32_t* panels;     // indices, ascending
  int64_t panel_count;
  const int32_t* gathered;   // indices of gathered panels
  int64_t gathered_count;
  const float* keys;         // [panels][E][16]
  const float* values;       // [panels][16][E]
  const float* hidden;       // [panels][16]: 0, or -infinity for a key that is in one of the whole panels or behind the block's first token
  const int32_t* positions;  // [panels][16]
  const int32_t* counts;     // [panels]
};

// Weights that the last queries of a run give to keys.
struct KeyWeights {
  float* columns;    // [keys + 16]: of each key
  float* diagonals;  // [keys + kAttendRows + 16]: of distance d at keys - 1 - d
  float* skewed;     // scratch [kAttendRows][kAttendRows + 16]
};

struct KernelTable {
  const char* name;
  const WeightFormat* formats[kWeightTypes];
  QuantizeRows quantize_rows;
  void (*rms_norm)(const float* x, int64_t rows, int64_t columns, const float* gain, float epsilon, float* y);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* out);
  void (*store_centres)(const RotateArgs& args);
  void (*rotate_and_store)(const RotateArgs& args);
  void (*attend)(const AttendArgs& args, int64_t split, const AttendPart& part);
  // total and part -> total
  void (*attend_merge)(int64_t rows, int64_t head_size, const AttendPart& part, const AttendPart& total);
  // sums / weight -> out; row (i, j) at out + i * out_stride + j * E
  void (*attend_finish)(int64_t tokens, int64_t heads, int64_t head_size, const AttendPart& total, float* out, int64_t out_stride);
  // Sums over all rows of one head; part is scratch.
  void (*weigh_keys)(const AttendArgs& args, const KeyWeights& weights, const AttendPart& part);
  // Up to 16 keys and values of args' head as f32: keys [E][16], values [16][E].
  void (*gather_keys)(const AttendArgs& args, const int32_t* positions, int64_t count, float* keys, float* values);
  void (*attend_chosen)(const AttendArgs& args, const ChosenKeys& keys, const AttendPart& part);
};

namespace baseline { const KernelTable& kernel_table(); }
namespace avx2 { const KernelTable& kernel_table(); }
namespace avx512 { const KernelTable& kernel_table(); }
namespace vnni { const KernelTable& kernel_table(); }

}  // namespace qw
