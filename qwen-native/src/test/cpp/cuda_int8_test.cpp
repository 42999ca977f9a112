// Products of many tokens with quantized weights on tensor cores: every tile against the formula in double precision, and the kernels for few
// tokens too. On an emulated device, or on a card if it is linked with the CUDA runtime (benchmarks/gpu/run.sh).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/gemm_int8.h"
#include "cuda/integers.h"
#include "cuda/ops.h"
#include "quant_reference.h"

namespace qw::test {
namespace {

using cuda::IntegerTile;

constexpr float kUntouched = 12345.f;
constexpr IntegerTile kTiles[] = {IntegerTile::kNarrow, IntegerTile::kMiddle, IntegerTile::kWide};
constexpr int64_t kTokens[] = {1, 8, 9, 16, 17, 63, 64, 65, 128, 129, 200};
constexpr int64_t kRows[] = {1, 8, 72, 127, 128, 130, 896};
constexpr int64_t kColumns[] = {32, 64, 96, 256, 896, 1280};

Checks checks;
std::mt19937 seeded(31);

std::vector<float> normals(int64_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = distribution(seeded);
  return values;
}

// Rows of one type on the device, and their values.
struct Part {
  const BlockType* type;
  int64_t rows;
  std::vector<double> values;
};

struct Matrix {
  explicit Matrix(int64_t columns) : weight(columns) {}

  void add(cuda::Backend& backend, const BlockType& type, int64_t rows, const int32_t* order) {
    cuda::Arena arena(backend.context, cuda::segment_bytes(type.type, rows, weight.columns));
    cuda::add_segment(weight, type.type, rows, order, arena);
    const int64_t blocks = rows * (weight.columns / type.columns), bytes = blocks * type.bytes;
    cuda::Staging staging(backend.context, bytes);
    Part part{&type, rows, std::vector<double>(static_cast<size_t>(rows * weight.columns))};
    for (int64_t b = 0; b < blocks; b++) {
      uint8_t* block = staging.host.data() + b * type.bytes;
      fill_block(type, Fill::kRandom, seeded, block);
      for (int e = 0; e < type.columns; e++) part.values[static_cast<size_t>(b * type.columns + e)] = element(type.type, block, e);
    }
    cuda::pack_rows(weight, static_cast<int64_t>(weight.segments.size()) - 1, 0, rows, staging, bytes);
    staging.stream.wait();
    parts.push_back(std::move(part));
  }

