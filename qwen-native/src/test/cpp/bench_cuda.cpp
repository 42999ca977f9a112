// Times of the operations of the CUDA backend on the shapes of Qwen2.5 models, beside the larger of two times: that in which the device's
// memory gives the bytes they read and write, and that in which its matrix units do their arithmetic. Run on a card by
// benchmarks/gpu/run.sh.
//   bench_cuda [--models 7B,0.5B] [--bandwidth GB_PER_S] [--tflops T] [--seconds S] [--csv FILE]
//   bench_cuda --tiny    everything once, on a model that an emulated device can compute
// The bandwidth is that of a copy, measured first where none is given; the TFLOP/s are those of 16-bit floating point. After S seconds no
// further cell is begun; what was left out is said.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "bench_report.h"
#include "cpu/kernels.h"
#include "cuda/objects.h"
#include "device_ceilings.h"
#include "device_times.h"
#include "quant_reference.h"

namespace qw::test {
namespace {

struct Model {
  std::string name;
  int64_t hidden, layers, heads, kv_heads, head_size, ffn, vocabulary;
};
// Those with the most users first: time may end.
const Model kModels[] = {{"7B", 3584, 28, 28, 4, 128, 18944, 152064},   {"0.5B", 896, 24, 14, 2, 64, 4864, 151936},
                         {"1.5B", 1536, 28, 12, 2, 128, 8960, 151936},  {"14B", 5120, 48, 40, 8, 128, 13824, 152064},
                         {"3B", 2048, 36, 16, 2, 128, 11008, 151936},   {"32B", 5120, 64, 40, 8, 128, 27648, 152064},
                         {"72B", 8192, 80, 64, 8, 128, 29568, 152064}};
const Model kTiny = {"tiny", 256, 2, 4, 2, 64, 256, 70};

struct Type {
  WeightType type;
  const char* name;
  bool all_tokens;
};
// All numbers of tokens for the types that users take first; Q5_0 stands for Q4_K in rows that are no multiple of 256, as in files.
const Type kTypes[] = {{kBF16, "BF16", true},  {kQ8_0, "Q8_0", true},           {kQ4_K, "Q4_K", true},           {kQ5_0, "Q5_0", true},
                       {kQ6_K, "Q6_K", false}, {kQ4_0, "Q4_0", false},          {kQ5_K, "Q5_K", false},          {kF16, "F16", false},
                       {kF32, "F32", false},   {kINT4_G128, "INT4_G128", false}, {kINT8_G128, "INT8_G128", false}};

// More than four times the cache of a card, so that what is read twice comes from memory: an H100 has 50 MB, an H200 60 MB.
constexpr int64_t kBeyondCache = int64_t{256} << 20;
constexpr int kPageTokens = 32;
constexpr int kF16Keys = 1, kInt8Keys = 3;

bool tiny = false;
double seconds = 1e9;
std::chrono::steady_clock::time_point begin;
int64_t backend;
std::unique_ptr<DeviceTimer> timer;
std::unique_ptr<BenchReport> results;
long left_out = 0;

[[noreturn]] void stop(const std::string& what) {
  int8_t text[256];
  const int32_t length = qwc_last_error(text, sizeof text);
  fprintf(stderr, "%s fails: %.*s\n", what.c_str(), length, reinterpret_cast<char*>(text));
  exit(1);
}
int64_t made(int64_t handle, const char* what) {
  if (handle <= 0) stop(what);
  return handle;
}
void done(int32_t status, const char* what) {
  if (status != 0) stop(what);
}
const cuda::Stream& stream() { return object<cuda::Backend>(backend).context->stream; }

enum class From { kGraph, kStream };

// Times calls 0, 1, 2, ... that go round over `sets` sets of operands. Those that wait for the device cannot be kept as a graph.
Measured time_of(const std::string& what, int64_t sets, const std::function<int32_t(int64_t)>& call, From from = From::kGraph) {
  // Each set once: memory is taken, and integers are sent, only by the first calls.
  for (int64_t i = 0; i < sets; i++) done(call(i), what.c_str());
  done(qwc_backend_wait(backend), what.c_str());
  int64_t calls = 1;
  const auto work = [&] {
    for (int64_t i = 0; i < calls; i++) {
      if (call(i % sets) != 0) return false;
    }
    return true;
  };
  const auto prepare = [&] { return from == From::kGraph ? timer->prepare(work) : timer->take(work); };
  prepare();
  const double once = timer->run();
  if (once < 0) stop(what);
  // A sample of two milliseconds, and 0.15 seconds of samples.
  calls = tiny ? 1 : std::clamp<int64_t>(static_cast<int64_t>(2000 / std::max(once, 1.)), 1, 400);
  const int most = tiny ? 1 : once > 1e5 ? 2 : std::clamp(static_cast<int>(150000 / (once * static_cast<double>(calls))), 3, 15);
  Measured result;
  result.calls = static_cast<int>(calls);
  result.graph = prepare();
  if (timer->run() < 0) stop(what);
  std::vector<double> times;
  for (int i = 0; i < most; i++) {
    const double time = timer->run();
    if (time < 0) stop(what);
    times.push_back(time / static_cast<double>(calls));
  }
  std::sort(times.begin(), times.end());
  result.median = times[times.size() / 2];
  result.least = times.front();
  result.most = times.back();
  return result;
}

bool time_is_left() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds;
}

void measure(const Cell& cell, const Work& work, int64_t sets, const std::function<int32_t(int64_t)>& call, From from = From::kGraph) {
  if (!time_is_left()) {
    left_out++;
    return;
  }
  results->add(cell, work, time_of(cell.model + " " + cell.operation + " " + cell.type, sets, call, from));
}

// Fast, and no two numbers of a row alike: zeros would let a card run faster than it does.
struct Random {
  uint64_t state;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
  // -1 .. 1
  float value() { return static_cast<float>(static_cast<int32_t>(next() >> 32)) * 0x1p-31f; }
};
Random source{88172645463325252u};

class Floats {
 public:
  Floats(int64_t rows, int64_t columns, bool filled = true) : handle(made(qwc_buffer_create(backend, rows, columns, false), "a buffer")) {
    if (!filled) return;
    done(qwc_buffer_look(handle), "a buffer");
    float* values = reinterpret_cast<float*>(qwc_buffer_view(handle).data);
    for (int64_t i = 0; i < rows * columns; i++) values[i] = source.value();
  }
  Floats(Floats&& other) noexcept : handle(other.handle) { other.handle = 0; }
  Floats& operator=(Floats&&) = delete;
  ~Floats() {
    if (handle == 0) return;
    qwc_buffer_discard(handle);
    qwc_buffer_free(handle);
  }
  int64_t handle;
};

// So many that one after the other they are not in the cache, within reason.
std::vector<Floats> sets_of(int64_t rows, int64_t columns, bool filled = true) {
  const int64_t bytes = rows * columns * 4, count = tiny ? 2 : std::clamp<int64_t>((kBeyondCache + bytes - 1) / bytes, 1, 64);
  std::vector<Floats> sets;
  for (int64_t i = 0; i < count; i++) sets.emplace_back(rows, columns, filled);
  return sets;
}

// Matrices of one shape and type, as many as do not stay in the cache.
class Weights {
 public:
  Weights(WeightType type, int64_t rows, int64_t columns) : bytes(qwc_segment_bytes(type, rows, columns)) {
    if (bytes <= 0) stop("the size of a matrix");
    int64_t row = columns * (type == kF32 ? 4 : 2);
    const BlockType* block = nullptr;
    for (const BlockType& t : block_types()) {
      if (t.type == type) block = &t;
    }
    if (block != nullptr) row = columns / block->columns * block->bytes;
    const int64_t at_once = std::min<int64_t>(rows, std::max<int64_t>(1, (int64_t{4} << 20) / row));
    const int64_t staging = made(qwc_staging_create(backend, at_once * row), "a staging");
    fill(type, block, reinterpret_cast<uint8_t*>(qwc_staging_view(staging).data), at_once * row);
    const int64_t count = tiny ? 2 : std::max<int64_t>(1, (kBeyondCache + bytes - 1) / bytes);
    for (int64_t i = 0; i < count; i++) {
      const int64_t w = made(qwc_weight_create(columns), "a weight");
      const int64_t arena = made(qwc_arena_create(backend, bytes), "memory for a weight");
      done(qwc_weight_add_segment(w, type, rows, nullptr, arena), "a segment");
      qwc_arena_free(arena);
      for (int64_t r = 0; r < rows; r += at_once) {
        const int64_t part = std::min(at_once, rows - r);
        done(qwc_weight_pack(w, 0, r, part, staging, part * row), "packing");
      }
      handles.push_back(w);
    }
    done(qwc_staging_wait(staging), "packing");
    done(qwc_backend_wait(backend), "packing");
    qwc_staging_free(staging);
  }
  ~Weights() {
    for (int64_t w : handles) qwc_weight_free(w);
  }
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  const int64_t bytes;
  std::vector<int64_t> handles;

