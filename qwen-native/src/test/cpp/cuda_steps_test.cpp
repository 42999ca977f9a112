// Steps that are recorded, through the C interface: whatever runs as recorded has the bits of what runs plainly, takes no memory, and where a recording fails
// the step does not. On an emulated device, or on a card as cuda_test.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "check.h"
#include "common/status.h"
#include "quant_reference.h"

namespace {

bool counting = false;
int64_t host_allocations = 0;

}  // namespace

void* operator new(size_t bytes) {
  if (counting) host_allocations++;
  if (void* memory = malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }

namespace qw::test {
namespace {

constexpr int kKvTypes = 4, kKvInt8 = 3;
constexpr int kHidden = 32, kHeads = 4, kKvHeads = 2, kSize = 16, kFfn = 32, kVocabulary = 40, kLayers = 2;
constexpr int kWidth = (kHeads + 2 * kKvHeads) * kSize;
constexpr int kPageTokens = 8, kMostPages = 64, kMostSequences = 5, kMostTokens = 768;
constexpr float kScale = 0.25f;

Checks checks;
bool emulated;

std::string last_error() {
  int8_t text[256];
  return std::string(reinterpret_cast<char*>(text), static_cast<size_t>(qwc_last_error(text, sizeof text)));
}

bool succeeds(int64_t status, const char* what) {
  return checks.expect(status == kOk, "%s fails with %ld: %s", what, static_cast<long>(status), status == kOk ? "" : last_error().c_str());
}

struct Slice {
  int sequence;
  int cached;
  std::vector<int> ids;
};
using Step = std::vector<Slice>;

enum Next { kPlain, kFirst, kRecorded, kReplayed, kGivenUp };

// A small decoder. Two with the same seed are the same.
class Model {
 public:
  Model(int kv_type, int chunk, bool steps) : chunk_(chunk), steps_(steps), random_(7) {
    backend = qwc_backend_create(0, false);
    sections_ = (chunk == 0 ? 1 : 6) + (kv_type == kKvInt8 ? 1 : 0);
    cache_ = qwc_kv_create(backend, kv_type, kLayers, kMostPages * kMostSequences, kPageTokens, kKvHeads, kSize);
    embedding_ = matrix(kVocabulary, kHidden, kF32);
    head_ = matrix(kVocabulary, kHidden, kQ8_0);
    for (Layer& l : layers_) {
      l = {vector(kHidden), matrix(kWidth, kHidden, kQ8_0), vector(kWidth), matrix(kHidden, kHeads * kSize, kBF16), vector(kHidden),
           matrix(2 * kFfn, kHidden, kBF16), matrix(kHidden, kFfn, kF16)};
    }
    norm_ = vector(kHidden);
    x = buffer(kMostTokens, kHidden);
    normed_ = buffer(kMostTokens, kHidden);
    qkv_ = buffer(kMostTokens, kWidth);
    attended_ = buffer(kMostTokens, kHeads * kSize);
    rotations_ = buffer(kMostTokens, sections_ * kSize);
    gate_up_ = buffer(kMostTokens, 2 * kFfn);
    gated_ = buffer(kMostTokens, kFfn);
    outputs_ = buffer(kMostTokens, kHidden);
    logits = buffer(kMostTokens, kVocabulary);
    batch = qwc_buffer_create(backend, 1, 16 + 4 * kMostTokens + 2 * kMostSequences + 1 + kMostSequences * kMostPages, true);
    buffers_.push_back(batch);
  }
  ~Model() {
    for (int64_t b : buffers_) {
      qwc_buffer_discard(b);
      qwc_buffer_free(b);
    }
    for (int64_t w : weights_) qwc_weight_free(w);
    qwc_kv_free(cache_);
    qwc_backend_free(backend);
  }

  // Computes a step, as the walk of Java does, and returns its status. `taken` is the way that it went.
  int32_t run(const Step& step) {
    fill(step);
    counting = true;
    const int64_t begun = steps_ ? qwc_step_begin(backend, 1, batch, kHeads, kKvHeads, kSize, chunk_, cache_) : int64_t{kPlain};
    counting = false;
    if (begun < 0) return static_cast<int32_t>(-begun);
    taken = static_cast<Next>(begun);
    if (taken == kReplayed) return kOk;
    int32_t status = walk();
    if (taken != kFirst && taken != kRecorded) return status;
    if (status != kOk) {
      qwc_step_abandon(backend);
      status = walk();
      if (status == kOk) qwc_step_refuse(backend);
      return status;
    }
    const int64_t ended = qwc_step_end(backend);
    return ended < 0 ? static_cast<int32_t>(-ended) : ended == 1 ? int32_t{kOk} : walk();
  }

  // Fills the cache with what no operation computed.
  int32_t prime(const Step& step) {
    fill(step);
    qwc_buffer_look(qkv_);
    float* values = reinterpret_cast<float*>(qwc_buffer_view(qkv_).data);
    std::mt19937 random(3);
    for (int64_t i = 0; i < rows_ * kWidth; i++) values[i] = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
    int32_t status = kOk;
    for (int i = 0; i < kLayers && status == kOk; i++) {
      status = qwc_rotate_and_store(backend, qkv_, layers_[i].bias, rotations_, batch, kHeads, kKvHeads, kSize, chunk_, cache_, i);
    }
    return status;
  }

  const float* look(int64_t of) {
    const int32_t status = qwc_buffer_look(of);
    return status == kOk ? reinterpret_cast<const float*>(qwc_buffer_view(of).data) : nullptr;
  }

  int64_t buffer(int64_t rows, int64_t columns) {
    buffers_.push_back(qwc_buffer_create(backend, rows, columns, false));
    checks.expect(buffers_.back() > 0, "no buffer: %s", last_error().c_str());
    return buffers_.back();
  }

  int64_t backend, x, logits, batch;
  Next taken = kPlain;
  // Called within the walk, unless empty; its status is that of an operation.
  std::function<int32_t()> disturb;

 private:
  struct Layer {
    int64_t norm, qkv, bias, output, mlp_norm, gate_up, down;
  };

  float normal() { return distribution_(random_); }

  int64_t vector(int columns) {
    const int64_t made = buffer(1, columns);
    qwc_buffer_look(made);
    float* values = reinterpret_cast<float*>(qwc_buffer_view(made).data);
    for (int i = 0; i < columns; i++) values[i] = normal();
    return made;
  }

  int64_t matrix(int rows, int columns, WeightType type) {
    const bool integers = type == kQ8_0;
    const int64_t size = type == kF32 ? 4 : 2, bytes = rows * (integers ? columns / 32 * 34 : columns * size);
    const int64_t arena = qwc_arena_create(backend, qwc_segment_bytes(type, rows, columns)), weight = qwc_weight_create(columns);
    const int64_t staging = qwc_staging_create(backend, bytes);
    succeeds(qwc_weight_add_segment(weight, type, rows, nullptr, arena), "adding a segment");
    int8_t* data = qwc_staging_view(staging).data;
    for (int64_t i = 0; i < bytes;) {
      if (integers) {
        const uint16_t scale = 0x1400;  // 2^-10
        memcpy(data + i, &scale, 2);
        for (int e = 2; e < 34; e++) data[i + e] = static_cast<int8_t>(random_());
        i += 34;
      } else {
        const float value = normal() * 0.2f;
        uint32_t bits;
        memcpy(&bits, &value, 4);
        // Of F16 any number of moderate size.
        const uint16_t half = static_cast<uint16_t>(type == kBF16 ? bits >> 16 : 0x2800 + random_() % 0x800 + (random_() & 0x8000));
        memcpy(data + i, size == 4 ? static_cast<const void*>(&value) : &half, static_cast<size_t>(size));
        i += size;
      }
    }
    succeeds(qwc_weight_pack(weight, 0, 0, rows, staging, bytes), "packing");
    qwc_staging_free(staging);
    qwc_arena_free(arena);
    weights_.push_back(weight);
    return weight;
  }

  void fill(const Step& step) {
    int32_t* b = reinterpret_cast<int32_t*>(qwc_buffer_view(batch).data);
    const int32_t ids = 16, positions = ids + kMostTokens, slots = positions + kMostTokens, starts = slots + kMostTokens;
    const int32_t cached = starts + kMostSequences + 1, pages = cached + kMostSequences, outputs = pages + kMostSequences * kMostPages;
    int32_t rows = 0, sequence = 0;
    qwc_buffer_look(rotations_);
    float* turns = reinterpret_cast<float*>(qwc_buffer_view(rotations_).data);
    for (const Slice& s : step) {
      b[starts + sequence] = rows;
      b[cached + sequence] = s.cached;
      // Pages descend.
      for (int32_t i = 0; i < kMostPages; i++) b[pages + sequence * kMostPages + i] = (s.sequence + 1) * kMostPages - 1 - i;
      for (size_t i = 0; i < s.ids.size(); i++, rows++) {
        const int32_t position = s.cached + static_cast<int32_t>(i);
        b[ids + rows] = s.ids[i];
        b[positions + rows] = position;
        b[slots + rows] = b[pages + sequence * kMostPages + position / kPageTokens] * kPageTokens + position % kPageTokens;
        b[outputs + rows] = rows;
        for (int section = 0; section < sections_; section++) {
          for (int e = 0; e < kSize / 2; e++) {
            float* turn = turns + (rows * sections_ + section) * kSize + e;
            turn[0] = std::cos(static_cast<float>(position + 3 * section) / static_cast<float>(1 + e));
            turn[kSize / 2] = std::sin(static_cast<float>(position + 3 * section) / static_cast<float>(1 + e));
          }
        }
      }
      sequence++;
    }
    b[starts + sequence] = rows;
    const int32_t header[] = {rows, sequence, rows, kMostPages, ids, positions, slots, starts, cached, pages, outputs};
    memcpy(b, header, sizeof header);
    rows_ = rows;
  }

  int32_t walk() {
    int32_t status = qwc_embed(backend, embedding_, batch, x);
    const auto next = [&](int32_t s) { status = status == kOk ? s : status; };
    for (int i = 0; i < kLayers; i++) {
      const Layer& l = layers_[i];
      next(qwc_rms_norm(backend, x, rows_, l.norm, 1e-6f, normed_));
      next(qwc_linear(backend, normed_, rows_, l.qkv, l.bias, false, qkv_));
      next(qwc_rotate_and_store(backend, qkv_, l.bias, rotations_, batch, kHeads, kKvHeads, kSize, chunk_, cache_, i));
      if (disturb) next(disturb());
      next(qwc_attention(backend, qkv_, rotations_, batch, kHeads, kKvHeads, kSize, kScale, chunk_, cache_, i, 0, attended_, 0));
      next(qwc_linear(backend, attended_, rows_, l.output, 0, true, x));
      next(qwc_rms_norm(backend, x, rows_, l.mlp_norm, 1e-6f, normed_));
      next(qwc_linear(backend, normed_, rows_, l.gate_up, 0, false, gate_up_));
      next(qwc_swiglu(backend, gate_up_, rows_, gated_));
      next(qwc_linear(backend, gated_, rows_, l.down, 0, true, x));
    }
    next(qwc_gather_outputs(backend, x, batch, outputs_));
    next(qwc_rms_norm(backend, outputs_, rows_, norm_, 1e-6f, outputs_));
    next(qwc_linear(backend, outputs_, rows_, head_, 0, false, logits));
    return status;
  }

  int chunk_;
  bool steps_;
  int sections_;
  std::mt19937 random_;
  std::normal_distribution<float> distribution_;
  int64_t cache_, embedding_, head_, norm_, normed_, qkv_, attended_, rotations_, gate_up_, gated_, outputs_;
  Layer layers_[kLayers];
  std::vector<int64_t> buffers_, weights_;
  int64_t rows_ = 0;
};

int rows_of(const Step& step) {
  size_t rows = 0;
  for (const Slice& s : step) rows += s.ids.size();
  return static_cast<int>(rows);
}

constexpr int kPrimed = 250;

// Sequences that begin with prompts, go on token by token or in slices of three, and end. Three begin with so many tokens in the cache that they
// pass 256, where splits are merged and rooms grow.
std::vector<Step> schedule(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int> lengths{kPrimed, kPrimed + 1, kPrimed - 2, 0, 0};
  std::vector<Step> steps;
  for (int i = 0; i < 64; i++) {
    const int sequences = i < 32 ? 3 : 1 + i / 4 % kMostSequences, each = i % 16 == 15 ? 3 : 1;
    Step step;
    for (int s = 0; s < sequences; s++) {
      int& length = lengths[static_cast<size_t>(s)];
      if (length + each > kPrimed + 14) length = 0;
      const int tokens = length > 0 ? each : 1 + static_cast<int>(random() % 20);
      Slice slice{s, length, {}};
      for (int t = 0; t < tokens; t++) slice.ids.push_back(static_cast<int>(random() % kVocabulary));
      length += tokens;
      step.push_back(slice);
    }
    steps.push_back(step);
  }
  return steps;
}

bool same_logits(Model& a, Model& b, const Step& step, const char* what, size_t at) {
  const float* expected = a.look(a.logits);
  const float* found = b.look(b.logits);
  if (!checks.expect(expected != nullptr && found != nullptr, "%s, step %zu: nothing can be looked at: %s", what, at, last_error().c_str())) return false;
  bool same = true, finite = true;
  for (int i = 0; i < rows_of(step) * kVocabulary; i++) {
    same &= memcmp(expected + i, found + i, 4) == 0;
    finite &= std::isfinite(expected[i]);
  }
  return checks.expect(same && finite, "%s, step %zu of %d tokens: %s", what, at, rows_of(step), finite ? "other bits" : "no numbers");
}

void same_bits(int type, int chunk) {
  Model plain(type, chunk, false), model(type, chunk, true);
  const std::vector<Step> steps = schedule(static_cast<unsigned>(10 * type + chunk));
  const std::string what = "type " + std::to_string(type) + ", chunks of " + std::to_string(chunk);
  Step primed;
  for (int s = 0; s < 3; s++) primed.push_back({s, 0, std::vector<int>(kPrimed + 1)});
  succeeds(plain.prime(primed), "filling a cache");
  std::vector<std::vector<float>> expected;
  for (const Step& step : steps) {
    succeeds(plain.run(step), "a plain step");
    const float* values = plain.look(plain.logits);
    expected.emplace_back(values, values + rows_of(step) * kVocabulary);
  }
  int64_t recorded = 0;
  for (int round = 0; round < 2; round++) {
    succeeds(model.prime(primed), "filling a cache");
    const int64_t allocations = qwc_emulated_allocations();
    int64_t replayed = 0;
    for (size_t i = 0; i < steps.size(); i++) {
      host_allocations = 0;
      if (!succeeds(model.run(steps[i]), "a step")) return;
      if (model.taken == kReplayed) {
        replayed++;
        checks.expect(host_allocations == 0, "%s, step %zu: %ld allocations of the host", what.c_str(), i, static_cast<long>(host_allocations));
      }
      // Steps that nobody waits for follow each other, too.
      if (i % 4 == 3) {
        const float* found = model.look(model.logits);
        checks.expect(found != nullptr && memcmp(found, expected[i].data(), expected[i].size() * 4) == 0, "%s, step %zu: other bits", what.c_str(), i);
      }
      if (i % 40 == 7) model.look(model.x);
    }
    checks.expect(replayed > 30, "%s: %ld steps of %zu ran as recorded", what.c_str(), static_cast<long>(replayed), steps.size());
    if (round == 0) {
      recorded = qwc_recorded_steps(model.backend);
      checks.expect(recorded > 6, "%s: %ld steps were recorded", what.c_str(), static_cast<long>(recorded));
    } else if (emulated) {
      checks.expect(qwc_emulated_allocations() == allocations, "%s: %ld allocations of the device after the first round", what.c_str(),
                    static_cast<long>(qwc_emulated_allocations() - allocations));
    }
  }
}

Step tokens(int sequences, int cached, int id = 1) {
  Step step;
  for (int s = 0; s < sequences; s++) step.push_back({s, cached, {id + s}});
  return step;
}

// Runs a step on both and compares.
void both(Model& plain, Model& model, const Step& step, Next expected, const char* what) {
  succeeds(plain.run(step), "a plain step");
  succeeds(model.run(step), what);
  checks.expect(model.taken == expected, "%s: %d instead of %d", what, model.taken, expected);
  same_logits(plain, model, step, what, 0);
}

void life() {
  Model plain(1, 0, false), model(1, 0, true);
  both(plain, model, tokens(1, 0), kFirst, "the first step");
  both(plain, model, tokens(1, 1), kRecorded, "the second one");
  both(plain, model, tokens(1, 2), kReplayed, "the third one");
  // What is freed may be what a graph uses.
  const int64_t other = qwc_buffer_create(model.backend, 3, 3, false);
  qwc_buffer_discard(other);
  qwc_buffer_free(other);
  both(plain, model, tokens(1, 3), kFirst, "after memory was freed");
  both(plain, model, tokens(1, 4), kRecorded, "after memory was freed");
  both(plain, model, tokens(1, 5), kReplayed, "after memory was freed");
  // Inputs are checked as operations check them.
  checks.expect(model.run(tokens(1, 6, kVocabulary)) == kInvalidArgument, "a token id beyond the table is taken");
  checks.expect(model.run({{kMostSequences, 6, {1}}}) == kInvalidArgument, "a page beyond the cache is taken");
  both(plain, model, tokens(1, 6), kReplayed, "after wrong inputs");
  // A step of another shape is none of them.
  both(plain, model, {{0, 7, {1}}, {1, 0, {2, 3}}}, kPlain, "slices of several lengths");
  both(plain, model, {{0, 8, {1, 2, 3, 4, 5, 6, 7, 8, 9}}}, kPlain, "a long slice");
  checks.expect(qwc_step_end(model.backend) == -kInvalidArgument, "a step ends that did not begin");
  // Older graphs make room for newer ones.
  Step primed;
  for (int s = 0; s < kMostSequences; s++) primed.push_back({s, 0, std::vector<int>(20)});
  succeeds(plain.prime(primed), "filling a cache");
  succeeds(model.prime(primed), "filling a cache");
  const int64_t before = qwc_recorded_steps(model.backend);
  for (int round = 0; round < 2; round++) {
    for (int each = 1; each <= 8; each++) {
      for (int sequences = 1; sequences <= kMostSequences; sequences++) {
        Step step = tokens(sequences, 20);
        for (Slice& s : step) {
          for (int i = 1; i < each; i++) s.ids.push_back(i);
        }
        succeeds(plain.run(step), "a plain step");
        for (int i = 0; i < 3; i++) succeeds(model.run(step), "a step of many shapes");
        same_logits(plain, model, step, "many shapes", static_cast<size_t>(each));
      }
    }
  }
  const int64_t recorded = qwc_recorded_steps(model.backend) - before;
  checks.expect(recorded >= 70, "%ld recordings of 40 shapes, twice, where 32 are kept", static_cast<long>(recorded));
}

// An operation that cannot be recorded: the step succeeds, also the buffers' newest rows, and is not tried again.
void refused() {
  Model plain(0, 0, false), model(0, 0, true);
  for (int sequences = 1; sequences <= kMostSequences; sequences++) {
    both(plain, model, tokens(sequences, 0), sequences <= 3 ? kFirst : kPlain, "the first step");
    model.disturb = [&] { return qwc_buffer_look(model.x); };
    both(plain, model, tokens(sequences, 1), sequences <= 3 ? kRecorded : kPlain, "a step that cannot be recorded");
    model.disturb = nullptr;
    both(plain, model, tokens(sequences, 2), kPlain, "a step that could not be recorded");
  }
  checks.expect(qwc_recorded_steps(model.backend) == 0, "a step was recorded that cannot be");

  // Memory that is taken or freed meanwhile.
  Model other(0, 0, true);
  const int64_t victim = other.buffer(2, 2);
  both(plain, other, tokens(1, 0), kFirst, "the first step");
  other.disturb = [&] {
    const int64_t made = qwc_buffer_create(other.backend, 1, 1, false);
    if (made < 0) return static_cast<int32_t>(-made);
    qwc_buffer_discard(made);
    qwc_buffer_free(made);
    return int32_t{kOk};
  };
  both(plain, other, tokens(1, 1), kRecorded, "a step that takes memory");
  checks.expect(last_error().find("cannot be recorded") != std::string::npos, "told as: %s", last_error().c_str());
  other.disturb = [&] {
    if (other.taken == kRecorded) qwc_buffer_discard(victim);
    return int32_t{kOk};
  };
  both(plain, other, tokens(2, 0), kFirst, "the first step of two");
  both(plain, other, tokens(2, 1), kRecorded, "memory is freed while a step is recorded");
  checks.expect(last_error().find("freed") != std::string::npos, "told as: %s", last_error().c_str());
}

void failures() {
  for (int32_t status : {int32_t{kInternal}, int32_t{kOutOfMemory}}) {
    Model plain(2, 0, false), model(2, 0, true);
    both(plain, model, tokens(2, 0), kFirst, "the first step");
    succeeds(plain.run(tokens(2, 1)), "a plain step");
    qwc_emulate_failure(1, status);
    succeeds(model.run(tokens(2, 1)), "a step whose recording fails");
    checks.expect(model.taken == kRecorded && qwc_recorded_steps(model.backend) == 0, "the recording did not fail");
    qwc_emulate_failure(0, kOk);
    same_logits(plain, model, tokens(2, 1), "a recording that failed", 0);
    both(plain, model, tokens(2, 2), kPlain, "a step whose recording failed");
    both(plain, model, tokens(1, 3), kFirst, "another shape");
    both(plain, model, tokens(1, 4), kRecorded, "another shape");
    both(plain, model, tokens(1, 5), kReplayed, "another shape");
  }
  // Each call of a step that is recorded, then of one that runs as recorded, finds the device lost.
  for (Next way : {kRecorded, kReplayed}) {
    int lost = 0;
    for (int64_t k = 1; k < 200; k++) {
      Model model(2, 0, true);
      for (int i = 0; i < way - kFirst; i++) succeeds(model.run(tokens(1, i)), "a step");
      qwc_emulate_failure(k, kDeviceLost);
      const int32_t found = model.run(tokens(1, way - kFirst));
      const int32_t seen = qwc_buffer_look(model.logits);
      checks.expect((found == kOk || found == kDeviceLost) && (seen == kOk || seen == kDeviceLost), "a lost device is told as %d, %d: %s", found, seen,
                    last_error().c_str());
      checks.expect(found == kOk || seen == kDeviceLost, "a lost device was found again");
      if (found == kDeviceLost) checks.expect(model.run(tokens(1, 3)) == kDeviceLost, "a lost device computes");
      qwc_emulate_failure(0, kOk);
      if (found == kOk && seen == kOk) break;
      lost++;
    }
    checks.expect(lost > 20 && lost < 199, "%d calls found the device lost", lost);
  }
}

}  // namespace
}  // namespace qw::test

int main() {
  using namespace qw::test;
  emulated = qwc_emulated_bytes() >= 0;
  for (int type = 0; type < kKvTypes; type++) {
    same_bits(type, 0);
  }
  same_bits(kKvInt8, 100);
  life();
  refused();
  if (emulated) failures();
  checks.expect(qwc_live_objects() == 0 && qwc_live_mappings() == 0 && qwc_emulated_bytes() == (emulated ? 0 : -1),
                "%ld objects, %ld mappings, %ld bytes are left", static_cast<long>(qwc_live_objects()), static_cast<long>(qwc_live_mappings()),
                static_cast<long>(qwc_emulated_bytes()));
  return checks.finish("cuda_steps_test");
}
