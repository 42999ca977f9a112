// The C interface that the JavaCPP binding calls. Handles are addresses as 64-bit integers. No exception leaves: a function returns
// a status (0 is fine), or a handle or size above 0, or a status negated; message and size of the last failure are kept for each thread.
#pragma once

#include <cstddef>
#include <cstdint>

// Memory that Java sees as a direct ByteBuffer; the adapter tells the generated code its size.
struct qw_view {
  int8_t* data;
  int64_t bytes;
};
class QwViewAdapter {
 public:
  explicit QwViewAdapter(const qw_view& view) : size(static_cast<size_t>(view.bytes)), data_(view.data) {}
  operator signed char*() { return data_; }
  size_t size;

 private:
  signed char* data_;
};

extern "C" {

// Version of the project, UTF-8; returns its length.
int32_t qw_version(int8_t* buffer, int64_t capacity);
int32_t qw_last_error(int8_t* buffer, int64_t capacity);
int64_t qw_last_error_bytes();
int32_t qw_best_target();

int64_t qw_live_objects();
int64_t qw_live_mappings();
void qw_fail_mapping(int64_t k, bool for_ever);

int64_t qw_backend_create(int32_t target, int32_t threads, bool fine);
void qw_backend_free(int64_t backend);

int64_t qw_segment_bytes(int64_t backend, int32_t type, int64_t rows, int64_t columns);
// Memory for the segments of weights, the sum of their qw_segment_bytes. Segments keep what they took after qw_arena_free.
int64_t qw_arena_create(int64_t bytes);
void qw_arena_free(int64_t arena);
int64_t qw_weight_create(int64_t columns);
int32_t qw_weight_add_segment(int64_t backend, int64_t weight, int32_t type, int64_t rows, int64_t arena);
// On the calling thread; several threads may pack different rows at once.
int32_t qw_weight_pack(int64_t weight, int64_t segment, int64_t first_row, int64_t rows, int8_t* data, int64_t bytes);
void qw_weight_free(int64_t weight);

int64_t qw_buffer_create(int64_t rows, int64_t columns);
qw_view qw_buffer_view(int64_t buffer);
// Gives the memory back but keeps the addresses, which a Java buffer may still read; qw_buffer_free follows when nobody can.
void qw_buffer_discard(int64_t buffer);
void qw_buffer_free(int64_t buffer);

int64_t qw_kv_create(int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size);
void qw_kv_free(int64_t cache);

int32_t qw_embed(int64_t backend, int64_t table, int64_t batch, int64_t x);
int32_t qw_rms_norm(int64_t backend, int64_t x, int64_t rows, int64_t gain, float epsilon, int64_t y);
int32_t qw_linear(int64_t backend, int64_t x, int64_t rows, int64_t weight, int64_t bias, bool add, int64_t y);
int32_t qw_rotate_and_store(int64_t backend, int64_t qkv, int64_t bias, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                            int64_t head_size, int64_t chunk_length, int64_t cache, int64_t layer);
int32_t qw_choose_keys(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                       int64_t head_size, float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice);
int32_t qw_attention(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size,
                     float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice, int64_t out, int64_t log_sum_exp);
int32_t qw_route(int64_t backend, int64_t scores, int64_t rows, int64_t routing);
int32_t qw_expert_linear(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y);
int32_t qw_expert_linear_add(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y);
int32_t qw_sigmoid_gate(int64_t backend, int64_t x, int64_t rows, int64_t gate);
int32_t qw_swiglu(int64_t backend, int64_t x, int64_t rows, int64_t out);
int32_t qw_relu(int64_t backend, int64_t x, int64_t rows);
int32_t qw_gather_outputs(int64_t backend, int64_t x, int64_t batch, int64_t out);

}  // extern "C"