  cuda::Weight weight;
  std::vector<Part> parts;
};

// What is multiplied, in the order of the stored columns: groups of 32 rounded to 8 bits, and on request what is left to 8 bits more.
std::vector<double> rounded(const float* x, const ColumnOrder& order, int64_t columns, bool fine) {
  std::vector<double> result(static_cast<size_t>(columns));
  for (int64_t g = 0; g < columns; g += 32) {
    float left[32], largest;
    for (int64_t i = 0; i < 32; i++) left[i] = x[order.empty() ? g + i : order[static_cast<size_t>(g + i)]];
    for (int set = 0; set < (fine ? 2 : 1); set++) {
      largest = 0;
      for (float v : left) largest = std::max(largest, std::fabs(v));
      if (largest < 1e-35f) break;
      for (int64_t i = 0; i < 32; i++) {
        const float q = std::nearbyint(left[i] * (127.f / largest)), scale = largest / 127.f;
        result[static_cast<size_t>(g + i)] += static_cast<double>(scale) * q;
        left[i] -= scale * q;
      }
    }
  }
  return result;
}

struct Inputs {
  Inputs(cuda::Backend& backend, int64_t t, int64_t columns, std::vector<float> v)
      : tokens(t), values(std::move(v)), buffer(std::make_unique<cuda::Buffer>(backend.context, t, columns, false)) {
    memcpy(buffer->host(), values.data(), values.size() * 4);
  }
  int64_t tokens;
  std::vector<float> values;
  std::unique_ptr<cuda::Buffer> buffer;
};

// One row more than there are tokens, to see that it is left alone.
std::vector<float> multiply(cuda::Backend& backend, Matrix& m, Inputs& x, cuda::Buffer* bias, bool add, const std::vector<float>& before,
                            const IntegerTile* tile) {
  const int64_t rows = m.weight.rows;
  cuda::Buffer y(backend.context, x.tokens + 1, rows, false);
  float* host = reinterpret_cast<float*>(y.host());
  std::fill(host, host + (x.tokens + 1) * rows, kUntouched);
  memcpy(host, before.data(), static_cast<size_t>(x.tokens * rows) * 4);
  if (tile == nullptr) {
    cuda::linear(backend, *x.buffer, x.tokens, m.weight, bias, add, y);
  } else {
    cuda::IntegerGemm gemm(backend, m.weight, x.buffer->read(x.tokens), x.tokens);
    float* to = y.change(x.tokens + 1);
    for (const cuda::Segment& run : m.weight.runs) {
      const float* added = bias == nullptr ? nullptr : bias->read(1) + run.first_row;
      checks.expect(gemm.multiply(run, added, add, to + run.first_row, rows, tile), "a tile is refused");
    }
  }
  host = reinterpret_cast<float*>(y.host());
  for (int64_t i = x.tokens * rows; i < (x.tokens + 1) * rows; i++) {
    checks.expect(host[i] == kUntouched, "a row beyond the last one was written");
  }
  return {host, host + x.tokens * rows};
}

bool same(const std::vector<float>& a, const std::vector<float>& b, size_t count) { return memcmp(a.data(), b.data(), count * 4) == 0; }

// A matrix with tokens, by each tile: close to the formula, the same bits by each and for fewer tokens.
void compare(cuda::Backend& backend, Matrix& m, int64_t tokens, int mode) {
  const int64_t columns = m.weight.columns, rows = m.weight.rows;
  Inputs x(backend, tokens, columns, normals(tokens * columns));
  const std::vector<float> added = normals(rows), before = normals(tokens * rows);
  cuda::Buffer bias(backend.context, 1, rows, false);
  memcpy(bias.host(), added.data(), added.size() * 4);
  cuda::Buffer* with_bias = mode == 1 ? &bias : nullptr;
  const bool add = mode == 2;

  std::vector<double> expected, deviation;
  for (int64_t t = 0; t < tokens; t++) {
    int64_t row = 0;
    for (size_t i = 0; i < m.parts.size(); i++) {
      const Part& part = m.parts[i];
      const auto& order = m.weight.orders[static_cast<size_t>(m.weight.segments[i].order)];
      const std::vector<double> in = rounded(x.values.data() + t * columns, order, columns, backend.fine);
      for (int64_t r = 0; r < part.rows; r++, row++) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < columns; c++) {
          const double product = part.values[static_cast<size_t>(r * columns + c)] * in[static_cast<size_t>(c)];
          sum += product;
          squares += product * product;
        }
        if (mode == 1) sum += added[static_cast<size_t>(row)];
        if (mode == 2) sum += before[static_cast<size_t>(t * rows + row)];
        expected.push_back(sum);
        deviation.push_back(std::sqrt(squares));
      }
    }
  }
  const auto close = [&](const std::vector<float>& actual, size_t count, const char* what) {
    for (size_t i = 0; i < count; i++) {
      const double bound = 2e-5 * (deviation[i] + std::fabs(expected[i]) + 1e-3);
      checks.expect(std::fabs(actual[i] - expected[i]) <= bound,
                    "%s, type %d, %ld x %ld, %ld tokens, fine %d, mode %d: element %zu is %g, expected %g", what, m.parts[0].type->type,
                    static_cast<long>(rows), static_cast<long>(columns), static_cast<long>(tokens), backend.fine, mode, i, actual[i], expected[i]);
    }
  };
  static const char* const names[] = {"narrow", "middle", "wide"};
  std::vector<float> first;
  for (IntegerTile tile : kTiles) {
    const std::vector<float> y = multiply(backend, m, x, with_bias, add, before, &tile);
    close(y, y.size(), names[static_cast<int>(tile)]);
    if (first.empty()) first = y;
    checks.expect(same(first, y, y.size()), "type %d: the bits of a %s tile are others", m.parts[0].type->type,
                  names[static_cast<int>(tile)]);
  }
  // What linear chooses, and for few tokens the other kernels.
  const std::vector<float> chosen = multiply(backend, m, x, with_bias, add, before, nullptr);
  if (tokens > cuda::kFewTokens) {
    checks.expect(same(first, chosen, first.size()), "type %d, %ld tokens: linear takes other kernels", m.parts[0].type->type,
                  static_cast<long>(tokens));
  } else {
    close(chosen, chosen.size(), "few tokens");
  }
  // The bits of the last token alone.
  Inputs last(backend, 1, columns, {x.values.end() - columns, x.values.end()});
  const std::vector<float> before_last(before.end() - rows, before.end());
  const IntegerTile narrow = IntegerTile::kNarrow;
  const std::vector<float> alone = multiply(backend, m, last, with_bias, add, before_last, &narrow);
  checks.expect(memcmp(alone.data(), first.data() + (tokens - 1) * rows, static_cast<size_t>(rows) * 4) == 0,
                "type %d: a token's bits depend on %ld tokens", m.parts[0].type->type, static_cast<long>(tokens));
}

int64_t whole_blocks(const BlockType& type, int64_t columns) { return (columns + type.columns - 1) / type.columns * type.columns; }

// All shapes with one type of each kind of codes in turn: every type meets every count of tokens, rows and columns.
void shapes(bool fine, bool small) {
  cuda::Backend backend(0, fine);
  size_t number = fine ? 3 : 0;
  for (const BlockType& type : block_types()) {
    for (size_t i = 0; i < std::size(kTokens); i++) {
      int64_t tokens = kTokens[i], rows = kRows[number % std::size(kRows)];
      const int64_t columns = whole_blocks(type, kColumns[number % std::size(kColumns)]);
      const int mode = static_cast<int>(number++ % 3);
      if (small && (tokens > 17 || rows > 72 || columns > 256)) continue;
      // The largest of all at once are no other case.
      if (rows * columns * tokens > 3 << 20) rows = 72;
      Matrix m(columns);
      m.add(backend, type, rows, nullptr);
      compare(backend, m, tokens, mode);
    }
    number++;
  }
}

