// The C interface as Java calls it: wrong arguments come back as a status, objects are counted, and a small layer computes on every
// target without touching memory that is not its own (under the address sanitizer).
#include <cmath>
#include <cstring>
#include <vector>

#include "api/qwen4j.h"
#include "check.h"
#include "common/status.h"
#include "cpu/table.h"

namespace qw::test {
namespace {

Checks checks;

float* floats(int64_t buffer) { return reinterpret_cast<float*>(qw_buffer_view(buffer).data); }
int32_t* ints(int64_t buffer) { return reinterpret_cast<int32_t*>(qw_buffer_view(buffer).data); }

void wrong_arguments() {
  const int64_t backend = qw_backend_create(kBaseline, 2, false);
  const int64_t x = qw_buffer_create(2, 8);
  checks.expect(qw_backend_create(kTargets, 1, false) == -kUnsupported, "an unknown target is made");
  checks.expect(qw_backend_create(kBaseline, 0, false) == -kInvalidArgument, "a backend without threads is made");
  checks.expect(qw_buffer_create(0, 1) == -kInvalidArgument && qw_buffer_create(INT64_MAX, INT64_MAX) == -kInvalidArgument, "an impossible buffer is made");
  checks.expect(qw_linear(0, x, 1, x, 0, false, x) == kInvalidArgument, "a null handle is taken");
  checks.expect(qw_linear(backend, x, 1, x, 0, false, x) == kInvalidArgument, "a handle of another kind is taken");
  checks.expect(qw_weight_create(0) == -kInvalidArgument, "a matrix without columns is made");
  checks.expect(qw_segment_bytes(backend, kWeightTypes, 1, 32) == -kInvalidArgument, "an unknown type has a size");
  checks.expect(qw_segment_bytes(backend, kQ8_0, 1, 33) == -kInvalidArgument, "a broken block has a size");
  int8_t text[300];
  checks.expect(qw_last_error(text, sizeof text) > 0 && qw_version(text, sizeof text) > 0 && qw_version(text, 0) == 0, "no message");
  qw_buffer_discard(x);
  checks.expect(qw_swiglu(backend, x, 1, x) == kInvalidArgument, "a discarded buffer is used");
  checks.expect(qw_relu(backend, x, 1) == kInvalidArgument, "a discarded buffer is changed");
  qw_buffer_free(x);
  qw_backend_free(backend);
}

// A matrix of ones times ones: every output is the number of columns, plus the bias.
void linear(int target, int threads) {
  const int64_t backend = qw_backend_create(target, threads, false);
  for (int64_t rows : {1, 16, 37}) {
    for (int64_t columns : {1, 33}) {
      for (int64_t tokens : {1, 2, 7, 19}) {
        const int64_t w = qw_weight_create(columns), arena = qw_arena_create(qw_segment_bytes(backend, kF32, rows, columns));
        checks.expect(qw_weight_add_segment(backend, w, kF32, rows, nullptr, arena) == kOk, "no segment");
        checks.expect(qw_weight_add_segment(backend, w, kF32, 1, nullptr, arena) == kInvalidArgument, "a segment beyond its arena");
        qw_arena_free(arena);
        std::vector<float> ones(static_cast<size_t>(rows * columns), 1.f);
        checks.expect(qw_weight_pack(w, 0, 0, rows, reinterpret_cast<int8_t*>(ones.data()), rows * columns * 4) == kOk, "not packed");
        checks.expect(qw_weight_pack(w, 0, 0, rows + 1, reinterpret_cast<int8_t*>(ones.data()), 4) == kInvalidArgument, "packed beyond");
        checks.expect(qw_weight_pack(w, 1, 0, rows, reinterpret_cast<int8_t*>(ones.data()), rows * columns * 4) == kInvalidArgument,
                      "packed into no segment");
        const int64_t x = qw_buffer_create(tokens, columns), y = qw_buffer_create(tokens, rows), bias = qw_buffer_create(1, rows);
        for (int64_t i = 0; i < tokens * columns; i++) floats(x)[i] = 1;
        for (int64_t i = 0; i < rows; i++) floats(bias)[i] = 0.5f;
        checks.expect(qw_linear(backend, x, tokens, w, bias, false, y) == kOk, "linear fails");
        checks.expect(qw_linear(backend, x, tokens, w, 0, true, y) == kOk, "linear adding fails");
        for (int64_t i = 0; i < tokens * rows; i++) {
          checks.expect(floats(y)[i] == static_cast<float>(2 * columns) + 0.5f, "target %d: output %ld is %g", target, static_cast<long>(i), floats(y)[i]);
        }
        for (int64_t buffer : {x, y, bias}) qw_buffer_free(buffer);
        qw_weight_free(w);
      }
    }
  }
  qw_backend_free(backend);
}

// Keys all alike: attention is the mean of the values seen, 0 .. position.
void attention(int target, int type, int64_t group, int64_t size, int64_t page_tokens, int64_t tokens) {
  const int64_t backend = qw_backend_create(target, 2, false);
  const int64_t pages = (tokens + page_tokens - 1) / page_tokens;
  const int64_t cache = qw_kv_create(type, 1, pages, page_tokens, 1, size);
  const int64_t width = (group + 2) * size;
  const int64_t rotation_width = (type == kKvInt8 ? 2 : 1) * size;
  const int64_t qkv = qw_buffer_create(tokens, width), rotation = qw_buffer_create(tokens, rotation_width);
  const int64_t out = qw_buffer_create(tokens, group * size), bias = qw_buffer_create(1, width);
  const int64_t batch = qw_buffer_create(1, 16 + 2 * tokens + 3 + pages);
  int32_t* b = ints(batch);
  const int32_t n = static_cast<int32_t>(tokens);
  const int32_t header[] = {n, 1, 0, static_cast<int32_t>(pages), 16, 16, 16 + n, 16 + 2 * n, 18 + 2 * n, 19 + 2 * n, 16};
  memcpy(b, header, sizeof header);
  b[17 + 2 * n] = n;
  for (int32_t i = 0; i < pages; i++) b[19 + 2 * n + i] = static_cast<int32_t>(pages) - 1 - i;
  for (int32_t t = 0; t < n; t++) {
    const int32_t page = static_cast<int32_t>(pages) - 1 - t / static_cast<int32_t>(page_tokens);
    b[16 + n + t] = page * static_cast<int32_t>(page_tokens) + t % static_cast<int32_t>(page_tokens);
    for (int64_t i = 0; i < rotation_width; i++) floats(rotation)[t * rotation_width + i] = i % size < size / 2;
    for (int64_t i = 0; i < width; i++) floats(qkv)[t * width + i] = i < (group + 1) * size ? 0.25f : static_cast<float>(t % 8);
  }
  for (int64_t i = 0; i < width; i++) floats(bias)[i] = static_cast<float>(i % 3);
  checks.expect(qw_rotate_and_store(backend, qkv, bias, rotation, batch, group, 1, size, 0, cache, 0) == kOk, "rotate_and_store fails");
  checks.expect(qw_attention(backend, qkv, rotation, batch, group, 1, size, 0.5f, 0, cache, 0, 0, out, 0) == kOk, "attention fails");
  double sum = 0;
  for (int64_t t = 0; t < tokens; t++) {
    sum += static_cast<double>(t % 8);
    const double mean = sum / static_cast<double>(t + 1);
    for (int64_t i = 0; i < group * size; i++) {
      const float value = floats(out)[t * group * size + i];
      checks.expect(std::fabs(value - mean) < (type == kKvInt8 ? 2e-3 : 1e-4), "target %d: token %ld element %ld is %g, expected %g", target, static_cast<long>(t),
                    static_cast<long>(i), value, mean);
    }
  }
  for (int64_t buffer : {qkv, rotation, out, bias, batch}) qw_buffer_free(buffer);
  qw_kv_free(cache);
  qw_backend_free(backend);
}

// Expert e is a matrix of e + 1; every token of ones goes to the two of highest score, in equal parts.
void experts(int target, int64_t rows, int64_t columns, int64_t tokens) {
  constexpr int64_t kExperts = 5, kUsed = 2;
  const int64_t backend = qw_backend_create(target, 2, false);
  const int64_t w = qw_weight_create(columns), arena = qw_arena_create(kExperts * (qw_segment_bytes(backend, kF32, rows, columns) + 64));
  for (int32_t e = 0; e < kExperts; e++) {
    checks.expect(qw_weight_add_segment(backend, w, kF32, rows, nullptr, arena) == kOk, "no segment");
    std::vector<float> values(static_cast<size_t>(rows * columns), static_cast<float>(e + 1));
    checks.expect(qw_weight_pack(w, e, 0, rows, reinterpret_cast<int8_t*>(values.data()), rows * columns * 4) == kOk, "not packed");
  }
  qw_arena_free(arena);
  const int64_t routing = qw_buffer_create(1, 4 + kExperts + 1 + 2 * tokens * kUsed), scores = qw_buffer_create(tokens, kExperts);
  ints(routing)[0] = kExperts;
  ints(routing)[1] = kUsed;
  for (int64_t t = 0; t < tokens; t++) floats(scores)[t * kExperts + t % kExperts] = floats(scores)[t * kExperts + (t + 2) % kExperts] = 90;
  checks.expect(qw_route(backend, scores, tokens, routing) == kOk, "routing fails");
  const int64_t x = qw_buffer_create(tokens, columns), y = qw_buffer_create(tokens * kUsed, rows);
  const int64_t all = qw_buffer_create(tokens * kUsed, columns), sum = qw_buffer_create(tokens, rows);
  for (int64_t i = 0; i < tokens * columns; i++) floats(x)[i] = 1;
  for (int64_t i = 0; i < tokens * kUsed * columns; i++) floats(all)[i] = 1;
  checks.expect(qw_expert_linear(backend, x, routing, w, y) == kOk, "experts fail");
  checks.expect(qw_expert_linear_add(backend, all, routing, w, sum) == kOk, "adding experts fails");
  const int32_t* first = ints(routing) + 4;
  for (int64_t e = 0; e < kExperts; e++) {
    for (int64_t i = first[e] * rows; i < first[e + 1] * rows; i++) {
      checks.expect(floats(y)[i] == static_cast<float>((e + 1) * columns), "target %d: expert %ld gives %g", target, static_cast<long>(e), floats(y)[i]);
    }
  }
  for (int64_t i = 0; i < tokens * rows; i++) {
    const int64_t t = i / rows;
    const double expected = 0.5 * static_cast<double>((t % kExperts + 1 + (t + 2) % kExperts + 1) * columns);
    checks.expect(std::fabs(floats(sum)[i] - expected) < 1e-3, "target %d: the sum of token %ld is %g", target, static_cast<long>(t), floats(sum)[i]);
  }
  checks.expect(qw_expert_linear(backend, y, routing, w, y) == kInvalidArgument, "an input is written over");
  checks.expect(qw_expert_linear(backend, x, scores, w, y) == kInvalidArgument, "scores are taken for a routing");
  checks.expect(qw_route(backend, scores, tokens + 1, routing) == kInvalidArgument, "more tokens than scores are routed");
  for (int32_t damage : {-1, 1 << 30}) {
    for (int64_t at = 0; at < 4 + kExperts + 1 + tokens * kUsed; at++) {
      const int32_t kept = ints(routing)[at];
      if (at == 2) continue;  // whether weights are divided by their sum
      ints(routing)[at] = damage;
      checks.expect(qw_expert_linear(backend, x, routing, w, y) == kInvalidArgument, "%d is taken at %ld of a routing", damage, static_cast<long>(at));
      checks.expect(qw_expert_linear_add(backend, all, routing, w, sum) == kInvalidArgument, "%d is taken at %ld", damage, static_cast<long>(at));
      ints(routing)[at] = kept;
    }
  }
  for (int64_t buffer : {routing, scores, x, y, all, sum}) qw_buffer_free(buffer);
  qw_weight_free(w);
  qw_backend_free(backend);
}

}  // namespace
}  // namespace qw::test

int main() {
  using namespace qw::test;
  wrong_arguments();
  for (int target = 0; target <= qw_best_target(); target++) {
    for (int threads : {1, 3}) linear(target, threads);
    for (int64_t tokens : {1, 2, 7, 130}) experts(target, 37, 33, tokens);
    for (int type = 0; type < qw::kKvTypes; type++) {
      attention(target, type, 1, 16, 16, 40);
      attention(target, type, 7, 64, 5, 70);
      attention(target, type, 70, 48, 64, 20);
      attention(target, type, 2, 16, 64, 1100);
    }
  }
  checks.expect(qw_live_objects() == 0 && qw_live_mappings() == 0, "%ld objects and %ld mappings are left", static_cast<long>(qw_live_objects()),
                static_cast<long>(qw_live_mappings()));
  return checks.finish("api_test");
}
