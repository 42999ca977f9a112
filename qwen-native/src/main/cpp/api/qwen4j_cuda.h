// The C interface of the CUDA library, as api/qwen4j.h is that of the CPU's: handles are addresses as 64-bit integers, no exception leaves, and
// a function returns a status (0 is fine), or a handle or size above 0, or a status negated.
#pragma once

#include <cstddef>
#include <cstdint>

// Memory that Java sees as a direct ByteBuffer; the adapter tells the generated code its size.
struct qwc_view {
  int8_t* data;
  int64_t bytes;
};
class QwcViewAdapter {
 public:
  explicit QwcViewAdapter(const qwc_view& view) : size(static_cast<size_t>(view.bytes)), data_(view.data) {}
  operator signed char*() { return data_; }
  size_t size;

 private:
  signed char* data_;
};

extern "C" {

// Version of the project, UTF-8; returns its length.
int32_t qwc_version(int8_t* buffer, int64_t capacity);
int32_t qwc_last_error(int8_t* buffer, int64_t capacity);
// Of memory that could not be had: bytes asked for, and bytes there were or -1.
int64_t qwc_last_error_bytes();
int64_t qwc_last_error_available();

int64_t qwc_live_objects();
int64_t qwc_live_mappings();
// Of an emulated device, for tests: what there is, which call fails, bytes that are taken, how often memory was taken, and how
// often memory was given back that was not taken since this was last asked.
int32_t qwc_emulate_devices(int32_t devices, int32_t capability, int64_t bytes);
int32_t qwc_emulate_failure(int64_t k, int32_t status);
int64_t qwc_emulated_bytes();
int64_t qwc_emulated_faults();
int64_t qwc_emulated_allocations();

// Number of devices, or a status negated that says why there is none.
int64_t qwc_device_count();
int32_t qwc_device_name(int32_t device, int8_t* buffer, int64_t capacity);
// 10 * major + minor of the compute capability.
int32_t qwc_device_capability(int32_t device);
int64_t qwc_device_free_bytes(int32_t device);
int64_t qwc_device_total_bytes(int32_t device);

int64_t qwc_backend_create(int32_t device, bool fine);
void qwc_backend_free(int64_t backend);
// Returns when all that was begun is done.
int32_t qwc_backend_wait(int64_t backend);

// Memory that operations take beside what is made for them, and a margin.
int64_t qwc_scratch_bytes(int64_t backend, int64_t activation_bytes, int32_t type, int64_t pages, int64_t page_tokens, int64_t kv_heads,
                          int64_t head_size, bool sparse);

// A step that may be recorded, see cuda/steps.h. Returns what to do next, or a status negated:
//   0 run the operations; 1 run them, then qwc_step_end; 2 the same, they are recorded; 3 nothing: the step was recorded before and is on the stream;
//   4 as 0, and qwc_last_error says why nothing is recorded
int64_t qwc_step_begin(int64_t backend, int64_t walk, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size, int64_t chunk_length,
                       int64_t cache);
// 1: the step is on the stream; 0: run the operations once more, qwc_last_error says why; or a status negated.
int64_t qwc_step_end(int64_t backend);
// An operation of the step failed: run them without it. If they succeed then, qwc_step_refuse.
int32_t qwc_step_abandon(int64_t backend);
int32_t qwc_step_refuse(int64_t backend);
// Steps of the backend that were recorded, and steps that ran as recorded.
int64_t qwc_recorded_steps(int64_t backend);
int64_t qwc_replayed_steps(int64_t backend);

int64_t qwc_segment_bytes(int32_t type, int64_t rows, int64_t columns);
int64_t qwc_arena_create(int64_t backend, int64_t bytes);
void qwc_arena_free(int64_t arena);
int64_t qwc_weight_create(int64_t columns);
// order: as in qw_weight_add_segment.
int32_t qwc_weight_add_segment(int64_t weight, int32_t type, int64_t rows, const int32_t* order, int64_t arena);
// Sends rows that are at the beginning of a staging's memory, which may be filled again after qwc_staging_wait. They are there when that
// returned for the staging; rows that are as in the file need no memory of the device on their way.
int32_t qwc_weight_pack(int64_t weight, int64_t segment, int64_t first_row, int64_t rows, int64_t staging, int64_t bytes);
void qwc_weight_free(int64_t weight);

// To be used by one thread; several may be used at once.
int64_t qwc_staging_create(int64_t backend, int64_t bytes);
qwc_view qwc_staging_view(int64_t staging);
int32_t qwc_staging_wait(int64_t staging);
void qwc_staging_free(int64_t staging);

// host_only: integers
int64_t qwc_buffer_create(int64_t backend, int64_t rows, int64_t columns, bool host_only);
qwc_view qwc_buffer_view(int64_t buffer);
// Brings what was computed to the host; what the host writes then is sent when it is used next.
int32_t qwc_buffer_look(int64_t buffer);
// Gives the memory back but keeps the addresses, which a Java buffer may still read; qwc_buffer_free follows when nobody can.
void qwc_buffer_discard(int64_t buffer);
void qwc_buffer_free(int64_t buffer);

int64_t qwc_kv_create(int64_t backend, int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size);
void qwc_kv_free(int64_t cache);
// Bytes that such a cache takes, or a status negated that says why there is none.
int64_t qwc_kv_bytes(int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size);

int32_t qwc_embed(int64_t backend, int64_t table, int64_t batch, int64_t x);
int32_t qwc_rms_norm(int64_t backend, int64_t x, int64_t rows, int64_t gain, float epsilon, int64_t y);
int32_t qwc_linear(int64_t backend, int64_t x, int64_t rows, int64_t weight, int64_t bias, bool add, int64_t y);
int32_t qwc_rotate_and_store(int64_t backend, int64_t qkv, int64_t bias, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                             int64_t head_size, int64_t chunk_length, int64_t cache, int64_t layer);
int32_t qwc_choose_keys(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                        int64_t head_size, float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice);
int32_t qwc_attention(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size,
                      float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice, int64_t out, int64_t log_sum_exp);
int32_t qwc_route(int64_t backend, int64_t scores, int64_t rows, int64_t routing);
int32_t qwc_expert_linear(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y);
int32_t qwc_expert_linear_add(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y);
int32_t qwc_sigmoid_gate(int64_t backend, int64_t x, int64_t rows, int64_t gate);
int32_t qwc_swiglu(int64_t backend, int64_t x, int64_t rows, int64_t out);
int32_t qwc_relu(int64_t backend, int64_t x, int64_t rows);
int32_t qwc_gather_outputs(int64_t backend, int64_t x, int64_t batch, int64_t out);
int32_t qwc_select_logits(int64_t backend, int64_t logits, int64_t selection, int64_t found);

}  // extern "C"