// Parts of different types and orders of columns in one matrix.
void parts(bool fine) {
  cuda::Backend backend(0, fine);
  for (int64_t columns : {256, 1280}) {
    Matrix m(columns);
    ColumnOrder order(static_cast<size_t>(columns));
    std::iota(order.begin(), order.end(), 0);
    for (const BlockType& type : block_types()) {
      std::shuffle(order.begin(), order.end(), seeded);
      m.add(backend, type, 1 + static_cast<int64_t>(seeded() % 20), seeded() % 2 == 0 ? nullptr : order.data());
    }
    for (int mode = 0; mode < 3; mode++) compare(backend, m, 19 + 30 * mode, mode);
  }
}

// A group with a NaN or an infinity makes all products of its token NaN and touches no other; tiny, large and zero values are as anywhere.
void specials(bool fine) {
  cuda::Backend backend(0, fine);
  for (const BlockType& type : block_types()) {
    const int64_t columns = whole_blocks(type, 96), rows = 40, tokens = 21;
    Matrix m(columns);
    m.add(backend, type, rows, nullptr);
    std::vector<float> values = normals(tokens * columns);
    for (int64_t c = 0; c < columns; c++) {
      values[static_cast<size_t>(9 * columns + c)] = 0;
      values[static_cast<size_t>(10 * columns + c)] *= 1e-36f;
      values[static_cast<size_t>(11 * columns + c)] *= 1e30f;
    }
    std::vector<float> odd = values;
    odd[static_cast<size_t>(3 * columns + 40)] = NAN;
    odd[static_cast<size_t>(5 * columns)] = INFINITY;
    odd[static_cast<size_t>(20 * columns + columns - 1)] = -INFINITY;
    Inputs x(backend, tokens, columns, values), with_odd(backend, tokens, columns, odd);
    const std::vector<float> before(static_cast<size_t>(tokens * rows));
    for (IntegerTile tile : kTiles) {
      const std::vector<float> plain = multiply(backend, m, x, nullptr, false, before, &tile);
      const std::vector<float> y = multiply(backend, m, with_odd, nullptr, false, before, &tile);
      for (int64_t t = 0; t < tokens; t++) {
        for (int64_t r = 0; r < rows; r++) {
          const float expected = plain[static_cast<size_t>(t * rows + r)], actual = y[static_cast<size_t>(t * rows + r)];
          const bool finite = std::isfinite(expected) && (expected == 0 || (t != 9 && t != 10));
          checks.expect(finite, "type %d: token %ld gives %g", type.type, static_cast<long>(t), expected);
          const bool is_odd = t == 3 || t == 5 || t == 20;
          checks.expect(is_odd ? std::isnan(actual) : memcmp(&expected, &actual, 4) == 0, "type %d: beside a NaN token %ld gives %g, not %g",
                        type.type, static_cast<long>(t), actual, expected);
        }
      }
    }
  }
}

// Devices whose blocks have less shared memory keep fewer stages, or take narrower tiles; that changes no bit.
void devices() {
  for (const BlockType& type : block_types()) {
    std::vector<float> expected;
    for (int capability : {90, 80, 86, 120}) {
      cuda::emulate_devices(1, capability, int64_t{1} << 30);
      cuda::Backend backend(0, true);
      seeded.seed(77);
      Matrix m(whole_blocks(type, 1120));
      m.add(backend, type, 70, nullptr);
      Inputs x(backend, 33, m.weight.columns, normals(33 * m.weight.columns));
      const std::vector<float> before(33 * 70);
      for (IntegerTile tile : kTiles) {
        const std::vector<float> y = multiply(backend, m, x, nullptr, false, before, &tile);
        if (expected.empty()) expected = y;
        checks.expect(same(expected, y, y.size()), "type %d: other bits on a device of %d", type.type, capability);
      }
    }
  }
}

}  // namespace
}  // namespace qw::test

// Arguments: see check.h.
int main(int count, char** arguments) {
  using namespace qw::test;
  const DeviceTestArguments asked(count, arguments);
  if (asked.seed != 0) seeded.seed(static_cast<uint32_t>(asked.seed));
  const bool small = asked.small, emulated = qw::cuda::emulated_bytes() >= 0;
  for (bool fine : {false, true}) {
    shapes(fine, small);
    if (small) continue;
    parts(fine);
    specials(fine);
  }
  if (emulated) devices();
  checks.expect(!emulated || qw::cuda::emulated_bytes() == 0, "%ld bytes are left", static_cast<long>(qw::cuda::emulated_bytes()));
  return checks.finish("cuda_int8_test");
}
