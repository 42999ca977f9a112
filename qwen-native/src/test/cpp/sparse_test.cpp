// Attention to chosen keys on every target, against the formula in double precision.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "api/qwen4j.h"
#include "check.h"
#include "common/status.h"
#include "common/choice.h"
#include "cpu/table.h"

namespace qw::test {
namespace {

constexpr int64_t kColumns = 40, kDiagonals = 110, kPageTokens = 32;

Checks checks;

float* floats(int64_t buffer) { return reinterpret_cast<float*>(qw_buffer_view(buffer).data); }
int32_t* ints(int64_t buffer) { return reinterpret_cast<int32_t*>(qw_buffer_view(buffer).data); }

// One sequence that is one slice, of one kv head. Nothing is rotated, so that chunks change nothing but the runs.
struct Slice {
  int64_t heads, size, tokens, chunk;
  int64_t runs = chunk == 0 ? 1 : (tokens + chunk - 1) / chunk;
  int64_t width = (heads + 2) * size;
  int64_t stride = 2 + kColumns + kDiagonals;
  int64_t qkv = 0, rotations = 0, batch = 0, choice = 0, out = 0, sums = 0;

  void fill(int type) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const int32_t n = static_cast<int32_t>(tokens), pages = static_cast<int32_t>((tokens + kPageTokens - 1) / kPageTokens);
    const int64_t sections = (chunk == 0 ? int64_t{1} : int64_t{kRotations}) + (type == kKvInt8 ? 1 : 0);
    qkv = qw_buffer_create(tokens, width);
    rotations = qw_buffer_create(tokens, sections * size);
    batch = qw_buffer_create(1, 16 + 2 * tokens + 3 + pages);
    choice = qw_buffer_create(1, 8 + 3 * runs + 2 * heads + runs * heads * stride);
    out = qw_buffer_create(tokens, heads * size);
    sums = qw_buffer_create(tokens, heads);
    for (int64_t i = 0; i < tokens * width; i++) floats(qkv)[i] = normal(random);
    for (int64_t i = 0; i < tokens * sections * size; i++) floats(rotations)[i] = i % size < size / 2;
    int32_t* b = ints(batch);
    const int32_t header[] = {n, 1, 0, pages, 16, 16, 16 + n, 16 + 2 * n, 18 + 2 * n, 19 + 2 * n, 16};
    memcpy(b, header, sizeof header);
    b[17 + 2 * n] = n;
    for (int32_t i = 0; i < pages; i++) b[19 + 2 * n + i] = i;
    for (int32_t t = 0; t < n; t++) b[16 + n + t] = t;
    int32_t* c = ints(choice);
    const int32_t places[] = {static_cast<int32_t>(runs), static_cast<int32_t>(heads), kColumns, kDiagonals, 8, static_cast<int32_t>(8 + 3 * runs),
                              static_cast<int32_t>(8 + 3 * runs + 2 * heads)};
    memcpy(c, places, sizeof places);
    for (int32_t r = 0; r < runs; r++) {
      c[8 + 3 * r] = 0;
      c[9 + 3 * r] = r * static_cast<int32_t>(chunk);
      c[10 + 3 * r] = r + 1 == runs ? n : (r + 1) * static_cast<int32_t>(chunk);
    }
    for (int64_t h = 0; h < heads; h++) {
      c[places[5] + 2 * h] = kColumns;
      c[places[5] + 2 * h + 1] = kDiagonals;
    }
  }

  void free() const {
    for (int64_t buffer : {qkv, rotations, batch, choice, out, sums}) qw_buffer_free(buffer);
  }

