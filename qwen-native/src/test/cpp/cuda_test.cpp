// The CUDA backend through its C interface, against the formulas in double precision: on an emulated device, or on a card if it is linked with
// the CUDA runtime (benchmarks/gpu/run.sh).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "common/routing.h"
#include "common/status.h"
#include "cuda/device.h"
#include "cuda_support.h"
#include "quant_reference.h"

namespace qw::test {
namespace {

constexpr float kUntouched = 12345.f;

int64_t file_row_bytes(WeightType type, int64_t columns) {
  for (const BlockType& t : block_types()) {
    if (t.type == type) return columns / t.columns * t.bytes;
  }
  return columns * (type == kF32 ? 4 : 2);
}

// Rows of a file, and their values.
struct Rows {
  WeightType type;
  int64_t rows, columns;
  std::vector<uint8_t> bytes;
  std::vector<double> values;

  Rows(WeightType t, int64_t r, int64_t c) : type(t), rows(r), columns(c) {
    bytes.resize(static_cast<size_t>(rows * file_row_bytes(type, columns)));
    values.resize(static_cast<size_t>(rows * columns));
    if (type == kF32 || type == kF16 || type == kBF16) {
      for (size_t i = 0; i < values.size(); i++) {
        const float value = normal();
        uint32_t bits;
        memcpy(&bits, &value, 4);
        if (type == kF32) {
          memcpy(&bytes[4 * i], &bits, 4);
          values[i] = value;
          continue;
        }
        // Any 16 bits that are a number of moderate size.
        const uint16_t half = static_cast<uint16_t>(type == kBF16 ? bits >> 16 : 0x2c00 + seeded() % 0x1400 + (seeded() & 0x8000));
        memcpy(&bytes[2 * i], &half, 2);
        bits = static_cast<uint32_t>(half) << 16;
        float wide;
        memcpy(&wide, &bits, 4);
        values[i] = type == kBF16 ? wide : half_to_float(half);
      }
      return;
    }
    for (const BlockType& t : block_types()) {
      if (t.type != type) continue;
      for (size_t b = 0; b * static_cast<size_t>(t.bytes) < bytes.size(); b++) {
        uint8_t* block = &bytes[b * static_cast<size_t>(t.bytes)];
        fill_block(t, Fill::kRandom, seeded, block);
        for (int e = 0; e < t.columns; e++) values[b * static_cast<size_t>(t.columns) + static_cast<size_t>(e)] = element(type, block, e);
      }
    }
  }
};

int64_t upload(int64_t backend, const std::vector<Rows>& parts) {
  int64_t bytes = 0;
  for (const Rows& p : parts) bytes += qwc_segment_bytes(p.type, p.rows, p.columns);
  const int64_t weight = qwc_weight_create(parts[0].columns), arena = qwc_arena_create(backend, bytes);
  for (const Rows& p : parts) succeeds(qwc_weight_add_segment(weight, p.type, p.rows, nullptr, arena), "adding a segment");
  checks.expect(qwc_weight_add_segment(weight, parts[0].type, 1, nullptr, arena) == kInvalidArgument, "a segment beyond its arena");
  qwc_arena_free(arena);
  for (size_t i = 0; i < parts.size(); i++) {
    // In two pieces through a staging that just holds one.
    const int64_t row = static_cast<int64_t>(parts[i].bytes.size()) / parts[i].rows, half = (parts[i].rows + 1) / 2;
    const int64_t staging = qwc_staging_create(backend, half * row);
    for (int64_t first = 0; first < parts[i].rows; first += half) {
      const int64_t rows = std::min(half, parts[i].rows - first);
      succeeds(qwc_staging_wait(staging), "waiting for a staging");
      memcpy(qwc_staging_view(staging).data, parts[i].bytes.data() + first * row, static_cast<size_t>(rows * row));
      succeeds(qwc_weight_pack(weight, static_cast<int64_t>(i), first, rows, staging, rows * row), "packing");
    }
    succeeds(qwc_staging_wait(staging), "waiting for a staging");
    checks.expect(qwc_weight_pack(weight, static_cast<int64_t>(i), 1, parts[i].rows, staging, row) == kInvalidArgument, "packed beyond");
    qwc_staging_free(staging);
  }
  return weight;
}

// What is multiplied with integers of a group of 32: rounded to 8 bits, and on request what is left to 8 bits more.
std::vector<double> rounded(const std::vector<float>& x, bool fine) {
  std::vector<double> result(x.size());
  for (size_t g = 0; g < x.size(); g += 32) {
    std::vector<float> left(x.begin() + static_cast<long>(g), x.begin() + static_cast<long>(g) + 32);
    for (int set = 0; set < (fine ? 2 : 1); set++) {
      float largest = 0;
      for (float v : left) largest = std::max(largest, std::fabs(v));
      if (largest == 0) break;
      for (size_t i = 0; i < 32; i++) {
        const float q = std::nearbyint(left[i] * (127.f / largest)), scale = largest / 127.f;
        result[g + i] += static_cast<double>(scale) * q;
        left[i] -= scale * q;
      }
    }
  }
  return result;
}

std::vector<double> products(const std::vector<Rows>& parts, const std::vector<float>& x, int64_t tokens, bool fine) {
  const int64_t columns = parts[0].columns;
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; t++) {
    const std::vector<float> row(x.begin() + t * columns, x.begin() + (t + 1) * columns);
    const std::vector<double> exact(row.begin(), row.end());
    const std::vector<double> integers = columns % 32 == 0 ? rounded(row, fine) : exact;
    for (const Rows& p : parts) {
      const bool floats = p.type == kF32 || p.type == kF16 || p.type == kBF16;
      for (int64_t r = 0; r < p.rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < columns; c++) sum += p.values[static_cast<size_t>(r * columns + c)] * (floats ? exact : integers)[static_cast<size_t>(c)];
        y.push_back(sum);
      }
    }
  }
  return y;
}

