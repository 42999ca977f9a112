// The products of many tokens on tensor cores (cuda/gemm.h), each kernel and tile by itself, against sums in double precision: on an emulated
// device, or on a card if it is linked with the CUDA runtime (benchmarks/gpu/run.sh).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "check.h"
#include "cuda/gemm.h"
#include "cuda/objects.h"
#include "quant_reference.h"

namespace qw::test {
namespace {

using cuda::GemmKernel;
using cuda::GemmOrder;

constexpr float kUntouched = 12345.f;

Checks checks;
std::mt19937 seeded(7);

float normal() {
  static std::normal_distribution<float> distribution;
  return distribution(seeded);
}
std::vector<float> normals(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal();
  return values;
}

uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}
float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
// To nearest even.
float to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  return float_of((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

void succeeds(int32_t status, const char* what) {
  int8_t text[256];
  if (status == kOk) return;
  const int32_t length = qwc_last_error(text, sizeof text);
  checks.expect(false, "%s fails: %.*s", what, length, reinterpret_cast<char*>(text));
}

struct Backend {
  explicit Backend(bool fine) : handle(qwc_backend_create(0, fine)) {}
  ~Backend() { qwc_backend_free(handle); }
  GemmOrder& order() const { return object<cuda::Backend>(handle).gemm_order; }
  int64_t handle;
};

struct Buffer {
  Buffer(const Backend& backend, int64_t rows, int64_t columns, const std::vector<float>& values)
      : handle(qwc_buffer_create(backend.handle, rows, columns, false)) {
    memcpy(floats(), values.data(), values.size() * 4);
  }
  ~Buffer() {
    qwc_buffer_discard(handle);
    qwc_buffer_free(handle);
  }
  float* floats() const {
    succeeds(qwc_buffer_look(handle), "looking at a buffer");
    return reinterpret_cast<float*>(qwc_buffer_view(handle).data);
  }
  int64_t handle;
};

const BlockType* block_of(WeightType type) {
  for (const BlockType& t : block_types()) {
    if (t.type == type) return &t;
  }
  return nullptr;
}

// Rows of one type, as a file has them, and their values as the kernels multiply them: those of blocks in BF16.
struct Rows {
  Rows(WeightType t, int64_t r, int64_t columns) : type(t), rows(r), values(static_cast<size_t>(r * columns)) {
    if (const BlockType* block = block_of(type)) {
      bytes.resize(static_cast<size_t>(rows * columns / block->columns * block->bytes));
      for (size_t b = 0; b * static_cast<size_t>(block->bytes) < bytes.size(); b++) {
        uint8_t* at = &bytes[b * static_cast<size_t>(block->bytes)];
        fill_block(*block, Fill::kRandom, seeded, at);
        for (int e = 0; e < block->columns; e++) values[b * static_cast<size_t>(block->columns) + static_cast<size_t>(e)] = to_bf16(element(type, at, e));
      }
      return;
    }
    bytes.resize(values.size() * (type == kF32 ? 4 : 2));
    for (size_t i = 0; i < values.size(); i++) set(i, normal());
  }
  // Of 16 bits the value is cut off.
  void set(size_t i, float value) {
    const uint32_t bits = bits_of(value);
    if (type == kF32) {
      memcpy(&bytes[4 * i], &bits, 4);
      values[i] = value;
      return;
    }
    uint16_t half = static_cast<uint16_t>(bits >> 16);
    if (type == kF16) {
      const uint32_t exponent = bits >> 23 & 255;
      half = static_cast<uint16_t>((bits >> 16 & 0x8000) | (exponent == 255 ? 0x7c00 | (bits << 9 ? 1 : 0) : exponent < 113 ? 0 : (exponent - 112) << 10 | (bits >> 13 & 1023)));
    }
    memcpy(&bytes[2 * i], &half, 2);
    values[i] = type == kF16 ? half_to_float(half) : float_of(static_cast<uint32_t>(half) << 16);
  }
  WeightType type;
  int64_t rows;
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

struct Weight {
  Weight(const Backend& backend, const std::vector<Rows>& parts, int64_t columns, const int32_t* order = nullptr) : handle(qwc_weight_create(columns)) {
    int64_t bytes = 0;
    for (const Rows& p : parts) bytes += qwc_segment_bytes(p.type, p.rows, columns);
    const int64_t arena = qwc_arena_create(backend.handle, bytes);
    for (const Rows& p : parts) succeeds(qwc_weight_add_segment(handle, p.type, p.rows, order, arena), "adding a segment");
    qwc_arena_free(arena);
    for (size_t i = 0; i < parts.size(); i++) {
      const int64_t size = static_cast<int64_t>(parts[i].bytes.size()), staging = qwc_staging_create(backend.handle, size);
      memcpy(qwc_staging_view(staging).data, parts[i].bytes.data(), parts[i].bytes.size());
      succeeds(qwc_weight_pack(handle, static_cast<int64_t>(i), 0, parts[i].rows, staging, size), "packing");
      succeeds(qwc_staging_wait(staging), "packing");
      qwc_staging_free(staging);
    }
  }
  ~Weight() { qwc_weight_free(handle); }
  int64_t handle;
};

// What is multiplied instead of x: BF16, or 11 bits beside F16, and when fine what that leaves over in as many bits.
float rounded(float x, bool half, bool fine) {
  const auto round = [half](float v) {
    if (!half) return to_bf16(v);
    const uint32_t bits = bits_of(v);
    return float_of((bits + 0xfff + (bits >> 13 & 1)) & 0xffffe000u);
  };
  const float high = round(x);
  return fine ? high + round(x - high) : high;
}

// y[t] = x[t] · wᵀ, and the sums of magnitudes that errors are measured with.
struct Expected {
  std::vector<double> sums, sizes;
  Expected(const std::vector<Rows>& parts, const std::vector<float>& x, int64_t tokens, int64_t columns, bool fine) {
    for (int64_t t = 0; t < tokens; t++) {
      for (const Rows& p : parts) {
        std::vector<double> row;
        for (int64_t c = 0; c < columns; c++) {
          const float v = x[static_cast<size_t>(t * columns + c)];
          row.push_back(p.type == kF32 ? v : rounded(v, p.type == kF16, fine));
        }
        for (int64_t r = 0; r < p.rows; r++) {
          double sum = 0, size = 0;
          for (int64_t c = 0; c < columns; c++) {
            const double product = row[static_cast<size_t>(c)] * p.values[static_cast<size_t>(r * columns + c)];
            sum += product;
            size += std::fabs(product);
          }
          sums.push_back(sum);
          sizes.push_back(size);
        }
      }
    }
  }
};

// Sums are accumulated in f32; tensor cores cut off what is added.
constexpr double kSumError = 2e-6;

std::string name_of(const GemmOrder& order) {
  return std::string(order.kernel == GemmKernel::kMma ? "mma" : order.kernel == GemmKernel::kHopper ? "hopper" : order.kernel == GemmKernel::kNone ? "none" : "chosen") +
         " " + std::to_string(order.tile) + "/" + std::to_string(order.splits);
}

// With a bias, then added to what is there; the row behind the last token stays.
std::vector<float> expect_products(const Backend& backend, const Weight& weight, const Expected& expected, const std::vector<float>& x, int64_t tokens,
                                   int64_t columns, int64_t rows, const std::string& what) {
  const std::vector<float> added = normals(rows);
  const Buffer from(backend, tokens, columns, std::vector<float>(x.begin(), x.begin() + tokens * columns)), bias(backend, 1, rows, added);
  const Buffer to(backend, tokens + 1, rows, std::vector<float>(static_cast<size_t>((tokens + 1) * rows), kUntouched));
  std::vector<float> results[3];
  for (int mode = 0; mode < 3; mode++) {
    succeeds(qwc_linear(backend.handle, from.handle, tokens, weight.handle, mode == 1 ? bias.handle : 0, mode == 2, to.handle), what.c_str());
    const float* found = to.floats();
    results[mode].assign(found, found + (tokens + 1) * rows);
    for (int64_t i = 0; i < tokens * rows; i++) {
      const size_t at = static_cast<size_t>(i);
      const double bias_of = mode == 0 ? 0 : added[static_cast<size_t>(i % rows)], sum = (mode == 2 ? 2 : 1) * expected.sums[at] + bias_of;
      const double bound = (kSumError * expected.sizes[at] + 1e-6 * std::fabs(bias_of)) * (mode == 2 ? 2 : 1) + 1e-30;
      checks.expect(std::fabs(found[i] - sum) <= bound, "%s, %ld x %ld, %ld tokens, mode %d, element %ld: %g, expected %g", what.c_str(),
                    static_cast<long>(rows), static_cast<long>(columns), static_cast<long>(tokens), mode, static_cast<long>(i), found[i], sum);
    }
    for (int64_t i = tokens * rows; i < (tokens + 1) * rows; i++) checks.expect(found[i] == kUntouched, "%s wrote beyond its tokens", what.c_str());
  }
  return results[0];
}

struct Shape {
  int64_t tokens, rows, columns;
};

// Sizes of each kind around those of tiles, beside moderate ones of the others.
std::vector<Shape> shapes(bool small) {
  std::vector<Shape> result;
  for (int64_t tokens : {1, 7, 9, 16, 17, 63, 64, 65, 127, 128, 129, 300}) result.push_back({tokens, 72, 96});
  for (int64_t rows : {1, 8, 128, 130, 200, 1152}) result.push_back({20, rows, 72});
  for (int64_t columns : {1, 8, 13, 32, 64, 896, 1000}) result.push_back({17, 40, columns});
  if (!small) {
    result.push_back({129, 1152, 320});
    return result;
  }
  result.erase(std::remove_if(result.begin(), result.end(), [](const Shape& s) { return s.tokens > 130 || s.rows > 130 || s.columns > 100; }), result.end());
  return result;
}

void kernel_alone(const GemmOrder& order, bool fine, bool small) {
  const Backend backend(fine);
  backend.order() = order;
  int turn = 0;
  for (const Shape& s : shapes(small)) {
    const WeightType type = ++turn % 2 == 0 ? kF16 : kBF16;
    // Behind rows of another type, so that nothing is aligned by chance.
    std::vector<Rows> parts;
    if (turn % 3 != 0) parts.emplace_back(kF32, turn % 3, s.columns);
    parts.emplace_back(type, s.rows, s.columns);
    const Weight weight(backend, parts, s.columns);
    const int64_t rows = s.rows + turn % 3;
    std::vector<float> x = normals(s.tokens * s.columns);
    const std::string what = name_of(order) + (fine ? " fine" : "") + (type == kF16 ? " F16" : " BF16");
    const std::vector<float> y = expect_products(backend, weight, Expected(parts, x, s.tokens, s.columns, fine), x, s.tokens, s.columns, rows, what);
    if (s.tokens < 3 || turn % 4 != 1) continue;
    // A token's bits are those of its own numbers: the others change, and are none.
    for (int64_t i = 0; i < s.tokens * s.columns; i++) {
      if (i / s.columns % 3 != 1) x[static_cast<size_t>(i)] = i / s.columns % 3 == 0 ? NAN : normal() * 1e4f;
    }
    const Buffer from(backend, s.tokens, s.columns, x), to(backend, s.tokens, rows, {});
    succeeds(qwc_linear(backend.handle, from.handle, s.tokens, weight.handle, 0, false, to.handle), what.c_str());
    const float* found = to.floats();
    for (int64_t t = 0; t < s.tokens; t++) {
      const float* row = found + t * rows;
      if (t % 3 == 1) {
        checks.expect(memcmp(row, &y[static_cast<size_t>(t * rows)], static_cast<size_t>(rows) * 4) == 0, "%s: token %ld depends on others", what.c_str(),
                      static_cast<long>(t));
      }
      for (int64_t r = 0; t % 3 == 0 && r < rows; r++) checks.expect(std::isnan(row[r]), "%s: a NaN is lost", what.c_str());
    }
  }
}

// What is not finite stays so, and touches nothing else.
void not_finite(const GemmOrder& order, bool fine) {
  const Backend backend(fine);
  backend.order() = order;
  const int64_t tokens = 20, rows = 70, columns = 80;
  for (WeightType type : {kBF16, kF16}) {
    std::vector<Rows> parts;
    parts.emplace_back(type, rows, columns);
    std::vector<float> x = normals(tokens * columns);
    x[2 * columns + 3] = INFINITY;
    x[3 * columns + 79] = -INFINITY;
    x[4 * columns + 5] = NAN;
    x[5 * columns] = INFINITY;
    x[5 * columns + 1] = -INFINITY;
    for (int64_t c = 0; c < columns; c++) {
      x[static_cast<size_t>(6 * columns + c)] *= 1e30f;  // beyond the range of F16
      x[static_cast<size_t>(7 * columns + c)] *= 1e-30f;
      x[static_cast<size_t>(8 * columns + c)] = 0;
    }
    parts[0].set(static_cast<size_t>(10 * columns + 3), 0);  // times infinity
    parts[0].set(static_cast<size_t>(11 * columns + 7), NAN);
    parts[0].set(static_cast<size_t>(12 * columns + 9), INFINITY);
    const Weight weight(backend, parts, columns);
    const Expected expected(parts, x, tokens, columns, false), finer(parts, x, tokens, columns, fine);
    const Buffer from(backend, tokens, columns, x), to(backend, tokens, rows, {});
    succeeds(qwc_linear(backend.handle, from.handle, tokens, weight.handle, 0, false, to.handle), "linear");
    const float* found = to.floats();
    for (int64_t i = 0; i < tokens * rows; i++) {
      const size_t at = static_cast<size_t>(i);
      const double exact = expected.sums[at];
      // Both parts of a fine activation meet an infinite weight, and may do so with different signs.
      const bool ok = std::isnan(exact)                          ? std::isnan(found[i])
                      : std::isinf(exact) && fine && i % rows == 12 ? !std::isfinite(found[i])
                      : std::isinf(exact)                        ? found[i] == exact
                                                                 : std::fabs(found[i] - finer.sums[at]) <= kSumError * finer.sizes[at];
      checks.expect(ok, "%s, type %d, token %ld, row %ld: %g, expected %g", name_of(order).c_str(), type, static_cast<long>(i / rows), static_cast<long>(i % rows),
                    found[i], exact);
    }
  }
}

// Whatever is chosen, for numbers of tokens around the choices.
void chosen(bool fine, bool small) {
  const Backend backend(fine);
  for (WeightType type : {kBF16, kF16}) {
    for (int64_t tokens : {8, 9, 33, 128, 257}) {
      if (small && tokens > 9) continue;
      const int64_t rows = 136, columns = 200;
      std::vector<Rows> parts;
      parts.emplace_back(type, rows, columns);
      const std::vector<float> x = normals(tokens * columns);
      const Weight weight(backend, parts, columns);
      // With few tokens nothing is rounded.
      const bool exact = tokens <= 8;
      if (exact) parts[0].type = kF32;
      expect_products(backend, weight, Expected(parts, x, tokens, columns, fine), x, tokens, columns, rows, "chosen");
    }
  }
}

// Quantized weights are decoded to BF16, some rows at a time.
void decoded(bool small) {
  const Backend backend(false);
  for (const BlockType& t : block_types()) {
    const int64_t columns = t.columns == 256 ? 512 : 384, rows = small ? 40 : 90, tokens = small ? 5 : 70;
    std::vector<Rows> parts;
    parts.emplace_back(t.type, rows, columns);
    std::vector<int32_t> order(static_cast<size_t>(columns));
    for (int64_t c = 0; c < columns; c++) order[static_cast<size_t>(c)] = static_cast<int32_t>((c * 7 + 5) % columns);
    if (columns % 7 == 0) checks.expect(false, "no permutation");
    const std::vector<float> x = normals(tokens * columns);
    std::vector<float> turned;
    for (int64_t i = 0; i < tokens * columns; i++) turned.push_back(x[static_cast<size_t>(i / columns * columns + order[static_cast<size_t>(i % columns)])]);
    for (const int32_t* o : {static_cast<const int32_t*>(nullptr), static_cast<const int32_t*>(order.data())}) {
      const Weight weight(backend, parts, columns, o);
      const Expected expected(parts, o == nullptr ? x : turned, tokens, columns, false);
      for (int64_t at_once : {0, 32}) {
        backend.order() = {GemmKernel::kHopper, -1, 0, at_once};
        expect_products(backend, weight, expected, x, tokens, columns, rows, std::string("decoded ") + t.name);
      }
    }
  }
}

// Without memory for that they are multiplied in integers.
void no_memory_to_decode() {
  const int64_t columns = 512, rows = 256, tokens = 3;
  std::vector<Rows> parts;
  parts.emplace_back(kQ8_0, rows, columns);
  const std::vector<float> x = normals(tokens * columns);
  qwc_emulate_devices(1, 90, 370 << 10);
  {
    const Backend tight(false);
    const Weight weight(tight, parts, columns);
    const Buffer from(tight, tokens, columns, x), to(tight, tokens, rows, {}), again(tight, tokens, rows, {});
    succeeds(qwc_linear(tight.handle, from.handle, tokens, weight.handle, 0, false, to.handle), "linear");
    tight.order().kernel = GemmKernel::kHopper;
    succeeds(qwc_linear(tight.handle, from.handle, tokens, weight.handle, 0, false, again.handle), "linear without memory to decode");
    checks.expect(memcmp(to.floats(), again.floats(), static_cast<size_t>(tokens * rows) * 4) == 0, "without memory other kernels compute it");
    checks.expect(object<cuda::Backend>(tight.handle).no_room_to_decode, "there was memory");
  }
  qwc_emulate_devices(1, 90, int64_t{4} << 30);
}

}  // namespace
}  // namespace qw::test

// Arguments: see check.h.
int main(int count, char** arguments) {
  using namespace qw::test;
  const DeviceTestArguments asked(count, arguments);
  if (asked.seed != 0) seeded.seed(static_cast<uint32_t>(asked.seed));
  const bool emulated = qwc_emulated_bytes() >= 0, small = asked.small;
  std::vector<GemmOrder> orders;
  for (int tile = 0; tile < qw::cuda::kGemmTiles; tile++) {
    orders.push_back({GemmKernel::kMma, tile, 1, 0});
    orders.push_back({GemmKernel::kMma, tile, 3, 0});
  }
  bool hopper;
  {
    const Backend backend(false);
    hopper = qw::cuda::hopper_usable(qw::object<qw::cuda::Backend>(backend.handle));
  }
  checks.expect(hopper || !emulated, "the emulated device has the kernels of compute capability 9.0");
  printf("cuda_gemm_test: %s the kernels of compute capability 9.0\n", hopper ? "with" : "without");
  for (int tile = 0; hopper && tile < qw::cuda::kHopperTiles; tile++) orders.push_back({GemmKernel::kHopper, tile, 0, 0});
  for (const GemmOrder& order : orders) {
    for (bool fine : {false, true}) {
      kernel_alone(order, fine, small);
      not_finite(order, fine);
    }
  }
  for (bool fine : {false, true}) chosen(fine, small);
  if (hopper) decoded(small);
  if (emulated) no_memory_to_decode();
  checks.expect(qwc_live_objects() == 0 && qwc_emulated_bytes() == (emulated ? 0 : -1), "%ld objects, %ld bytes are left", static_cast<long>(qwc_live_objects()),
                static_cast<long>(qwc_emulated_bytes()));
  return checks.finish("cuda_gemm_test");
}