  bool sees(int64_t token, int64_t head, int64_t key) const {
    const int64_t run = chunk == 0 ? 0 : token / chunk;
    const int64_t run_begin = run * chunk, run_end = run + 1 == runs ? tokens : (run + 1) * chunk;
    const int64_t begin = run_begin + (token - run_begin) / kBlockTokens * kBlockTokens;
    const int64_t end = begin + kBlockTokens < run_end ? begin + kBlockTokens : run_end;
    const int32_t* found = ints(choice) + 8 + 3 * runs + 2 * heads + (run * heads + head) * stride;
    if (found[0] < 0) return true;
    for (int64_t i = 0; i < found[0]; i++) {
      if (found[2 + i] == key && key < begin) return true;
    }
    for (int64_t i = 0; i < found[1]; i++) {
      const int64_t distance = found[2 + kColumns + i];
      const int64_t first = begin > distance ? (begin - distance) / 16 : 0;
      if (distance < end && first <= key / 16 && key / 16 <= (end - 1 - distance) / 16) return true;
    }
    return false;
  }

  void compare(int target, double bound, bool all) const {
    std::vector<double> expected(static_cast<size_t>(size));
    for (int64_t t = 0; t < tokens; t++) {
      for (int64_t h = 0; h < heads; h++) {
        double total = 0;
        std::fill(expected.begin(), expected.end(), 0);
        for (int64_t k = 0; k <= t; k++) {
          if (!all && !sees(t, h, k)) continue;
          const float* q = floats(qkv) + t * width + h * size;
          const float* key = floats(qkv) + k * width + heads * size;
          double score = 0;
          for (int64_t e = 0; e < size; e++) score += static_cast<double>(q[e]) * key[e];
          const double weight = std::exp(score * 0.25);
          total += weight;
          for (int64_t e = 0; e < size; e++) expected[static_cast<size_t>(e)] += weight * key[size + e];
        }
        checks.expect(std::fabs(floats(sums)[t * heads + h] - std::log(total)) < bound, "target %d: log-sum-exp of token %ld is %g, expected %g",
                      target, static_cast<long>(t), floats(sums)[t * heads + h], std::log(total));
        for (int64_t e = 0; e < size; e++) {
          const float value = floats(out)[(t * heads + h) * size + e];
          const double right = expected[static_cast<size_t>(e)] / total;
          checks.expect(std::fabs(value - right) < bound, "target %d: token %ld head %ld element %ld is %g, expected %g", target,
                        static_cast<long>(t), static_cast<long>(h), static_cast<long>(e), value, right);
        }
      }
    }
  }
};

void sparse(int target, int type, int64_t heads, int64_t size, int64_t tokens, int64_t chunk) {
  const int64_t backend = qw_backend_create(target, 2, false);
  const int64_t cache = qw_kv_create(type, 1, (tokens + kPageTokens - 1) / kPageTokens, kPageTokens, 1, size);
  Slice slice{heads, size, tokens, chunk};
  slice.fill(type);
  const double bound = type == kKvF32 ? 2e-5 : type == kKvInt8 ? 0.1 : 0.03;
  checks.expect(qw_rotate_and_store(backend, slice.qkv, 0, slice.rotations, slice.batch, heads, 1, size, chunk, cache, 0) == kOk, "not stored");
  checks.expect(qw_choose_keys(backend, slice.qkv, slice.rotations, slice.batch, heads, 1, size, 0.25f, chunk, cache, 0, slice.choice) == kOk,
                "choose_keys fails");
  for (const int64_t choice : {slice.choice, int64_t{0}}) {
    checks.expect(qw_attention(backend, slice.qkv, slice.rotations, slice.batch, heads, 1, size, 0.25f, chunk, cache, 0, choice, slice.out,
                               slice.sums) == kOk,
                  "attention fails");
    slice.compare(target, bound, choice == 0);
  }
  slice.free();
  qw_kv_free(cache);
  qw_backend_free(backend);
}

}  // namespace
}  // namespace qw::test

int main() {
  using namespace qw::test;
  for (int target = 0; target <= qw_best_target(); target++) {
    for (int type = 0; type < qw::kKvTypes; type++) {
      sparse(target, type, 2, 16, 330, 0);
      sparse(target, type, 1, 48, 389, 300);
      sparse(target, type, 7, 64, 270, 75);
    }
  }
  checks.expect(qw_live_objects() == 0 && qw_live_mappings() == 0, "%ld objects and %ld mappings are left", static_cast<long>(qw_live_objects()),
                static_cast<long>(qw_live_mappings()));
  return checks.finish("sparse_test");
}
