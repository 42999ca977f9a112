#include "api/qwen4j.h"

#include "common/guarded.h"
#include "cpu/machine.h"
#include "cpu/ops.h"

using namespace qw;

extern "C" {

int32_t qw_version(int8_t* buffer, int64_t capacity) { return copy(QW_VERSION, buffer, capacity); }
int32_t qw_last_error(int8_t* buffer, int64_t capacity) { return copy(last_error().message, buffer, capacity); }
int64_t qw_last_error_bytes() { return last_error().bytes; }
int32_t qw_best_target() { return best_target(); }

int64_t qw_live_objects() { return live_objects(); }
int64_t qw_live_mappings() { return live_mappings(); }
void qw_fail_mapping(int64_t k, bool for_ever) { fail_mapping(k, for_ever); }

int64_t qw_backend_create(int32_t target, int32_t threads, bool fine) {
  return guarded_value([&] { return handle(new Backend(static_cast<Target>(target), threads, fine)); });
}
void qw_backend_free(int64_t backend) { release<Backend>(backend); }

int64_t qw_segment_bytes(int64_t backend, int32_t type, int64_t rows, int64_t columns) {
  return guarded_value([&] { return segment_bytes(object<Backend>(backend), type, rows, columns); });
}
int64_t qw_arena_create(int64_t bytes) {
  return guarded_value([&] { return handle(new Arena(bytes)); });
}
void qw_arena_free(int64_t arena) { release<Arena>(arena); }

int64_t qw_weight_create(int64_t columns) {
  return guarded_value([&] {
    require(columns >= 1 && columns <= INT32_MAX, "a matrix has 1 to 2^31 - 1 columns");
    return handle(new Weight(columns));
  });
}
int32_t qw_weight_add_segment(int64_t backend, int64_t weight, int32_t type, int64_t rows, const int32_t* order, int64_t arena) {
  return guarded([&] { add_segment(object<Backend>(backend), object<Weight>(weight), type, rows, order, object<Arena>(arena)); });
}
int32_t qw_weight_pack(int64_t weight, int64_t segment, int64_t first_row, int64_t rows, int8_t* data, int64_t bytes) {
  return guarded([&] { pack_rows(object<Weight>(weight), segment, first_row, rows, reinterpret_cast<const uint8_t*>(data), bytes); });
}
void qw_weight_free(int64_t weight) { release<Weight>(weight); }

int64_t qw_buffer_create(int64_t rows, int64_t columns) {
  return guarded_value([&] {
    // A Java buffer has at most 2^31 - 1 bytes.
    require(rows >= 1 && columns >= 1 && times(times(rows, columns), 4) <= INT32_MAX, "a buffer has 1 to 2^29 - 1 values");
    return handle(new Buffer(rows, columns));
  });
}
qw_view qw_buffer_view(int64_t buffer) {
  qw_view view{};
  guarded([&] {
    const Buffer& b = object<Buffer>(buffer);
    view = {reinterpret_cast<int8_t*>(b.memory.data()), b.memory.bytes()};
  });
  return view;
}
void qw_buffer_discard(int64_t buffer) {
  guarded([&] { object<Buffer>(buffer).discard(); });
}
void qw_buffer_free(int64_t buffer) { release<Buffer>(buffer); }

int64_t qw_kv_create(int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size) {
  return guarded_value([&] { return handle(new KvCache(static_cast<KvType>(type), layers, pages, page_tokens, kv_heads, head_size)); });
}
void qw_kv_free(int64_t cache) { release<KvCache>(cache); }

int32_t qw_embed(int64_t backend, int64_t table, int64_t batch, int64_t x) {
  return guarded([&] { embed(object<Backend>(backend), object<Weight>(table), BatchView(object<Buffer>(batch)), object<Buffer>(x)); });
}
int32_t qw_rms_norm(int64_t backend, int64_t x, int64_t rows, int64_t gain, float epsilon, int64_t y) {
  return guarded([&] { rms_norm(object<Backend>(backend), object<Buffer>(x), rows, object<Buffer>(gain), epsilon, object<Buffer>(y)); });
}
int32_t qw_linear(int64_t backend, int64_t x, int64_t rows, int64_t weight, int64_t bias, bool add, int64_t y) {
  return guarded([&] {
    linear(object<Backend>(backend), object<Buffer>(x), rows, object<Weight>(weight), object_or_null<Buffer>(bias), add, object<Buffer>(y));
  });
}
int32_t qw_rotate_and_store(int64_t backend, int64_t qkv, int64_t bias, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                            int64_t head_size, int64_t chunk_length, int64_t cache, int64_t layer) {
  return guarded([&] {
    const Buffer* added = bias == 0 ? nullptr : &object<Buffer>(bias);
    rotate_and_store(object<Backend>(backend), object<Buffer>(qkv), added, object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
                     {heads, kv_heads, head_size, 1.f, chunk_length}, object<KvCache>(cache), layer);
  });
}
int32_t qw_choose_keys(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                       int64_t head_size, float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice) {
  return guarded([&] {
    choose_keys(object<Backend>(backend), object<Buffer>(qkv), object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
                {heads, kv_heads, head_size, scale, chunk_length}, object<KvCache>(cache), layer, object<Buffer>(choice));
  });
}
int32_t qw_attention(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size,
                     float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice, int64_t out, int64_t log_sum_exp) {
  return guarded([&] {
    attention(object<Backend>(backend), object<Buffer>(qkv), object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
              {heads, kv_heads, head_size, scale, chunk_length}, object<KvCache>(cache), layer, object_or_null<Buffer>(choice),
              object<Buffer>(out), object_or_null<Buffer>(log_sum_exp));
  });
}
int32_t qw_route(int64_t backend, int64_t scores, int64_t rows, int64_t routing) {
  return guarded([&] { route(object<Backend>(backend), object<Buffer>(scores), rows, RoutingView(object<Buffer>(routing))); });
}
int32_t qw_expert_linear(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y) {
  return guarded([&] {
    expert_linear(object<Backend>(backend), object<Buffer>(x), RoutingView(object<Buffer>(routing)), object<Weight>(weight), object<Buffer>(y));
  });
}
int32_t qw_expert_linear_add(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y) {
  return guarded([&] {
    expert_linear_add(object<Backend>(backend), object<Buffer>(x), RoutingView(object<Buffer>(routing)), object<Weight>(weight),
                      object<Buffer>(y));
  });
}
int32_t qw_sigmoid_gate(int64_t backend, int64_t x, int64_t rows, int64_t gate) {
  return guarded([&] { sigmoid_gate(object<Backend>(backend), object<Buffer>(x), rows, object<Buffer>(gate)); });
}
int32_t qw_swiglu(int64_t backend, int64_t x, int64_t rows, int64_t out) {
  return guarded([&] { swiglu(object<Backend>(backend), object<Buffer>(x), rows, object<Buffer>(out)); });
}
int32_t qw_relu(int64_t backend, int64_t x, int64_t rows) {
  return guarded([&] { relu(object<Backend>(backend), object<Buffer>(x), rows); });
}
int32_t qw_gather_outputs(int64_t backend, int64_t x, int64_t batch, int64_t out) {
  return guarded([&] { gather_outputs(object<Backend>(backend), object<Buffer>(x), BatchView(object<Buffer>(batch)), object<Buffer>(out)); });
}

}  // extern "C"
