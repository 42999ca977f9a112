// The operations of Java's Ops on checked shapes. Each throws Failure and otherwise returns when its result is there.
#pragma once

#include "common/batch.h"
#include "common/routing.h"
#include "cpu/objects.h"

namespace qw {

int64_t segment_bytes(const Backend& backend, int32_t type, int64_t rows, int64_t columns);
// Takes segment_bytes of the arena. Column i of the rows belongs to column order[i] of x, or to column i if order is null.
void add_segment(const Backend& backend, Weight& weight, int32_t type, int64_t rows, const int32_t* order, Arena& arena);
// Packs `rows` rows of a segment from first_row, a multiple of 16, on the calling thread; `data` has the file's format. Several threads may
// pack different rows of one weight at once.
void pack_rows(const Weight& weight, int64_t segment, int64_t first_row, int64_t rows, const uint8_t* data, int64_t bytes);

void embed(Backend& backend, const Weight& table, const BatchView& batch, const Buffer& x);
void rms_norm(Backend& backend, const Buffer& x, int64_t rows, const Buffer& gain, float epsilon, const Buffer& y);
void linear(Backend& backend, const Buffer& x, int64_t rows, const Weight& w, const Buffer* bias, bool add, const Buffer& y);
// Chooses the experts of each row of scores and writes the pairs.
void route(Backend& backend, const Buffer& scores, int64_t rows, RoutingView routing);
void expert_linear(Backend& backend, const Buffer& x, const RoutingView& routing, const Weight& w, const Buffer& y);
void expert_linear_add(Backend& backend, const Buffer& x, const RoutingView& routing, const Weight& w, const Buffer& y);
void sigmoid_gate(Backend& backend, const Buffer& x, int64_t rows, const Buffer& gate);
void swiglu(Backend& backend, const Buffer& x, int64_t rows, const Buffer& out);
void relu(Backend& backend, const Buffer& x, int64_t rows);
void gather_outputs(Backend& backend, const Buffer& x, const BatchView& batch, const Buffer& out);

struct AttentionShape {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_size;
  float scale;
  int64_t chunk_length;  // 0 for plain attention
};
// bias: what was added to all rows of qkv, or null; keys in 8 bits are centred by it
void rotate_and_store(Backend& backend, const Buffer& qkv, const Buffer* bias, const Buffer& rotations, const BatchView& batch,
                      const AttentionShape& shape, const KvCache& cache, int64_t layer);
void choose_keys(Backend& backend, const Buffer& qkv, const Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
                 const KvCache& cache, int64_t layer, const Buffer& choice);
// choice and log_sum_exp may be null.
void attention(Backend& backend, const Buffer& qkv, const Buffer& rotations, const BatchView& batch, const AttentionShape& shape,
               const KvCache& cache, int64_t layer, const Buffer* choice, const Buffer& out, const Buffer* log_sum_exp);

inline void check_rows(const Buffer& buffer, int64_t rows, int64_t columns, const char* message) {
  require(!buffer.discarded && rows >= 0 && rows <= buffer.rows && columns == buffer.columns, message);
}

}  // namespace qw
