// The operations of Java's Ops on checked shapes. Each throws Failure, else it is on the stream when it returns: what it computed is there
// when the host looks at it (Buffer::host).
#pragma once

#include "common/batch.h"
#include "common/choice.h"
#include "common/routing.h"
#include "common/selection.h"
#include "cuda/objects.h"

namespace qw::cuda {

int64_t segment_bytes(int32_t type, int64_t rows, int64_t columns);
// Takes segment_bytes of the arena. order: see ColumnOrder; null for none.
void add_segment(Weight& weight, int32_t type, int64_t rows, const int32_t* order, Arena& arena);
// Sends `bytes` bytes of the staging's host memory, rows of a segment in the file's format, and lays them out on the device. The staging may
// be filled again when its stream was waited for.
void pack_rows(const Weight& weight, int64_t segment, int64_t first_row, int64_t rows, Staging& staging, int64_t bytes);

// Memory of the device that operations take beside what was made for them, at most: of a decoder with so many bytes of activations, over
// such a cache.
int64_t scratch_bytes(const Backend& backend, int64_t activation_bytes, const KvPages& kv, bool sparse);

void embed(Backend& backend, const Weight& table, const BatchView& batch, Buffer& x);
void rms_norm(Backend& backend, Buffer& x, int64_t rows, Buffer& gain, float epsilon, Buffer& y);
void linear(Backend& backend, Buffer& x, int64_t rows, const Weight& w, Buffer* bias, bool add, Buffer& y);
// The pairs are on the device when it returns, and on the host when it looks at the routing; their number is on the host at once.
void route(Backend& backend, Buffer& scores, int64_t rows, Buffer& routing);
void expert_linear(Backend& backend, Buffer& x, Buffer& routing, const Weight& w, Buffer& y);
void expert_linear_add(Backend& backend, Buffer& x, Buffer& routing, const Weight& w, Buffer& y);
void sigmoid_gate(Backend& backend, Buffer& x, int64_t rows, Buffer& gate);
void swiglu(Backend& backend, Buffer& x, int64_t rows, Buffer& out);
void relu(Backend& backend, Buffer& x, int64_t rows);
void gather_outputs(Backend& backend, Buffer& x, const BatchView& batch, Buffer& out);
void select_logits(Backend& backend, Buffer& logits, const SelectionView& selection, Buffer& found);

struct AttentionShape {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_size;
  float scale;
  int64_t chunk_length;  // 0 for plain attention
};
// bias: what was added to all rows of qkv, or null; keys in 8 bits are centred by it
void rotate_and_store(Backend& backend, Buffer& qkv, Buffer* bias, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                      const KvCache& cache, int64_t layer);
void choose_keys(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                 const KvCache& cache, int64_t layer, const IntArray& choice);
// choice and log_sum_exp may be null.
void attention(Backend& backend, Buffer& qkv, Buffer& rotations, const BatchView& batch, const AttentionShape& shape, const KvCache& cache,
               int64_t layer, const IntArray* choice, Buffer& out, Buffer* log_sum_exp);

// Of a batch on the device.
struct SentBatch {
  const int32_t* ids;          // [T]
  const int32_t* slots;        // [T]
  const int32_t* output_rows;  // [R]
  const int32_t* pages;        // of sequence b from b * page_stride on
  int64_t page_stride;
};
SentBatch send_batch(Backend& backend, const BatchView& batch);

inline void check_rows(const Buffer& buffer, int64_t rows, int64_t columns, const char* message) {
  require(!buffer.discarded && rows >= 0 && rows <= buffer.rows && columns == buffer.columns, message);
}

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace qw::cuda
