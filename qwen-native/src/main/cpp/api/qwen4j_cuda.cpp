#include "api/qwen4j_cuda.h"

#include "common/guarded.h"
#include "cuda/ops.h"
#include "cuda/steps.h"

using namespace qw;
using namespace qw::cuda;

namespace {

// An operation of a backend, on its device.
template <class Fn>
int32_t operation(int64_t backend, Fn fn) noexcept {
  return guarded([&] {
    Backend& b = object<Backend>(backend);
    b.context->use();
    fn(b);
  });
}

template <class T, class Fn>
int64_t made(int64_t backend, Fn fn) noexcept {
  return guarded_value([&] {
    Backend& b = object<Backend>(backend);
    b.context->use();
    return handle(fn(b));
  });
}

}  // namespace

extern "C" {

int32_t qwc_version(int8_t* buffer, int64_t capacity) { return copy(QW_VERSION, buffer, capacity); }
int32_t qwc_last_error(int8_t* buffer, int64_t capacity) { return copy(last_error().message, buffer, capacity); }
int64_t qwc_last_error_bytes() { return last_error().bytes; }
int64_t qwc_last_error_available() { return last_error().available; }

int64_t qwc_live_objects() { return live_objects(); }
int64_t qwc_live_mappings() { return live_mappings(); }
int32_t qwc_emulate_devices(int32_t devices, int32_t capability, int64_t bytes) {
  return guarded([&] { emulate_devices(devices, capability, bytes); });
}
int32_t qwc_emulate_failure(int64_t k, int32_t status) {
  return guarded([&] { emulate_failure(k, static_cast<Status>(status)); });
}
int64_t qwc_emulated_bytes() { return emulated_bytes(); }
int64_t qwc_emulated_faults() { return emulated_faults(); }
int64_t qwc_emulated_allocations() { return emulated_allocations(); }

int64_t qwc_device_count() {
  return guarded_value([] { return int64_t{device_count()}; });
}
int32_t qwc_device_name(int32_t device, int8_t* buffer, int64_t capacity) {
  int32_t length = 0;
  guarded([&] { length = copy(device_info(device).name.c_str(), buffer, capacity); });
  return length;
}
int32_t qwc_device_capability(int32_t device) {
  return static_cast<int32_t>(guarded_value([&] {
    const DeviceInfo info = device_info(device);
    return int64_t{info.major * 10 + info.minor};
  }));
}
int64_t qwc_device_free_bytes(int32_t device) {
  return guarded_value([&] { return device_info(device).free_bytes; });
}
int64_t qwc_device_total_bytes(int32_t device) {
  return guarded_value([&] { return device_info(device).total_bytes; });
}

int64_t qwc_backend_create(int32_t device, bool fine) {
  return guarded_value([&] { return handle(new Backend(device, fine)); });
}
void qwc_backend_free(int64_t backend) { release<Backend>(backend); }
int32_t qwc_backend_wait(int64_t backend) {
  return operation(backend, [](Backend& b) { b.context->stream.wait(); });
}

int64_t qwc_scratch_bytes(int64_t backend, int64_t activation_bytes, int32_t type, int64_t pages, int64_t page_tokens, int64_t kv_heads,
                          int64_t head_size, bool sparse) {
  return guarded_value([&] {
    return scratch_bytes(object<Backend>(backend), activation_bytes, kv_pages(type, 1, pages, page_tokens, kv_heads, head_size), sparse);
  });
}
int64_t qwc_step_begin(int64_t backend, int64_t walk, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size, int64_t chunk_length,
                       int64_t cache) {
  return guarded_value([&] {
    Backend& b = object<Backend>(backend);
    b.context->use();
    const int64_t next =
        b.steps->begin(walk, BatchView(object<Buffer>(batch)), {heads, kv_heads, head_size, 0, chunk_length}, object<KvCache>(cache));
    if (next == Steps::kGivenUp) keep(kInternal, b.steps->problem().c_str());
    return next;
  });
}
int64_t qwc_step_end(int64_t backend) {
  return guarded_value([&] {
    Backend& b = object<Backend>(backend);
    if (b.steps->end()) return int64_t{1};
    keep(kInternal, b.steps->problem().c_str());
    return int64_t{0};
  });
}
int32_t qwc_step_abandon(int64_t backend) {
  return guarded([&] { object<Backend>(backend).steps->abandon(); });
}
int32_t qwc_step_refuse(int64_t backend) {
  return guarded([&] { object<Backend>(backend).steps->refuse(); });
}
int64_t qwc_recorded_steps(int64_t backend) {
  return guarded_value([&] { return object<Backend>(backend).steps->recorded(); });
}
int64_t qwc_replayed_steps(int64_t backend) {
  return guarded_value([&] { return object<Backend>(backend).steps->replayed(); });
}

int64_t qwc_segment_bytes(int32_t type, int64_t rows, int64_t columns) {
  return guarded_value([&] { return segment_bytes(type, rows, columns); });
}
int64_t qwc_arena_create(int64_t backend, int64_t bytes) {
  return made<Arena>(backend, [&](Backend& b) { return new Arena(b.context, bytes); });
}
void qwc_arena_free(int64_t arena) { release<Arena>(arena); }
int64_t qwc_weight_create(int64_t columns) {
  return guarded_value([&] {
    require(columns >= 1 && columns <= INT32_MAX, "a matrix has 1 to 2^31 - 1 columns");
    return handle(new Weight(columns));
  });
}
int32_t qwc_weight_add_segment(int64_t weight, int32_t type, int64_t rows, const int32_t* order, int64_t arena) {
  return guarded([&] { add_segment(object<Weight>(weight), type, rows, order, object<Arena>(arena)); });
}
int32_t qwc_weight_pack(int64_t weight, int64_t segment, int64_t first_row, int64_t rows, int64_t staging, int64_t bytes) {
  return guarded([&] {
    Staging& s = object<Staging>(staging);
    s.context->use();
    pack_rows(object<Weight>(weight), segment, first_row, rows, s, bytes);
  });
}
void qwc_weight_free(int64_t weight) { release<Weight>(weight); }

int64_t qwc_staging_create(int64_t backend, int64_t bytes) {
  return made<Staging>(backend, [&](Backend& b) {
    require(bytes >= 1 && bytes <= INT32_MAX, "a staging buffer has 1 to 2^31 - 1 bytes");
    return new Staging(b.context, bytes);
  });
}
qwc_view qwc_staging_view(int64_t staging) {
  qwc_view view{};
  guarded([&] {
    const Staging& s = object<Staging>(staging);
    view = {reinterpret_cast<int8_t*>(s.host.data()), s.host.bytes()};
  });
  return view;
}
int32_t qwc_staging_wait(int64_t staging) {
  return guarded([&] {
    Staging& s = object<Staging>(staging);
    s.context->use();
    s.stream.wait();
  });
}
void qwc_staging_free(int64_t staging) { release<Staging>(staging); }

int64_t qwc_buffer_create(int64_t backend, int64_t rows, int64_t columns, bool host_only) {
  return made<Buffer>(backend, [&](Backend& b) {
    // A Java buffer has at most 2^31 - 1 bytes.
    require(rows >= 1 && columns >= 1 && times(times(rows, columns), 4) <= INT32_MAX, "a buffer has 1 to 2^29 - 1 values");
    return new Buffer(b.context, rows, columns, host_only);
  });
}
qwc_view qwc_buffer_view(int64_t buffer) {
  qwc_view view{};
  guarded([&] {
    const Memory& memory = object<Buffer>(buffer).view();
    view = {reinterpret_cast<int8_t*>(memory.data()), memory.bytes()};
  });
  return view;
}
int32_t qwc_buffer_look(int64_t buffer) {
  return guarded([&] { object<Buffer>(buffer).host(); });
}
void qwc_buffer_discard(int64_t buffer) {
  guarded([&] { object<Buffer>(buffer).discard(); });
}
void qwc_buffer_free(int64_t buffer) { release<Buffer>(buffer); }

int64_t qwc_kv_create(int64_t backend, int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads,
                      int64_t head_size) {
  return made<KvCache>(backend, [&](Backend& b) { return new KvCache(b.context, type, layers, pages, page_tokens, kv_heads, head_size); });
}
int64_t qwc_kv_bytes(int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size) {
  return guarded_value([&] { return kv_bytes(kv_pages(type, layers, pages, page_tokens, kv_heads, head_size)); });
}
void qwc_kv_free(int64_t cache) { release<KvCache>(cache); }

int32_t qwc_embed(int64_t backend, int64_t table, int64_t batch, int64_t x) {
  return operation(backend, [&](Backend& b) { embed(b, object<Weight>(table), BatchView(object<Buffer>(batch)), object<Buffer>(x)); });
}
int32_t qwc_rms_norm(int64_t backend, int64_t x, int64_t rows, int64_t gain, float epsilon, int64_t y) {
  return operation(backend, [&](Backend& b) { rms_norm(b, object<Buffer>(x), rows, object<Buffer>(gain), epsilon, object<Buffer>(y)); });
}
int32_t qwc_linear(int64_t backend, int64_t x, int64_t rows, int64_t weight, int64_t bias, bool add, int64_t y) {
  return operation(backend, [&](Backend& b) {
    linear(b, object<Buffer>(x), rows, object<Weight>(weight), object_or_null<Buffer>(bias), add, object<Buffer>(y));
  });
}
int32_t qwc_rotate_and_store(int64_t backend, int64_t qkv, int64_t bias, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                             int64_t head_size, int64_t chunk_length, int64_t cache, int64_t layer) {
  return operation(backend, [&](Backend& b) {
    rotate_and_store(b, object<Buffer>(qkv), object_or_null<Buffer>(bias), object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
                     {heads, kv_heads, head_size, 0, chunk_length}, object<KvCache>(cache), layer);
  });
}
int32_t qwc_choose_keys(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads,
                        int64_t head_size, float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice) {
  return operation(backend, [&](Backend& b) {
    choose_keys(b, object<Buffer>(qkv), object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
                {heads, kv_heads, head_size, scale, chunk_length}, object<KvCache>(cache), layer, object<Buffer>(choice));
  });
}
int32_t qwc_attention(int64_t backend, int64_t qkv, int64_t rotations, int64_t batch, int64_t heads, int64_t kv_heads, int64_t head_size,
                      float scale, int64_t chunk_length, int64_t cache, int64_t layer, int64_t choice, int64_t out, int64_t log_sum_exp) {
  return operation(backend, [&](Backend& b) {
    IntArray keys{};
    if (choice != 0) keys = object<Buffer>(choice);
    attention(b, object<Buffer>(qkv), object<Buffer>(rotations), BatchView(object<Buffer>(batch)),
              {heads, kv_heads, head_size, scale, chunk_length}, object<KvCache>(cache), layer, choice == 0 ? nullptr : &keys,
              object<Buffer>(out), object_or_null<Buffer>(log_sum_exp));
  });
}
int32_t qwc_route(int64_t backend, int64_t scores, int64_t rows, int64_t routing) {
  return operation(backend, [&](Backend& b) { route(b, object<Buffer>(scores), rows, object<Buffer>(routing)); });
}
int32_t qwc_expert_linear(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y) {
  return operation(backend, [&](Backend& b) {
    expert_linear(b, object<Buffer>(x), object<Buffer>(routing), object<Weight>(weight), object<Buffer>(y));
  });
}
int32_t qwc_expert_linear_add(int64_t backend, int64_t x, int64_t routing, int64_t weight, int64_t y) {
  return operation(backend, [&](Backend& b) {
    expert_linear_add(b, object<Buffer>(x), object<Buffer>(routing), object<Weight>(weight), object<Buffer>(y));
  });
}
int32_t qwc_sigmoid_gate(int64_t backend, int64_t x, int64_t rows, int64_t gate) {
  return operation(backend, [&](Backend& b) { sigmoid_gate(b, object<Buffer>(x), rows, object<Buffer>(gate)); });
}
int32_t qwc_swiglu(int64_t backend, int64_t x, int64_t rows, int64_t out) {
  return operation(backend, [&](Backend& b) { swiglu(b, object<Buffer>(x), rows, object<Buffer>(out)); });
}
int32_t qwc_relu(int64_t backend, int64_t x, int64_t rows) {
  return operation(backend, [&](Backend& b) { relu(b, object<Buffer>(x), rows); });
}
int32_t qwc_gather_outputs(int64_t backend, int64_t x, int64_t batch, int64_t out) {
  return operation(backend, [&](Backend& b) { gather_outputs(b, object<Buffer>(x), BatchView(object<Buffer>(batch)), object<Buffer>(out)); });
}
int32_t qwc_select_logits(int64_t backend, int64_t logits, int64_t selection, int64_t found) {
  return operation(backend, [&](Backend& b) {
    select_logits(b, object<Buffer>(logits), SelectionView(object<Buffer>(selection)), object<Buffer>(found));
  });
}

}  // extern "C"