double deviation(const std::vector<double>& values) {
  double squares = 0;
  for (double v : values) squares += v * v;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Within `bound` of the values' deviation.
void expect_close(const std::vector<double>& expected, const float* actual, double bound, const char* what, int type, int64_t shape) {
  const double allowed = bound * deviation(expected);
  for (size_t i = 0; i < expected.size(); i++) {
    checks.expect(std::fabs(expected[i] - actual[i]) <= allowed, "%s, type %d, shape %ld: element %zu of %zu is %g, expected %g", what, type,
                  static_cast<long>(shape), i, expected.size(), actual[i], expected[i]);
  }
}

constexpr WeightType kTypes[] = {kF32,  kF16,  kBF16, kQ4_0, kQ4_1, kQ5_0,   kQ5_1,  kQ8_0,
                                 kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kIQ4_XS, kINT4_G32,
                                 kINT4_G128, kINT8_G32, kINT8_G128};

int64_t columns_of(WeightType type, int64_t wanted) {
  for (const BlockType& t : block_types()) {
    if (t.type == type) return (wanted + t.columns - 1) / t.columns * t.columns;
  }
  return wanted;
}

void linear(bool fine, bool small) {
  const int64_t backend = qwc_backend_create(0, fine);
  for (WeightType type : kTypes) {
    for (int64_t wanted : {1, 100, 896, 1100}) {
      for (int64_t rows : {1, 7, 129}) {
        if (small && (wanted > 100 || rows > 7)) continue;
        const int64_t columns = columns_of(type, wanted);
        std::vector<Rows> parts;
        parts.emplace_back(type, rows, columns);
        parts.emplace_back(type, 3, columns);
        const int64_t weight = upload(backend, parts), all = rows + 3;
        const std::vector<float> added = normals(all);
        const Buffer bias(backend, 1, all, added);
        std::vector<float> alone;
        for (int64_t tokens : {1, 3, 7, 19}) {
          static std::vector<float> x;
          if (tokens == 1) x = normals(19 * columns);
          const std::vector<float> in(x.begin(), x.begin() + tokens * columns);
          const Buffer from(backend, tokens, columns, in), to(backend, tokens + 1, all, std::vector<float>(static_cast<size_t>((tokens + 1) * all), kUntouched));
          std::vector<double> expected = products(parts, in, tokens, fine);
          const double size = deviation(expected);
          succeeds(qwc_linear(backend, from.handle, tokens, weight, bias.handle, false, to.handle), "linear");
          std::vector<float> first(to.floats(), to.floats() + (tokens + 1) * all);
          // Adding: what is there is still on the device.
          succeeds(qwc_linear(backend, from.handle, tokens, weight, 0, true, to.handle), "linear, adding");
          for (int64_t i = 0; i < tokens * all; i++) {
            const double sum = expected[static_cast<size_t>(i)], once = sum + added[static_cast<size_t>(i % all)];
            // Where tensor cores multiply them activations are rounded to 8 bits behind the first (cuda_gemm_test has the exact bounds).
            const bool rounded = (type == kF16 || type == kBF16) && tokens > 8;
            const double bound = (rounded && !fine ? 2e-2 : 2e-5) * (size + std::fabs(once));
            checks.expect(std::fabs(first[static_cast<size_t>(i)] - once) <= bound, "linear, type %d, %ld x %ld, %ld tokens, element %ld: %g, expected %g",
                          type, static_cast<long>(all), static_cast<long>(columns), static_cast<long>(tokens), static_cast<long>(i),
                          first[static_cast<size_t>(i)], once);
            checks.expect(std::fabs(to.floats()[i] - once - sum) <= 2 * bound, "linear, adding, type %d, element %ld: %g, expected %g", type,
                          static_cast<long>(i), to.floats()[i], once + sum);
          }
          for (int64_t i = tokens * all; i < (tokens + 1) * all; i++) {
            checks.expect(first[static_cast<size_t>(i)] == kUntouched, "linear wrote beyond its rows");
          }
          if (tokens == 1) alone.assign(first.begin(), first.begin() + all);
          const bool same = type == kF32 || tokens <= 8;
          checks.expect(!same || memcmp(alone.data(), first.data(), static_cast<size_t>(all) * 4) == 0, "type %d: a token's bits depend on %ld tokens", type,
                        static_cast<long>(tokens));
        }
        qwc_weight_free(weight);
      }
    }
  }
  qwc_backend_free(backend);
}

void experts() {
  const int64_t backend = qwc_backend_create(0, false);
  const int kExperts = 5, kUsed = 2;
  for (WeightType type : kTypes) {
    const int64_t columns = columns_of(type, 100), rows = 37;
    for (int64_t tokens : {1, 2, 7, 130}) {
      std::vector<Rows> up, down;
      for (int e = 0; e < kExperts; e++) {
        up.emplace_back(type, rows, columns);
        up.emplace_back(e % 2 ? type : kF32, 5, columns);
        down.emplace_back(type, rows, columns);
      }
      const int64_t up_weight = upload(backend, up), down_weight = upload(backend, down);
      const std::vector<float> scores = normals(tokens * kExperts), x = normals(tokens * columns), z = normals(tokens * kUsed * columns);
      const Buffer routing(backend, 1, 4 + kExperts + 1 + 2 * tokens * kUsed, true), from(backend, tokens, kExperts, scores);
      const Buffer in(backend, tokens, columns, x), pairs(backend, tokens * kUsed, rows + 5);
      const Buffer of_pairs(backend, tokens * kUsed, columns, z), sum(backend, tokens, rows);
      routing.ints()[0] = kExperts;
      routing.ints()[1] = kUsed;
      routing.ints()[2] = 1;
      succeeds(qwc_route(backend, from.handle, tokens, routing.handle), "route");
      succeeds(qwc_expert_linear(backend, in.handle, routing.handle, up_weight, pairs.handle), "expert_linear");
      succeeds(qwc_expert_linear_add(backend, of_pairs.handle, routing.handle, down_weight, sum.handle), "expert_linear_add");
      const int32_t* first = routing.ints() + 4;
      const int32_t* token = first + kExperts + 1;
      const float* weight = reinterpret_cast<const float*>(token + tokens * kUsed);
      std::vector<double> expected_sum(static_cast<size_t>(tokens * rows)), expected;
      for (int e = 0; e < kExperts; e++) {
        for (int32_t p = first[e]; p < first[e + 1]; p++) {
          const std::vector<float> row(x.begin() + token[p] * columns, x.begin() + (token[p] + 1) * columns);
          const std::vector<double> y = products({up[static_cast<size_t>(2 * e)], up[static_cast<size_t>(2 * e + 1)]}, row, 1, false);
          expected.insert(expected.end(), y.begin(), y.end());
          const std::vector<float> pair(z.begin() + p * columns, z.begin() + (p + 1) * columns);
          const std::vector<double> added = products({down[static_cast<size_t>(e)]}, pair, 1, false);
          for (int64_t r = 0; r < rows; r++) expected_sum[static_cast<size_t>(token[p] * rows + r)] += weight[p] * added[static_cast<size_t>(r)];
        }
      }
      expect_close(expected, pairs.floats(), 1e-4, "experts", type, tokens);
      expect_close(expected_sum, sum.floats(), 1e-4, "experts, adding", type, tokens);
      // What the host has seen, and may have changed, is sent again.
      const std::vector<float> before(pairs.floats(), pairs.floats() + tokens * kUsed * (rows + 5));
      succeeds(qwc_expert_linear(backend, in.handle, routing.handle, up_weight, pairs.handle), "expert_linear");
      checks.expect(memcmp(before.data(), pairs.floats(), before.size() * 4) == 0, "experts of a routing that was looked at");
      if (type == kF32 && tokens == 7) {
        for (int32_t damage : {-1, 1 << 30}) {
          for (int64_t at = 0; at < 4 + kExperts + 1 + tokens * kUsed; at++) {
            if (at == 2) continue;  // whether weights are divided by their sum
            const int32_t kept = routing.ints()[at];
            routing.ints()[at] = damage;
            checks.expect(qwc_expert_linear(backend, in.handle, routing.handle, up_weight, pairs.handle) == kInvalidArgument, "%d is taken at %ld of a routing",
                          damage, static_cast<long>(at));
            checks.expect(qwc_expert_linear_add(backend, of_pairs.handle, routing.handle, down_weight, sum.handle) == kInvalidArgument,
                          "%d is taken at %ld of a routing", damage, static_cast<long>(at));
            routing.ints()[at] = kept;
          }
        }
      }
      qwc_weight_free(up_weight);
      qwc_weight_free(down_weight);
    }
  }
  qwc_backend_free(backend);
}

// Routes against choose_experts, the pairs sorted by counting.
void routes() {
  const int64_t backend = qwc_backend_create(0, false);
  for (int experts : {1, 31, 33, 300, 2048}) {
    for (int used : {1, 2, 8}) {
      if (used > experts) continue;
      for (int tokens : {1, 3, 300}) {
        if (tokens == 300 && experts > 300) continue;
        std::vector<float> scores = normals(int64_t{1} * tokens * experts);
        for (float& s : scores) {
          if (tokens > 1 && seeded() % 3 == 0) s = std::floor(s);
          if (tokens > 1 && seeded() % 200 == 0) s = seeded() % 2 ? NAN : -INFINITY;
        }
        std::vector<int32_t> ints(static_cast<size_t>(4 + experts + 1 + 2 * (tokens + 2) * used));
        ints[0] = experts;
        ints[1] = used;
        ints[2] = tokens % 2;
        const Buffer routing(backend, 1, static_cast<int64_t>(ints.size()), true), from(backend, tokens, experts, scores);
        memcpy(routing.ints(), ints.data(), ints.size() * 4);
        RoutingView expected(IntArray{ints.data(), static_cast<int64_t>(ints.size())});
        std::vector<int32_t> chosen(static_cast<size_t>(tokens * used));
        std::vector<float> weights(chosen.size());
        for (int t = 0; t < tokens; t++) {
          choose_experts(scores.data() + t * experts, experts, used, expected.normalized, chosen.data() + t * used, weights.data() + t * used);
        }
        expected.set_tokens(tokens);
        expected.set_pairs(chosen.data(), weights.data());
        succeeds(qwc_route(backend, from.handle, tokens, routing.handle), "route");
        const RoutingView found(IntArray{routing.ints(), static_cast<int64_t>(ints.size())});
        checks.expect(found.tokens == tokens && memcmp(found.first, expected.first, static_cast<size_t>(experts + 1) * 4) == 0 &&
                          memcmp(found.token, expected.token, chosen.size() * 4) == 0,
                      "pairs of %d tokens and %d of %d experts", tokens, used, experts);
        for (int64_t p = 0; p < expected.pairs(); p++) {
          const float e = expected.weight[p], f = found.weight[p];
          checks.expect(std::isnan(e) ? std::isnan(f) : std::fabs(e - f) <= 2e-6f, "weight %g, expected %g", f, e);
        }
      }
    }
  }
  const Buffer routing(backend, 1, 4 + 2050 + 2, true), scores(backend, 1, 2049);
  routing.ints()[0] = 2049;
  routing.ints()[1] = 1;
  checks.expect(qwc_route(backend, scores.handle, 1, routing.handle) == kUnsupported, "2049 experts");
  qwc_backend_free(backend);
}

void rows_alone() {
  const int64_t backend = qwc_backend_create(0, false);
  for (int64_t rows : {1, 7, 129}) {
    for (int64_t columns : {1, 33, 896, 1500}) {
      const std::vector<float> x = normals(rows * 2 * columns), gain = normals(columns), gates = normals(rows);
      const Buffer wide(backend, rows, 2 * columns, x), narrow(backend, rows, columns, x), factors(backend, 1, columns, gain);
      const Buffer gate(backend, rows, 1, gates), out(backend, rows, columns, std::vector<float>(static_cast<size_t>(rows * columns), NAN));
      std::vector<double> norm, gated, sigmoid, relu;
      for (int64_t t = 0; t < rows; t++) {
        double squares = 0;
        for (int64_t i = 0; i < columns; i++) squares += static_cast<double>(x[static_cast<size_t>(t * columns + i)]) * x[static_cast<size_t>(t * columns + i)];
        for (int64_t i = 0; i < columns; i++) {
          const double v = x[static_cast<size_t>(t * columns + i)];
          norm.push_back(v / std::sqrt(squares / static_cast<double>(columns) + 1e-6) * gain[static_cast<size_t>(i)]);
          const double g = x[static_cast<size_t>(2 * t * columns + i)];
          gated.push_back(g / (1 + std::exp(-g)) * x[static_cast<size_t>((2 * t + 1) * columns + i)]);
          sigmoid.push_back(v / (1 + std::exp(-static_cast<double>(gates[static_cast<size_t>(t)]))));
          relu.push_back(std::max(0., sigmoid.back()));
        }
      }
      succeeds(qwc_rms_norm(backend, narrow.handle, rows, factors.handle, 1e-6f, out.handle), "rms_norm");
      expect_close(norm, out.floats(), 5e-6, "rms_norm", 0, columns);
      succeeds(qwc_swiglu(backend, wide.handle, rows, out.handle), "swiglu");
      expect_close(gated, out.floats(), 2e-6, "swiglu", 0, columns);
      succeeds(qwc_sigmoid_gate(backend, narrow.handle, rows, gate.handle), "sigmoid_gate");
      expect_close(sigmoid, narrow.floats(), 2e-6, "sigmoid_gate", 0, columns);
      succeeds(qwc_relu(backend, narrow.handle, rows), "relu");
      expect_close(relu, narrow.floats(), 2e-6, "relu", 0, columns);
    }
  }
  for (WeightType type : kTypes) {
    const int64_t columns = columns_of(type, 77);
    std::vector<Rows> parts;
    parts.emplace_back(type, 21, columns);
    parts.emplace_back(kBF16, 5, columns);
    parts.emplace_back(type, 8, columns);
    const int64_t table = upload(backend, parts);
    const Batch batch(backend, {0}, {34}, 16);
    int32_t* b = batch.buffer->ints();
    const Buffer x(backend, 40, columns), out(backend, 9, columns);
    for (int i = 0; i < 34; i++) b[b[4] + i] = 33 - i;
    b[2] = 9;
    for (int i = 0; i < 9; i++) b[b[10] + i] = 3 * i + 1;
    succeeds(qwc_embed(backend, table, batch.buffer->handle, x.handle), "embed");
    succeeds(qwc_gather_outputs(backend, x.handle, batch.buffer->handle, out.handle), "gather_outputs");
    std::vector<double> values, gathered;
    for (const Rows& p : parts) values.insert(values.end(), p.values.begin(), p.values.end());
    std::vector<double> expected;
    for (int i = 0; i < 34; i++) expected.insert(expected.end(), values.begin() + (33 - i) * columns, values.begin() + (34 - i) * columns);
    for (int i = 0; i < 9; i++) gathered.insert(gathered.end(), expected.begin() + (3 * i + 1) * columns, expected.begin() + (3 * i + 2) * columns);
    expect_close(expected, x.floats(), 1e-6, "embed", type, columns);
    expect_close(gathered, out.floats(), 1e-6, "gather_outputs", type, columns);
    b[b[4] + 3] = 34;
    checks.expect(qwc_embed(backend, table, batch.buffer->handle, x.handle) == kInvalidArgument, "a token id beyond the table is taken");
    qwc_weight_free(table);
  }
  qwc_backend_free(backend);
}

// What fails is told with figures, frees what it took, and leaves the rest in order.
// Candidates of rows of logits, against a sort of the whole row.
void selection(bool small) {
  const int64_t backend = qwc_backend_create(0, false);
  constexpr int kHead = 5, kRequest = 5, kColumns = 64;
  for (int64_t columns : {1, 2, 31, 255, 2047, 2048, 2049, 4097, 151936}) {
    for (int64_t rows : {1, 2, 7, 8}) {
      if (columns == 151936 ? rows == 7 || small : small && columns > 255 && rows > 2) continue;
      for (int kind = 0; kind < 7; kind++) {
        if (columns == 151936 && rows > 1 && kind > 1) continue;
        // One row more than is asked for, of which the second is left out where there is one.
        std::vector<float> values = normals((rows + 1) * columns);
        for (float& v : values) {
          if (kind == 1) v = std::floor(v);  // many equal ones
          if (kind == 2) v = -INFINITY;
          if (kind == 3) v = seeded() % 2 ? 0.f : -0.f;
          if (kind == 4 && seeded() % 50 != 0) v = -INFINITY;
          if (kind == 5) v *= 1000;
        }
        if (kind == 6) {
          values[0] = seeded() % 2 ? NAN : INFINITY;
          for (int64_t r = 1; r < rows + 1; r++) values[static_cast<size_t>(r * columns + (r % 2 ? columns - 1 : columns / 2))] = NAN;
        }
        const int64_t sampleable = std::max<int64_t>(1, columns - static_cast<int64_t>(seeded() % 20));
        struct Asked {
          int row, count;
          float temperature;
          std::vector<int32_t> apart;
          int cell, apart_cell;
        };
        std::vector<Asked> asked;
        int cells = 0, apart = 0;
        const int counts[] = {1, 20, 256, 2, 64, 1, 255};
        for (int r = 0; r < rows; r++) {
          if (r == 1) continue;
          Asked a{r + (r > 1 && r % 3 == 0), counts[(seeded() % 7)], seeded() % 3 == 0 ? 0.f : 0.1f + static_cast<float>(seeded() % 20) / 10, {}, cells, 0};
          if (!asked.empty() && a.row <= asked.back().row) a.row = asked.back().row + 1;
          if (a.row > rows) break;
          const int share = static_cast<int>(seeded() % 3);
          for (int64_t id = 0; id < columns && share > 0; id++) {
            if (id == 0 || id == columns - 1 || seeded() % (share == 1 ? 3 : 1000) == 0) a.apart.push_back(static_cast<int32_t>(id));
          }
          a.apart_cell = apart;
          cells += kHead + 2 * a.count;
          apart += static_cast<int>(a.apart.size());
          asked.push_back(a);
        }
        const int most = static_cast<int>(asked.size()) + 1;
        const Buffer ints(backend, 1, kRequest * (most + 1) + apart + 3, true);
        const int64_t found_rows = (cells + apart + kColumns - 1) / kColumns + 1;
        const Buffer found(backend, found_rows, kColumns, std::vector<float>(static_cast<size_t>(found_rows * kColumns), kUntouched));
        const Buffer logits(backend, rows + 1, columns, values);
        int32_t* to = ints.ints();
        const int32_t head[] = {static_cast<int32_t>(asked.size()), static_cast<int32_t>(sampleable), apart, cells, most};
        memcpy(to, head, sizeof head);
        for (size_t i = 0; i < asked.size(); i++) {
          const Asked& a = asked[i];
          int32_t* request = to + kRequest * (1 + i);
          request[0] = a.row;
          request[1] = a.count;
          memcpy(request + 2, &a.temperature, 4);
          request[3] = a.apart_cell;
          request[4] = a.cell;
          std::copy(a.apart.begin(), a.apart.end(), to + kRequest * (most + 1) + a.apart_cell);
        }
        succeeds(qwc_select_logits(backend, logits.handle, ints.handle, found.handle), "select_logits");
        const float* cell = found.floats();
        for (const Asked& a : asked) {
          const float* row = values.data() + a.row * columns;
          const auto is_apart = [&](int32_t id) { return std::binary_search(a.apart.begin(), a.apart.end(), id); };
          int64_t refused = 0;
          while (refused < columns && row[refused] < INFINITY) refused++;
          const long shape = static_cast<long>(columns * 100 + rows);
          checks.expect(cell[a.cell] == (refused < columns ? static_cast<float>(refused) : -1.f), "selection, kind %d, shape %ld: %g is refused", kind, shape,
                        cell[a.cell]);
          for (size_t i = 0; i < a.apart.size(); i++) {
            checks.expect(memcmp(cell + cells + a.apart_cell + static_cast<int>(i), row + a.apart[i], 4) == 0, "selection, kind %d, shape %ld: an id apart",
                          kind, shape);
          }
          if (refused < columns) {
            checks.expect(memcmp(cell + a.cell + 1, row + refused, 4) == 0, "selection, kind %d, shape %ld: what is refused", kind, shape);
            continue;
          }
          std::vector<int32_t> order;
          for (int32_t id = 0; id < sampleable; id++) {
            if (row[id] > -INFINITY && !is_apart(id)) order.push_back(id);
          }
          std::stable_sort(order.begin(), order.end(), [&](int32_t x, int32_t y) { return row[x] > row[y]; });
          long double sum = 0;
          for (int32_t id : order) sum += std::exp((static_cast<double>(row[id]) - row[order[0]]) / a.temperature);
          if (a.temperature == 0) sum = 0;
          const double told = static_cast<double>(cell[a.cell + 3]) + cell[a.cell + 4];
          checks.expect(std::fabs(told - static_cast<double>(sum)) <= 1e-13 * static_cast<double>(sum),
                        "selection, kind %d, shape %ld: the sum is %.17g, expected %.17g", kind, shape, told, static_cast<double>(sum));
          const size_t size = std::min(order.size(), static_cast<size_t>(a.count));
          if (!checks.expect(cell[a.cell + 2] == static_cast<float>(size), "selection, kind %d, shape %ld: %g candidates, expected %zu", kind, shape,
                             cell[a.cell + 2], size)) {
            continue;
          }
          for (size_t i = 0; i < size; i++) {
            const float* candidate = cell + a.cell + kHead + i;
            checks.expect(*candidate == static_cast<float>(order[i]) && memcmp(candidate + a.count, row + order[i], 4) == 0,
                          "selection, kind %d, shape %ld: candidate %zu is %g with %g, expected %d with %g", kind, shape, i, *candidate, candidate[a.count],
                          order[i], row[order[i]]);
          }
        }
        // It has whole rows of cells.
        const int64_t used = (cells + apart + kColumns - 1) / kColumns * kColumns;
        for (int64_t i = used; i < found_rows * kColumns; i++) checks.expect(cell[i] == kUntouched, "a selection wrote beyond its cells");
        checks.expect(memcmp(logits.floats(), values.data(), values.size() * 4) == 0, "a selection changed the logits");
        if (columns == 255 && rows == 8 && kind == 0) {
          for (int32_t damage : {-1, 1 << 30}) {
            for (int at = 0; at < 5 + kRequest * static_cast<int>(asked.size()); at++) {
              if (at >= 5 && (at - 5) % kRequest == 2 && damage > 0) continue;  // a temperature of 2
              const int32_t kept = to[at];
              to[at] = damage;
              checks.expect(qwc_select_logits(backend, logits.handle, ints.handle, found.handle) == kInvalidArgument, "%d is taken at %d of a selection", damage,
                            at);
              to[at] = kept;
            }
            for (int i = 0; i < apart; i++) {
              int32_t& id = to[kRequest * (most + 1) + i];
              const int32_t kept = id;
              id = damage;
              checks.expect(qwc_select_logits(backend, logits.handle, ints.handle, found.handle) == kInvalidArgument, "%d is taken as an id apart", damage);
              id = kept;
            }
          }
          checks.expect(qwc_select_logits(backend, found.handle, ints.handle, found.handle) == kInvalidArgument, "logits are what is found");
        }
      }
    }
  }
  qwc_backend_free(backend);
}

void failures() {
  checks.expect(qwc_emulate_devices(-1, 90, 0) == kOk && qwc_device_count() == -kUnsupported, "devices without a driver");
  checks.expect(last_error().find("driver") != std::string::npos, "no driver is told as: %s", last_error().c_str());
  checks.expect(qwc_emulate_devices(0, 90, 0) == kOk && qwc_device_count() == -kUnsupported, "no devices");
  checks.expect(qwc_emulate_devices(2, 75, 1 << 20) == kOk && qwc_device_count() == 2, "not two devices");
  checks.expect(qwc_backend_create(0, false) == -kUnsupported && last_error().find("7.5") != std::string::npos, "an old card is taken: %s",
                last_error().c_str());
  checks.expect(qwc_emulate_devices(2, 120, 1 << 20) == kOk && qwc_device_capability(1) == 120, "a capability");
  checks.expect(qwc_backend_create(2, false) == -kInvalidArgument, "a third device of two");
  const int64_t backend = qwc_backend_create(1, false);
  checks.expect(backend > 0, "no backend: %s", last_error().c_str());
  const int64_t buffer = qwc_buffer_create(backend, 1 << 7, 1 << 10, false);
  checks.expect(qwc_buffer_create(backend, 1 << 8, 1 << 10, false) == -kOutOfMemory && qwc_last_error_bytes() == 1 << 20 &&
                    qwc_last_error_available() == 1 << 19,
                "too much memory: %ld asked, %ld there", static_cast<long>(qwc_last_error_bytes()), static_cast<long>(qwc_last_error_available()));
  checks.expect(qwc_kv_create(backend, kKvF32, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 256) == -kInvalidArgument, "a size beyond 63 bits");
  for (int type = 0; type < kKvTypes; type++) {
    const int64_t cache = qwc_kv_create(backend, type, 2, 3, 5, 2, 48), taken = qwc_emulated_bytes();
    checks.expect(qwc_kv_bytes(type, 2, 3, 5, 2, 48) == taken - (1 << 19), "a cache of type %d takes %ld bytes", type, static_cast<long>(taken));
    qwc_kv_free(cache);
  }
  for (int64_t head_size : {257, 272}) {
    const int32_t expected = head_size % 16 == 0 ? -kUnsupported : -kInvalidArgument;
    checks.expect(qwc_kv_create(backend, kKvF32, 1, 1, 16, 1, head_size) == expected && qwc_kv_bytes(kKvF32, 1, 1, 16, 1, head_size) == expected,
                  "heads of %ld", static_cast<long>(head_size));
  }
  // 4.25 and 8.25 bits a weight in groups of 128 columns, 5 and 9 in groups of 32.
  checks.expect(qwc_segment_bytes(kINT4_G128, 3, 4096) == 3 * 2176 && qwc_segment_bytes(kINT8_G128, 3, 4096) == 3 * 4224 &&
                    qwc_segment_bytes(kINT4_G32, 3, 4096) == 3 * 2560 && qwc_segment_bytes(kINT8_G32, 3, 4096) == 3 * 4608,
                "sizes of weights in groups");
  checks.expect(qwc_segment_bytes(99, 1, 32) == -kUnsupported && qwc_segment_bytes(kQ4_K, 1, 32) == -kInvalidArgument, "odd weights");
  for (int64_t bad : {int64_t{0}, buffer, int64_t{8}}) {
    if (bad != 8) checks.expect(qwc_relu(bad, buffer, 1) == kInvalidArgument, "%ld is a backend", static_cast<long>(bad));
  }
  checks.expect(qwc_relu(backend, backend, 1) == kInvalidArgument, "a backend is a buffer");
  checks.expect(qwc_relu(backend, buffer, 129) == kInvalidArgument, "more rows than there are");
  // Each allocation and call of a small computation fails once.
  for (int32_t status : {int32_t{kOutOfMemory}, int32_t{kDeviceLost}}) {
    int failed = 0;
    for (int64_t k = 1; k < 40; k++) {
      qwc_emulate_failure(k, status);
      const int64_t x = qwc_buffer_create(backend, 3, 64, false), arena = qwc_arena_create(backend, 4096), weight = qwc_weight_create(64);
      const int64_t staging = qwc_staging_create(backend, 4096), y = qwc_buffer_create(backend, 3, 5, false);
      bool lost = false;
      for (int64_t made : {x, arena, staging, y}) {
        lost |= made < 0;
        checks.expect(made > 0 || made == -status, "a failure of %d is told as %ld", status, static_cast<long>(made));
      }
      if (!lost) {
        succeeds(qwc_weight_add_segment(weight, kQ4_0, 5, nullptr, arena), "adding a segment");
        for (int32_t found : {qwc_weight_pack(weight, 0, 0, 5, staging, 5 * 36), qwc_linear(backend, x, 3, weight, 0, false, y), qwc_buffer_look(y)}) {
          lost |= found != kOk;
          checks.expect(found == kOk || found == status, "a failure of %d is told as %d: %s", status, found, last_error().c_str());
        }
      }
      failed += lost;
      qwc_emulate_failure(0, kOk);
      for (int64_t made : {x, y}) {
        if (made > 0) {
          qwc_buffer_discard(made);
          qwc_buffer_free(made);
        }
      }
      if (arena > 0) qwc_arena_free(arena);
      if (staging > 0) qwc_staging_free(staging);
      qwc_weight_free(weight);
    }
    checks.expect(failed > 3, "%d of 40 failures of %d were met", failed, status);
  }
  qwc_buffer_discard(buffer);
  checks.expect(qwc_relu(backend, buffer, 1) == kInvalidArgument, "a closed buffer is used");
  qwc_buffer_free(buffer);
  qwc_backend_free(backend);
  qwc_emulate_devices(1, 90, int64_t{4} << 30);
  // What is given back twice is counted, and every later call fails until somebody asks.
  void* memory = cuda::allocate(16);
  cuda::release(memory);
  cuda::release(memory);
  checks.expect(qwc_backend_create(0, false) == -kInternal, "memory given back twice goes unnoticed");
  checks.expect(qwc_emulated_faults() == 1 && qwc_emulated_faults() == 0, "memory given back twice is not counted");
}

}  // namespace
}  // namespace qw::test

// With the argument "small" only small shapes, for tools under which a kernel takes a thousand times longer; with "selection" or "experts" those
// alone.
int main(int count, char** arguments) {
  using namespace qw::test;
  const std::string only = count > 1 ? arguments[1] : "";
  if (only == "selection" || only == "experts") {
    if (only == "selection") selection(false);
    if (only == "experts") {
      routes();
      experts();
    }
    return checks.finish("cuda_test");
  }
  const bool emulated = qwc_emulated_bytes() >= 0;
  if (emulated) failures();
  const bool small = count > 1;
  rows_alone();
  for (bool fine : {false, true}) linear(fine, small);
  routes();
  experts();
  selection(small);
  checks.expect(qwc_emulated_faults() == 0, "memory was given back that was not taken");
  checks.expect(qwc_live_objects() == 0 && qwc_live_mappings() == 0 && qwc_emulated_bytes() == (emulated ? 0 : -1), "%ld objects, %ld mappings, %ld bytes are left",
                static_cast<long>(qwc_live_objects()), static_cast<long>(qwc_live_mappings()), static_cast<long>(qwc_emulated_bytes()));
  return checks.finish("cuda_test");
}
