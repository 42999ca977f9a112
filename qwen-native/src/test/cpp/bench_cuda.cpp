// Time of each operation of a decode step and of a prefill slice on the shapes of Qwen2.5 models, beside the time in which the device's memory gives
// the bytes that it reads. On a card; run by benchmarks/gpu/run.sh.
//   bench_cuda GB_PER_S [REPEATS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "cpu/kernels.h"
#include "quant_reference.h"

namespace qw::test {
namespace {

struct Model {
  const char* name;
  int64_t hidden, heads, kv_heads, head_size, ffn, vocabulary;
};
constexpr Model kModels[] = {{"0.5B", 896, 14, 2, 64, 4864, 151936},    {"1.5B", 1536, 12, 2, 128, 8960, 151936},
                             {"7B", 3584, 28, 4, 128, 18944, 152064},   {"14B", 5120, 40, 8, 128, 13824, 152064},
                             {"32B", 5120, 40, 8, 128, 27648, 152064}};

double bandwidth;
int repeats = 20;
int64_t backend;

void stop(const char* what) {
  int8_t text[256];
  const int32_t length = qwc_last_error(text, sizeof text);
  fprintf(stderr, "%s fails: %.*s\n", what, length, reinterpret_cast<char*>(text));
  exit(1);
}
int64_t made(int64_t handle, const char* what) {
  if (handle <= 0) stop(what);
  return handle;
}
void done(int32_t status, const char* what) {
  if (status != 0) stop(what);
}

// Median of the times of a call, in microseconds. Calls follow each other without waiting, as those of a step do.
double time_of(const std::function<int32_t()>& call) {
  done(call(), "a call");
  done(qwc_backend_wait(backend), "waiting");
  std::vector<double> times;
  constexpr int kCalls = 16;
  for (int i = 0; i < repeats; i++) {
    const auto begin = std::chrono::steady_clock::now();
    for (int k = 0; k < kCalls; k++) done(call(), "a call");
    done(qwc_backend_wait(backend), "waiting");
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / kCalls);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void report(const char* model, const std::string& what, double microseconds, double bytes) {
  const double floor = bytes / bandwidth / 1e3;
  printf("%-5s %-34s %10.1f us, floor %9.1f us, %5.1f %%\n", model, what.c_str(), microseconds, floor, 100 * floor / microseconds);
  fflush(stdout);
}

// Random values: zeros would let a card run faster than it does.
int64_t floats(int64_t rows, int64_t columns) {
  static std::mt19937 random(1);
  const int64_t buffer = made(qwc_buffer_create(backend, rows, columns, false), "a buffer");
  done(qwc_buffer_look(buffer), "a buffer");
  float* values = reinterpret_cast<float*>(qwc_buffer_view(buffer).data);
  for (int64_t i = 0; i < rows * columns; i++) values[i] = static_cast<float>(random() % 2001) / 1000 - 1;
  return buffer;
}
void free_buffer(int64_t buffer) {
  qwc_buffer_discard(buffer);
  qwc_buffer_free(buffer);
}

int64_t weight(WeightType type, int64_t rows, int64_t columns) {
  static std::mt19937 random(2);
  int64_t row = columns * 2;
  const BlockType* block = nullptr;
  for (const BlockType& t : block_types()) {
    if (t.type == type) block = &t;
  }
  if (block != nullptr) row = columns / block->columns * block->bytes;
  const int64_t w = made(qwc_weight_create(columns), "a weight");
  const int64_t arena = made(qwc_arena_create(backend, qwc_segment_bytes(type, rows, columns)), "memory for a weight");
  done(qwc_weight_add_segment(w, type, rows, arena), "a segment");
  qwc_arena_free(arena);
  const int64_t at_once = std::min<int64_t>(rows, 1024);
  const int64_t staging = made(qwc_staging_create(backend, at_once * row), "a staging");
  uint8_t* bytes = reinterpret_cast<uint8_t*>(qwc_staging_view(staging).data);
  for (int64_t i = 0; block == nullptr && i < at_once * columns; i++) {
    const uint16_t value = static_cast<uint16_t>(0x3c00 + random() % 0x200 + (random() & 1) * 0x8000);
    memcpy(bytes + 2 * i, &value, 2);
  }
  for (int64_t i = 0; block != nullptr && i < at_once * row; i += block->bytes) fill_block(*block, Fill::kRandom, random, bytes + i);
  for (int64_t r = 0; r < rows; r += at_once) {
    const int64_t count = std::min(at_once, rows - r);
    done(qwc_weight_pack(w, 0, r, count, staging, count * row), "packing");
  }
  done(qwc_staging_wait(staging), "packing");
  qwc_staging_free(staging);
  return w;
}

void products(const Model& m) {
  const struct {
    const char* name;
    int64_t rows, columns;
  } shapes[] = {{"qkv", (m.heads + 2 * m.kv_heads) * m.head_size, m.hidden}, {"o", m.hidden, m.heads * m.head_size},
                {"gate+up", 2 * m.ffn, m.hidden}, {"down", m.hidden, m.ffn}, {"head", m.vocabulary, m.hidden}};
  const struct {
    WeightType type;
    const char* name;
  } types[] = {{kBF16, "BF16"}, {kQ8_0, "Q8_0"}, {kQ4_0, "Q4_0"}, {kQ4_K, "Q4_K"}, {kQ5_K, "Q5_K"}, {kQ6_K, "Q6_K"}};
  for (const auto& type : types) {
    for (const auto& shape : shapes) {
      if (type.type >= kQ2_K && shape.columns % 256 != 0) continue;
      const int64_t w = weight(type.type, shape.rows, shape.columns), x = floats(512, shape.columns), y = floats(512, shape.rows);
      const double bytes = static_cast<double>(qwc_segment_bytes(type.type, shape.rows, shape.columns));
      for (int64_t tokens : {1, 4, 8, 512}) {
        report(m.name, std::string(shape.name) + " " + type.name + ", " + std::to_string(tokens) + " tokens",
               time_of([&] { return qwc_linear(backend, x, tokens, w, 0, false, y); }), bytes);
      }
      free_buffer(x);
      free_buffer(y);
      qwc_weight_free(w);
    }
  }
}

// One sequence that decodes behind `length` cached tokens, and a slice of 512 tokens.
void attention(const Model& m) {
  constexpr int kPageTokens = 64;
  for (int64_t length : {1024, 8192, 32768}) {
    const int32_t pages = static_cast<int32_t>(length / kPageTokens + 9);
    const int64_t cache = made(qwc_kv_create(backend, 2, 1, pages, kPageTokens, m.kv_heads, m.head_size), "a KV cache");
    const int64_t width = (m.heads + 2 * m.kv_heads) * m.head_size;
    for (int32_t tokens : {1, 512}) {
      const int64_t batch = made(qwc_buffer_create(backend, 1, 16 + 3 * tokens + 3 + pages, true), "a batch");
      int32_t* b = reinterpret_cast<int32_t*>(qwc_buffer_view(batch).data);
      const int32_t header[] = {tokens, 1, 0, pages, 16, 16, 16 + tokens, 16 + 2 * tokens, 18 + 2 * tokens, 19 + 2 * tokens, 16};
      memcpy(b, header, sizeof header);
      b[17 + 2 * tokens] = tokens;
      b[18 + 2 * tokens] = static_cast<int32_t>(length);
      for (int32_t i = 0; i < pages; i++) b[19 + 2 * tokens + i] = i;
      for (int32_t t = 0; t < tokens; t++) b[16 + tokens + t] = static_cast<int32_t>(length) + t;
      const int64_t qkv = floats(tokens, width), rotations = floats(tokens, m.head_size), out = floats(tokens, m.heads * m.head_size);
      const std::string name = std::to_string(tokens) + " tokens behind " + std::to_string(length);
      report(m.name, "store " + name, time_of([&] {
               return qwc_rotate_and_store(backend, qkv, 0, rotations, batch, m.heads, m.kv_heads, m.head_size, 0, cache, 0);
             }), static_cast<double>(tokens * width * 4));
      report(m.name, "attention of " + name, time_of([&] {
               return qwc_attention(backend, qkv, rotations, batch, m.heads, m.kv_heads, m.head_size, 0.1f, 0, cache, 0, 0, out, 0);
             }), static_cast<double>(length * m.kv_heads * m.head_size * 4));
      for (int64_t buffer : {batch, qkv, rotations, out}) free_buffer(buffer);
    }
    qwc_kv_free(cache);
  }
}

void rows(const Model& m) {
  for (int64_t tokens : {1, 512}) {
    const int64_t x = floats(tokens, m.hidden), gain = floats(1, m.hidden), wide = floats(tokens, 2 * m.ffn), gated = floats(tokens, m.ffn);
    const std::string name = std::to_string(tokens) + " tokens";
    report(m.name, "norm of " + name, time_of([&] { return qwc_rms_norm(backend, x, tokens, gain, 1e-6f, x); }), static_cast<double>(tokens * m.hidden * 8));
    report(m.name, "gated unit of " + name, time_of([&] { return qwc_swiglu(backend, wide, tokens, gated); }), static_cast<double>(tokens * m.ffn * 12));
    for (int64_t buffer : {x, gain, wide, gated}) free_buffer(buffer);
  }
}

}  // namespace
}  // namespace qw::test

int main(int count, char** arguments) {
  using namespace qw::test;
  bandwidth = count > 1 ? atof(arguments[1]) : 0;
  if (count > 2) repeats = atoi(arguments[2]);
  if (bandwidth <= 0 || repeats < 1) {
    fprintf(stderr, "usage: bench_cuda GB_PER_S [REPEATS]\n");
    return 2;
  }
  backend = made(qwc_backend_create(0, false), "a backend");
  for (const Model& model : kModels) {
    rows(model);
    attention(model);
    products(model);
  }
  qwc_backend_free(backend);
  return 0;
}