 private:
  static void fill(WeightType type, const BlockType* block, uint8_t* to, int64_t bytes) {
    static std::mt19937 random(2);
    for (int64_t i = 0; block != nullptr && i < bytes; i += block->bytes) fill_block(*block, Fill::kRandom, random, to + i);
    for (int64_t i = 0; block == nullptr && i < bytes / (type == kF32 ? 4 : 2); i++) {
      const float value = source.value();
      uint32_t bits;
      memcpy(&bits, &value, 4);
      const uint16_t half = static_cast<uint16_t>(type == kBF16 ? bits >> 16 : 0x2c00 + source.next() % 0x0c00 + (bits >> 16 & 0x8000));
      memcpy(to + i * (type == kF32 ? 4 : 2), type == kF32 ? static_cast<const void*>(&bits) : &half, type == kF32 ? 4 : 2);
    }
  }
};

std::vector<int64_t> token_counts(bool all, bool head) {
  if (tiny) return {1, 3};
  std::vector<int64_t> counts = all ? std::vector<int64_t>{1, 4, 8, 16, 32, 64, 128, 512, 2048, 8192} : std::vector<int64_t>{1, 8, 512};
  // Of a prompt only the last token goes through the head.
  if (head) counts.erase(std::remove_if(counts.begin(), counts.end(), [](int64_t c) { return c > 128; }), counts.end());
  return counts;
}

// The product of few tokens together with the norm or gated unit before it.
void fused(const Cell& cell, Work work, const Weights& w, int64_t columns, const Floats& x, const Floats& y) {
  if (cell.tokens > 8) return;
  const int64_t sets = static_cast<int64_t>(w.handles.size());
  const auto weight = [&](int64_t i) { return w.handles[static_cast<size_t>(i % sets)]; };
  const Floats between(cell.tokens, columns, false);
  if (cell.operation == "qkv" || cell.operation == "gate+up") {
    const Floats gain(1, columns);
    measure({cell.model, "norm+" + cell.operation, cell.type, cell.tokens, 0}, work, sets, [&](int64_t i) {
      return qwc_norm_linear(backend, x.handle, cell.tokens, gain.handle, 1e-6f, between.handle, weight(i), 0, y.handle);
    });
  }
  if (cell.operation == "down") {
    const Floats wide(cell.tokens, 2 * columns);
    work.bytes += 4. * static_cast<double>(cell.tokens * columns);
    measure({cell.model, "swiglu+down", cell.type, cell.tokens, 0}, work, sets,
            [&](int64_t i) { return qwc_swiglu_linear_add(backend, wide.handle, cell.tokens, between.handle, weight(i), y.handle); });
  }
}

void products(const Model& m) {
  const struct {
    const char* name;
    int64_t rows, columns;
  } shapes[] = {{"qkv", (m.heads + 2 * m.kv_heads) * m.head_size, m.hidden}, {"o", m.hidden, m.heads * m.head_size},
                {"gate+up", 2 * m.ffn, m.hidden}, {"down", m.hidden, m.ffn}, {"head", m.vocabulary, m.hidden}};
  const int64_t most = token_counts(true, false).back();
  std::map<int64_t, Floats> inputs;
  for (const auto& shape : shapes) {
    const bool head = shape.rows == m.vocabulary;
    const int64_t outputs = head ? token_counts(true, true).back() : most;
    if (inputs.find(shape.columns) == inputs.end()) inputs.emplace(shape.columns, Floats(most, shape.columns));
    const Floats& x = inputs.at(shape.columns);
    const Floats y(outputs, shape.rows, false);
    for (const Type& type : kTypes) {
      // Types that are in no file of this shape.
      const bool blocks = type.type >= kQ2_K && type.type <= kQ6_K;
      if ((blocks && shape.columns % 256 != 0) || (type.type == kQ5_0 && shape.columns % 256 == 0 && !tiny)) continue;
      if (tiny && !type.all_tokens && !head) continue;
      if (!time_is_left()) {
        left_out++;
        continue;
      }
      const Weights w(type.type, shape.rows, shape.columns);
      // The head of a file of Q4_K has Q6_K.
      for (int64_t tokens : token_counts(type.all_tokens || (head && type.type == kQ6_K), head)) {
        const double values = static_cast<double>(shape.rows) * static_cast<double>(shape.columns);
        const Work work{static_cast<double>(w.bytes) + 4. * static_cast<double>(tokens * (shape.rows + shape.columns)),
                        2 * static_cast<double>(tokens) * values, type.type != kBF16 && type.type != kF16 && type.type != kF32};
        measure({m.name, shape.name, type.name, tokens, 0}, work, static_cast<int64_t>(w.handles.size()), [&](int64_t i) {
          return qwc_linear(backend, x.handle, tokens, w.handles[static_cast<size_t>(i)], 0, false, y.handle);
        });
        fused({m.name, shape.name, type.name, tokens, 0}, work, w, shape.columns, x, y);
      }
    }
  }
}

// Slices of sequences that all have as many tokens in the cache, and room for `length` ones; pages lie anywhere.
class Batch {
 public:
  Batch(int64_t sequences, int64_t cached, int64_t count, int64_t length) : tokens(sequences * count) {
    const int64_t stride = (length + kPageTokens - 1) / kPageTokens, pages = sequences * stride;
    const int64_t ids = 16, positions = ids + tokens, slots = positions + tokens, starts = slots + tokens, lengths = starts + sequences + 1;
    const int64_t tables = lengths + sequences, outputs = tables + pages;
    handle = made(qwc_buffer_create(backend, 1, outputs + tokens, true), "a batch");
    int32_t* b = reinterpret_cast<int32_t*>(qwc_buffer_view(handle).data);
    const int64_t header[] = {tokens, sequences, tokens, stride, ids, positions, slots, starts, lengths, tables, outputs};
    for (size_t i = 0; i < std::size(header); i++) b[i] = static_cast<int32_t>(header[i]);
    for (int64_t p = 0; p < pages; p++) b[tables + p] = static_cast<int32_t>(p * 7919 % pages);
    for (int64_t t = 0; t < tokens; t++) {
      const int64_t s = t / count, position = cached + t % count;
      b[ids + t] = static_cast<int32_t>(t % 300);
      b[positions + t] = static_cast<int32_t>(position);
      b[slots + t] = b[tables + s * stride + position / kPageTokens] * kPageTokens + static_cast<int32_t>(position % kPageTokens);
      b[outputs + t] = static_cast<int32_t>(t);
    }
    for (int64_t s = 0; s <= sequences; s++) b[starts + s] = static_cast<int32_t>(s * count);
    for (int64_t s = 0; s < sequences; s++) b[lengths + s] = static_cast<int32_t>(cached);
  }
  ~Batch() {
    qwc_buffer_discard(handle);
    qwc_buffer_free(handle);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  static int64_t pages(int64_t sequences, int64_t length) { return sequences * ((length + kPageTokens - 1) / kPageTokens); }
  const int64_t tokens;
  int64_t handle;
};

// Attention of `count` tokens of each of `sequences` sequences behind `cached` ones, and storing their keys and values. The layers of the
// cache are taken in turn.
void attend(const Model& m, int type, int64_t sequences, int64_t cached, int64_t count) {
  if (!time_is_left()) {
    left_out++;
    return;
  }
  const int64_t length = cached + count, width = (m.heads + 2 * m.kv_heads) * m.head_size;
  const double element = type == kInt8Keys ? 1 : 2;
  const double cache_bytes = static_cast<double>(sequences * m.kv_heads * m.head_size * 2) * element;  // of each position
  const int64_t beyond = static_cast<int64_t>(kBeyondCache / (cache_bytes * static_cast<double>(length))) + 1;
  const int64_t layers = tiny ? 2 : std::clamp<int64_t>(beyond, 1, count == 1 ? 64 : 4);
  const int64_t cache = qwc_kv_create(backend, type, layers, Batch::pages(sequences, length), kPageTokens, m.kv_heads, m.head_size);
  if (cache <= 0) stop("a KV cache");
  const int64_t sections = type == kInt8Keys ? 2 : 1;
  const Batch batch(sequences, cached, count, length);
  const Floats rotations(batch.tokens, sections * m.head_size), out(batch.tokens, m.heads * m.head_size, false), bias(1, width);
  std::vector<Floats> qkv = sets_of(batch.tokens, width);
  const auto store = [&](int64_t layer, int64_t rows, int64_t turns, int64_t b) {
    const int64_t centre = type == kInt8Keys ? bias.handle : 0;
    return qwc_rotate_and_store(backend, rows, centre, turns, b, m.heads, m.kv_heads, m.head_size, 0, cache, layer);
  };
  // Keys and values of earlier tokens.
  const int64_t part = std::min(cached, std::max<int64_t>(1, 8192 / sequences));
  if (cached > 0) {
    const Floats rows(sequences * part, width), turned(sequences * part, sections * m.head_size);
    for (int64_t at = 0; at < cached; at += part) {
      const Batch earlier(sequences, at, std::min(part, cached - at), length);
      for (int64_t layer = 0; layer < layers; layer++) done(store(layer, rows.handle, turned.handle, earlier.handle), "filling a KV cache");
      done(qwc_backend_wait(backend), "filling a KV cache");
    }
  }
  const std::string name = type == kInt8Keys ? "int8" : "f16";
  const std::string what = count == 1 ? "decode" : "prefill";
  const int64_t turns = static_cast<int64_t>(qkv.size());
  const double tokens = static_cast<double>(batch.tokens);
  measure({m.name, what + " store", name, batch.tokens, cached}, {tokens * static_cast<double>(width) * 8, 0}, std::max(turns, layers),
          [&](int64_t i) { return store(i % layers, qkv[static_cast<size_t>(i % turns)].handle, rotations.handle, batch.handle); });
  const double pairs = tokens * (static_cast<double>(cached) + 0.5 * static_cast<double>(count + 1));
  const double q_and_out = tokens * static_cast<double>(2 * m.heads * m.head_size) * 4;
  const Work work{cache_bytes * static_cast<double>(length) + q_and_out, 4 * pairs * static_cast<double>(m.heads * m.head_size)};
  measure({m.name, what + " attend", name, batch.tokens, cached}, work, std::max(turns, layers), [&](int64_t i) {
    const int64_t rows = qkv[static_cast<size_t>(i % turns)].handle;
    return qwc_attention(backend, rows, rotations.handle, batch.handle, m.heads, m.kv_heads, m.head_size, 0.088f, 0, cache, i % layers, 0,
                         out.handle, 0);
  });
  qwc_kv_free(cache);
}

void attention(const Model& m) {
  if (tiny) {
    for (int type : {kF16Keys, kInt8Keys}) {
      attend(m, type, 2, 40, 1);
      attend(m, type, 1, 33, 20);
      attend(m, type, 1, 0, 9);
    }
    return;
  }
  for (int type : {kF16Keys, kInt8Keys}) {
    for (int64_t cached : {1024, 8192, 32768}) {
      for (int64_t sequences : {1, 8, 32}) attend(m, type, sequences, cached, 1);
      attend(m, type, 1, cached, 512);
    }
    for (int64_t count : {128, 512, 2048, 8192}) attend(m, type, 1, 0, count);
  }
}

// A slice of a long prompt that attends to chosen keys only: choosing them, which waits for the device, and attending.
void sparse(const Model& m, int64_t cached, int64_t count, int32_t columns, int32_t diagonals) {
  if (!time_is_left()) {
    left_out++;
    return;
  }
  const int64_t length = cached + count, width = (m.heads + 2 * m.kv_heads) * m.head_size, part = std::min<int64_t>(cached, 8192);
  const int64_t cache = qwc_kv_create(backend, kF16Keys, 1, Batch::pages(1, length), kPageTokens, m.kv_heads, m.head_size);
  if (cache <= 0) stop("a KV cache");
  const auto store = [&](const Floats& rows, const Floats& turns, const Batch& batch) {
    done(qwc_rotate_and_store(backend, rows.handle, 0, turns.handle, batch.handle, m.heads, m.kv_heads, m.head_size, 0, cache, 0),
         "storing");
  };
  const Floats rows(std::max(part, count), width), turns(std::max(part, count), m.head_size), out(count, m.heads * m.head_size, false);
  for (int64_t at = 0; at < cached; at += part) store(rows, turns, Batch(1, at, std::min(part, cached - at), length));
  const Batch batch(1, cached, count, length);
  store(rows, turns, batch);
  const int64_t budgets = 8 + 3, choices = budgets + 2 * m.heads;
  const int64_t choice = made(qwc_buffer_create(backend, 1, choices + m.heads * (2 + columns + diagonals), true), "a choice");
  int32_t* c = reinterpret_cast<int32_t*>(qwc_buffer_view(choice).data);
  const int32_t places[] = {8, static_cast<int32_t>(budgets), static_cast<int32_t>(choices)};
  const int32_t head[] = {1, static_cast<int32_t>(m.heads), columns, diagonals, places[0], places[1], places[2], 0, 0, 0,
                          static_cast<int32_t>(count)};
  memcpy(c, head, sizeof head);
  for (int64_t h = 0; h < m.heads; h++) {
    c[budgets + 2 * h] = columns;
    c[budgets + 2 * h + 1] = diagonals;
  }
  const double key = static_cast<double>(2 * m.kv_heads * m.head_size), queries = static_cast<double>(m.heads * m.head_size);
  const Work choosing{key * static_cast<double>(length), 2. * 64 * static_cast<double>(length) * queries};
  const auto choose = [&](int64_t) {
    return qwc_choose_keys(backend, rows.handle, turns.handle, batch.handle, m.heads, m.kv_heads, m.head_size, 0.088f, 0, cache, 0, choice);
  };
  measure({m.name, "choose keys", "f16", count, cached}, choosing, 1, choose, From::kStream);
  // A block of 64 tokens attends to the columns, and to panels of 16 keys that its diagonals touch: at least 64 keys more than there are.
  const double keys = std::min<double>(static_cast<double>(length), columns + diagonals + 64.);
  const auto attend_chosen = [&](int64_t) {
    return qwc_attention(backend, rows.handle, turns.handle, batch.handle, m.heads, m.kv_heads, m.head_size, 0.088f, 0, cache, 0, choice,
                         out.handle, 0);
  };
  const Work attending{key * 2 * keys, 4 * static_cast<double>(count) * keys * queries};
  measure({m.name, "attend chosen", "f16", count, cached}, attending, 1, attend_chosen, From::kStream);
  qwc_buffer_discard(choice);
  qwc_buffer_free(choice);
  qwc_kv_free(cache);
}

void rows(const Model& m) {
  const Floats gain(1, m.hidden);
  const std::vector<int64_t> counts = tiny ? std::vector<int64_t>{1, 5} : std::vector<int64_t>{1, 8, 32, 128, 512, 2048, 8192};
  for (int64_t tokens : counts) {
    const double wide = static_cast<double>(tokens * m.ffn), narrow = static_cast<double>(tokens * m.hidden);
    const std::vector<Floats> x = sets_of(tokens, m.hidden), gated = sets_of(tokens, 2 * m.ffn);
    const Floats out(tokens, m.ffn, false), same(tokens, m.hidden, false), gate(tokens, 1);
    const auto operand = [](const std::vector<Floats>& sets, int64_t i) { return sets[static_cast<size_t>(i) % sets.size()].handle; };
    const int64_t sets = static_cast<int64_t>(x.size());
    measure({m.name, "norm", "F32", tokens, 0}, {8 * narrow, 0}, sets,
            [&](int64_t i) { return qwc_rms_norm(backend, operand(x, i), tokens, gain.handle, 1e-6f, same.handle); });
    measure({m.name, "swiglu", "F32", tokens, 0}, {12 * wide, 0}, static_cast<int64_t>(gated.size()),
            [&](int64_t i) { return qwc_swiglu(backend, operand(gated, i), tokens, out.handle); });
    const Batch batch(1, 0, tokens, tokens);
    measure({m.name, "gather", "F32", tokens, 0}, {8 * narrow, 0}, sets,
            [&](int64_t i) { return qwc_gather_outputs(backend, operand(x, i), batch.handle, same.handle); });
    // In place: what they leave is no input for others.
    measure({m.name, "sigmoid", "F32", tokens, 0}, {8 * narrow, 0}, sets,
            [&](int64_t i) { return qwc_sigmoid_gate(backend, operand(x, i), tokens, gate.handle); });
    measure({m.name, "relu", "F32", tokens, 0}, {8 * narrow, 0}, sets, [&](int64_t i) { return qwc_relu(backend, operand(x, i), tokens); });
    for (WeightType type : {kBF16, kQ8_0}) {
      if (!time_is_left()) continue;
      const Weights table(type, 300, m.hidden);
      const double row = static_cast<double>(table.bytes) / 300;
      measure({m.name, "embed", type == kBF16 ? "BF16" : "Q8_0", tokens, 0}, {static_cast<double>(tokens) * row + 4 * narrow, 0}, 1,
              [&](int64_t) { return qwc_embed(backend, table.handles[0], batch.handle, same.handle); });
    }
  }
}

// What a step of a model takes if nothing lies between its operations.
void print_steps(const std::vector<Model>& models) {
  printf("\nOperations of a step one after the other (embedding, 1024 cached tokens, head); of a slice, without cached ones:\n");
  for (const Model& m : models) {
    for (const char* type : {"BF16", "Q8_0", "Q4_K"}) {
      for (int64_t tokens : tiny ? std::vector<int64_t>{1} : std::vector<int64_t>{1, 8, 32, 2048, 8192}) {
        const bool decode = tokens <= 32;
        const std::string kind = decode ? "decode" : "prefill";
        const bool q4 = type == std::string("Q4_K");
        const auto typed = [&](int64_t columns) { return std::string(q4 && columns % 256 != 0 ? "Q5_0" : type); };
        BenchReport::Sum sum;
        const double n = static_cast<double>(m.layers);
        const int64_t cached = tiny ? 40 : decode ? 1024 : 0;
        const bool together = tokens <= 8;
        results->sum(sum, {m.name, "norm", "F32", tokens, 0}, together ? 1 : 2 * n + 1);
        results->sum(sum, {m.name, together ? "norm+qkv" : "qkv", typed(m.hidden), tokens, 0}, n);
        results->sum(sum, {m.name, kind + " store", "f16", tiny ? 2 : tokens, cached}, n);
        results->sum(sum, {m.name, kind + " attend", "f16", tiny ? 2 : tokens, cached}, n);
        results->sum(sum, {m.name, "o", typed(m.hidden), tokens, 0}, n);
        results->sum(sum, {m.name, together ? "norm+gate+up" : "gate+up", typed(m.hidden), tokens, 0}, n);
        if (!together) results->sum(sum, {m.name, "swiglu", "F32", tokens, 0}, n);
        results->sum(sum, {m.name, together ? "swiglu+down" : "down", typed(m.ffn), tokens, 0}, n);
        const std::string head = !q4 ? type : m.hidden % 256 == 0 ? "Q6_K" : "Q8_0";
        results->sum(sum, {m.name, "head", head, decode ? tokens : 1, 0}, 1);
        if (!sum.missing.empty()) {
          printf("%-6s %-5s %6ld tokens: not complete, %s was left out\n", m.name.c_str(), type, static_cast<long>(tokens),
                 sum.missing.c_str());
          continue;
        }
        printf("%-6s %-5s %6ld tokens: %10.3f ms, floor %9.3f ms, %5.1f %%, at most %9.0f tokens/s\n", m.name.c_str(), type,
               static_cast<long>(tokens), sum.time / 1e3, sum.floor / 1e3, 100 * sum.floor / sum.time,
               1e6 * static_cast<double>(tokens) / sum.time);
      }
    }
  }
}

// What the device gives at best; returns the bytes that a copy reads and writes a second.
double ceilings() {
  const cuda::DeviceInfo& info = object<cuda::Backend>(backend).context->info;
  printf("%s, compute capability %d.%d, %d processors\n", info.name.c_str(), info.major, info.minor, info.processors);
  const int64_t bytes = tiny ? 1 << 16 : int64_t{2} << 30;
  const std::shared_ptr<cuda::Context> context = object<cuda::Backend>(backend).context;
  cuda::DeviceMemory from(context, bytes), to(context, bytes), sums(context, kReaders * 4);
  std::vector<uint8_t> host(static_cast<size_t>(tiny ? 1 << 16 : 256 << 20));
  for (size_t i = 0; i + 8 <= host.size(); i += 8) {
    const uint64_t bits = source.next();
    memcpy(&host[i], &bits, 8);
  }
  cuda::Stream& s = context->stream;
  const int64_t part = static_cast<int64_t>(host.size());
  const bool pinned = cuda::pin(host.data(), part);
  for (int64_t at = 0; at < bytes; at += part) s.copy_to_device(from.data() + at, host.data(), part);
  s.wait();
  const auto rate = [&](const char* what, double moved, const std::function<void()>& work) {
    const Measured m = time_of(what, 1, [&](int64_t) {
      try {
        work();
        return 0;
      } catch (const Failure&) {
        return 1;
      }
    });
    printf("%-32s %10.1f GB/s (%.1f to %.1f)\n", what, moved / m.median / 1e3, moved / m.most / 1e3, moved / m.least / 1e3);
    return moved / m.median * 1e6;
  };
  rate("reading memory", static_cast<double>(bytes), [&] { read_memory(s, from.data(), bytes, reinterpret_cast<float*>(sums.data())); });
  const double copy = rate("copying, bytes read and written", 2. * static_cast<double>(bytes),
                           [&] { copy_memory(s, to.data(), from.data(), bytes); });
  rate(pinned ? "to the device, pinned memory" : "to the device, NOT pinned", static_cast<double>(part),
       [&] { s.copy_to_device(to.data(), host.data(), part); });
  if (pinned) cuda::unpin(host.data());
  const int calls = tiny ? 3 : 1000;
  const auto launches = [&] {
    for (int i = 0; i < calls; i++) do_nothing(s);
    return true;
  };
  const bool graph = timer->prepare(launches);
  timer->run();
  if (graph) printf("an empty kernel in a graph        %9.2f us\n", timer->run() / calls);
  const auto start = std::chrono::steady_clock::now();
  launches();
  s.wait();
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  printf("an empty kernel from the host     %9.2f us\n", taken.count() / calls);
  return copy;
}

int run(int count, char** arguments) {
  std::string names = "", csv;
  Ceilings known{0, 790e12};
  for (int i = 1; i < count; i++) {
    const std::string option = arguments[i];
    if (option == "--tiny") {
      tiny = true;
      continue;
    }
    const char* value = i + 1 < count ? arguments[++i] : "";
    if (option == "--models") names = value;
    else if (option == "--csv") csv = value;
    else if (option == "--bandwidth") known.bytes = 1e9 * atof(value);
    else if (option == "--tflops") known.flops = 1e12 * atof(value);
    else if (option == "--seconds") seconds = atof(value);
    else names = "?";
  }
  std::vector<Model> models;
  if (tiny) models.push_back(kTiny);
  if (!tiny && names.empty()) models.assign(std::begin(kModels), std::end(kModels));
  std::stringstream list(names);
  for (std::string name; std::getline(list, name, ',');) {
    const auto found = std::find_if(std::begin(kModels), std::end(kModels), [&](const Model& m) { return m.name == name; });
    if (found == std::end(kModels)) {
      fprintf(stderr, "usage: bench_cuda [--tiny] [--models 7B,0.5B] [--bandwidth GB_PER_S] [--tflops T] [--seconds S] [--csv FILE]\n");
      return 2;
    }
    models.push_back(*found);
  }
  begin = std::chrono::steady_clock::now();
  backend = made(qwc_backend_create(0, false), "a backend");
  timer = std::make_unique<DeviceTimer>(stream());
  const double copied = ceilings();
  if (known.bytes <= 0) known.bytes = copied;
  printf("floors: %.0f GB/s, %.0f TFLOP/s\n", known.bytes / 1e9, known.flops / 1e12);
  fflush(stdout);
  results = std::make_unique<BenchReport>(csv.empty() ? nullptr : csv.c_str(), known);
  if (!csv.empty() && !results->writes()) stop("writing " + csv);
  std::map<std::string, int64_t> layers;
  for (const Model& model : models) {
    layers[model.name] = model.layers;
    products(model);
    attention(model);
    if (tiny) sparse(model, 300, 70, 40, 120);
    // The models that come for a million tokens.
    for (int64_t cached : {32768, 130560}) {
      if (model.name == "7B" || model.name == "14B") sparse(model, cached, 512, 1024, 4096);
    }
    rows(model);
  }
  print_steps(models);
  printf("\nWhere most time is lost in a step or slice:\n");
  results->print_worst(25, layers);
  if (left_out > 0) printf("\n%ld measurements were left out: the time was up\n", left_out);
  timer.reset();
  results.reset();
  qwc_backend_free(backend);
  return 0;
}

}  // namespace
}  // namespace qw::test

int main(int count, char** arguments) {
  try {
    return qw::test::run(count, arguments);
  } catch (const qw::Failure& e) {
    fprintf(stderr, "bench_cuda: %s\n", e.what());
    return 1;
  }
}
