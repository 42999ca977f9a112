// Every quantized type on every target of this machine against the plain definition.
// usage: quant_test [GOLDEN_SAFETENSORS [SEED]]

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "check.h"
#include "quant_reference.h"
#include "quant_targets.h"

namespace qw::test {
namespace {

Checks checks;

// Memory of an exact size at an address that is `skew` beyond a multiple of 64: the sanitizer sees every byte too many.
template <class T>
class Memory {
 public:
  explicit Memory(size_t count, size_t skew = 0)
      : raw_(static_cast<char*>(malloc(count * sizeof(T) + 64 + skew))), count_(count) {
    const size_t address = reinterpret_cast<size_t>(raw_.get());
    data_ = reinterpret_cast<T*>(raw_.get() + (64 - address % 64) % 64 + skew);
    end_ = raw_.get() + count * sizeof(T) + 64 + skew;
    memset(raw_.get(), 0x5a, count * sizeof(T) + 64 + skew);
  }
  T* get() { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  size_t size() const { return count_; }
  // The bytes behind the data still hold their mark.
  bool intact() const {
    for (const char* p = reinterpret_cast<const char*>(data_ + count_); p < end_; p++) {
      if (*p != 0x5a) return false;
    }
    return true;
  }

 private:
  struct Free {
    void operator()(char* p) const { free(p); }
  };
  std::unique_ptr<char, Free> raw_;
  T* data_;
  char* end_;
  size_t count_;
};

struct Quantized {
  Memory<int8_t> q;
  Memory<float> scale;
  Memory<int16_t> sum16;
  Quantized(int64_t tokens, int64_t columns) : q(tokens * columns), scale(tokens * columns / 32), sum16(tokens * columns / 16) {}
  Q8Rows rows() { return {q.get(), scale.get(), sum16.get()}; }
};

void test_quantize(const Target& target, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int columns : {32, 96, 256, 896}) {
    const int tokens = 3;
    Memory<float> x(static_cast<size_t>(tokens) * columns, 4);
    for (size_t i = 0; i < x.size(); i++) x[i] = normal(random) * std::pow(10.0f, static_cast<float>(random() % 9) - 4.0f);
    for (int c = 0; c < 32; c++) x[c] = 0.0f;                                     // zero group
    if (columns > 64) {
      for (int c = 32; c < 64; c++) x[c] = 1e-38f * static_cast<float>(c - 48);   // too small for 127 / magnitude
      x[64] = 127.0f;                                                             // exact steps of one, ties among them
      for (int c = 65; c < 96; c++) x[c] = static_cast<float>(c - 80) + 0.5f;
    }
    Quantized out(tokens, columns);
    target.quantize(x.get(), tokens, columns, out.rows());
    for (int64_t g = 0; g < tokens * columns / 32; g++) {
      float largest = 0;
      for (int c = 0; c < 32; c++) largest = std::max(largest, std::fabs(x[32 * g + c]));
      if (largest < 1e-35f) {
        checks.expect(out.scale[g] == 0.0f && out.q[32 * g + 5] == 0, "%s: group of zeros", target.name);
        continue;
      }
      checks.expect(out.scale[g] == largest / 127.0f, "%s: scale %g of largest %g (seed %u)", target.name, out.scale[g], largest, seed);
      int sums[2] = {0, 0};
      for (int c = 0; c < 32; c++) {
        const int want = static_cast<int>(std::nearbyint(x[32 * g + c] * (127.0f / largest)));
        checks.expect(out.q[32 * g + c] == want, "%s: q %d, expected %d of %g (seed %u)", target.name, out.q[32 * g + c], want,
                      x[32 * g + c], seed);
        sums[c / 16] += out.q[32 * g + c];
      }
      checks.expect(out.sum16[2 * g] == sums[0] && out.sum16[2 * g + 1] == sums[1], "%s: sums", target.name);
    }
    checks.expect(out.q.intact() && out.scale.intact() && out.sum16.intact(), "%s: wrote beyond the rows", target.name);
  }
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    for (int at = 0; at < 32; at++) {
      Memory<float> x(64);
      for (int c = 0; c < 64; c++) x[c] = static_cast<float>(c);
      x[at] = bad;
      Quantized out(1, 64);
      target.quantize(x.get(), 1, 64, out.rows());
      checks.expect(std::isnan(out.scale[0]) && out.q[at] == 0 && out.scale[1] == 63.0f / 127.0f, "%s: %g at %d", target.name, bad, at);
    }
  }
}

struct Case {
  const Target& target;
  const BlockType& block;
  const WeightFormat& format;
  int64_t rows, columns;
  Fill fill;
  uint32_t seed;
  std::string text() const {
    return std::string(target.name) + " " + block.name + " " + std::to_string(rows) + " x " + std::to_string(columns) + " fill " +
           std::to_string(static_cast<int>(fill)) + " seed " + std::to_string(seed);
  }
};

bool same_bits(float a, float b) { return memcmp(&a, &b, sizeof a) == 0; }

// Packs, reads back, and multiplies with 33 tokens; then again with fewer tokens and by panel ranges: bit for bit the same.
void test_case(const Case& c) {
  std::mt19937 random(c.seed);
  const int64_t row_bytes = c.columns / c.block.columns * c.block.bytes, panels = (c.rows + 15) / 16;
  const int64_t panel_bytes = c.format.panel_bytes(c.columns);
  checks.expect(panel_bytes % 64 == 0, "%s: panel of %ld bytes", c.text().c_str(), static_cast<long>(panel_bytes));
  if (c.columns >= 256) {
    checks.expect(static_cast<double>(panel_bytes) <= 1.06 * 16.0 * static_cast<double>(row_bytes), "%s: packed size", c.text().c_str());
  }
  Memory<uint8_t> file(static_cast<size_t>(c.rows * row_bytes), c.seed % 7);
  for (int64_t b = 0; b < c.rows * row_bytes; b += c.block.bytes) fill_block(c.block, c.fill, random, file.get() + b);
  std::vector<float> weights(static_cast<size_t>(c.rows * c.columns));
  for (int64_t i = 0; i < c.rows * c.columns; i++) {
    weights[i] = element(c.block.type, file.get() + i / c.block.columns * c.block.bytes, static_cast<int>(i % c.block.columns));
  }

  Memory<uint8_t> packed(static_cast<size_t>(panels * panel_bytes));
  for (int64_t p = 0; p < panels; p++) {
    c.format.pack(file.get() + 16 * p * row_bytes, std::min<int64_t>(16, c.rows - 16 * p), c.columns, packed.get() + p * panel_bytes);
  }
  checks.expect(packed.intact(), "%s: packed beyond the panel", c.text().c_str());
  for (int64_t r = 0; r < 16 * panels; r++) {
    Memory<float> row(static_cast<size_t>(c.columns), 4);
    c.format.decode_row(packed.get() + r / 16 * panel_bytes, c.columns, r % 16, row.get());
    bool same = row.intact();
    for (int64_t i = 0; i < c.columns; i++) same &= r < c.rows ? same_bits(row[i], weights[r * c.columns + i]) : row[i] == 0.0f;
    checks.expect(same, "%s: row %ld read back", c.text().c_str(), static_cast<long>(r));
  }

  constexpr int64_t kTokens = 33;
  std::normal_distribution<float> normal;
  Memory<float> x(static_cast<size_t>(kTokens * c.columns));
  for (size_t i = 0; i < x.size(); i++) x[i] = normal(random);
  for (int64_t i = 0; i < c.columns; i++) {
    x[c.columns + i] = i % 2 ? -1.0f : 1.0f;   // token 1: largest magnitudes everywhere, both signs
    x[2 * c.columns + i] = 1.0f;
    x[3 * c.columns + i] = -1.0f;
    x[4 * c.columns + i] = 0.0f;
  }
  Quantized q8(kTokens, c.columns);
  c.target.quantize(x.get(), kTokens, c.columns, q8.rows());
  const int64_t stride = c.rows + 3;
  std::vector<float> bias(static_cast<size_t>(c.rows));
  for (float& b : bias) b = normal(random);

  Memory<float> y(static_cast<size_t>(kTokens * stride), 4);
  MultiplyArgs args{packed.get(), c.rows, c.columns, 0, panels, kTokens, nullptr, q8.rows(), nullptr, y.get(), stride, false};
  c.format.multiply(args);
  for (int64_t t = 0; t < kTokens; t++) {
    double float_error = 0, float_size = 0;  // squares; the size without luck in signs, as a result may come near zero
    for (int64_t r = 0; r < c.rows; r++) {
      double exact = 0, size = 0, plain = 0;
      for (int64_t i = 0; i < c.columns; i++) {
        const double w = weights[r * c.columns + i];
        const double v = w * (static_cast<double>(q8.scale[(t * c.columns + i) / 32]) * q8.q[t * c.columns + i]);
        exact += v;
        size += std::fabs(v);
        plain += w * x[t * c.columns + i];
        float_size += w * x[t * c.columns + i] * (w * x[t * c.columns + i]);
      }
      const double got = y[t * stride + r];
      // Types with a minimum subtract two sums that may cancel: the bound is on the sum of magnitudes.
      checks.expect(std::fabs(got - exact) <= 1e-5 * size + 1e-30, "%s: y[%ld, %ld] = %g, expected %g of size %g", c.text().c_str(),
                    static_cast<long>(t), static_cast<long>(r), got, exact, size);
      float_error += (got - plain) * (got - plain);
    }
    if (t >= 5 && c.columns >= 256 && c.rows >= 7 && c.fill == Fill::kRandom) {
      checks.expect(float_error <= 0.02 * 0.02 * float_size + 1e-30, "%s: token %ld is %g of its size off the float product",
                    c.text().c_str(), static_cast<long>(t), std::sqrt(float_error / float_size));
    }
    uint32_t mark;
    memcpy(&mark, &y[t * stride + c.rows], 4);
    checks.expect(mark == 0x5a5a5a5a, "%s: wrote beyond the last row", c.text().c_str());
  }

  for (int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 32}) {
    for (int64_t first : {int64_t{0}, kTokens - tokens}) {
      Memory<float> part(static_cast<size_t>(tokens * stride));
      MultiplyArgs a = args;
      a.tokens = tokens;
      a.q8 = {q8.q.get() + first * c.columns, q8.scale.get() + first * c.columns / 32, q8.sum16.get() + first * c.columns / 16};
      a.y = part.get();
      for (int64_t p = 0; p < panels; p += 2) {
        a.panel_begin = p;
        a.panel_end = std::min(panels, p + 2);
        if (first != 0 || panels < 2) a.panel_end = a.panel_begin + 1;
        c.format.multiply(a);
        if (a.panel_end == p + 1 && p + 1 < panels) {
          a.panel_begin = p + 1;
          a.panel_end = p + 2;
          c.format.multiply(a);
        }
      }
      bool same = part.intact();
      for (int64_t t = 0; t < tokens; t++) {
        for (int64_t r = 0; r < c.rows; r++) same &= same_bits(part[t * stride + r], y[(first + t) * stride + r]);
      }
      checks.expect(same, "%s: %ld tokens from %ld differ", c.text().c_str(), static_cast<long>(tokens), static_cast<long>(first));
    }
  }

  for (int64_t tokens : {2, 33}) {
    Memory<float> biased(static_cast<size_t>(tokens * stride)), added(static_cast<size_t>(tokens * stride));
    for (size_t i = 0; i < added.size(); i++) added[i] = static_cast<float>(i % 11);
    MultiplyArgs a = args;
    a.tokens = tokens;
    a.bias = bias.data();
    a.y = biased.get();
    c.format.multiply(a);
    a.add = true;  // wins over the bias
    a.y = added.get();
    c.format.multiply(a);
    bool same = true;
    for (int64_t t = 0; t < tokens; t++) {
      for (int64_t r = 0; r < c.rows; r++) {
        const int64_t i = t * stride + r;
        same &= same_bits(biased[i], bias[r] + y[i]) && same_bits(added[i], static_cast<float>(i % 11) + y[i]);
      }
    }
    checks.expect(same, "%s: bias or sum, %ld tokens", c.text().c_str(), static_cast<long>(tokens));
  }
}

// A NaN in one token stays in this token.
void test_nan(const Target& target, const BlockType& block, const WeightFormat& format, uint32_t seed) {
  std::mt19937 random(seed);
  const int64_t columns = 256, row_bytes = columns / block.columns * block.bytes;
  std::vector<uint8_t> file(static_cast<size_t>(16 * row_bytes));
  for (int64_t b = 0; b < 16 * row_bytes; b += block.bytes) fill_block(block, Fill::kRandom, random, file.data() + b);
  Memory<uint8_t> packed(static_cast<size_t>(format.panel_bytes(columns)));
  format.pack(file.data(), 16, columns, packed.get());
  for (int64_t tokens : {2, 20}) {
    Memory<float> x(static_cast<size_t>(tokens * columns)), y(static_cast<size_t>(tokens * 16));
    for (size_t i = 0; i < x.size(); i++) x[i] = 1.0f;
    x[columns + 77] = NAN;
    Quantized q8(tokens, columns);
    target.quantize(x.get(), tokens, columns, q8.rows());
    format.multiply({packed.get(), 16, columns, 0, 1, tokens, nullptr, q8.rows(), nullptr, y.get(), 16, false});
    for (int64_t i = 0; i < 16 * tokens; i++) {
      checks.expect(std::isnan(y[i]) == (i / 16 == 1), "%s %s: NaN of token 1 at token %ld", target.name, block.name,
                    static_cast<long>(i / 16));
    }
  }
}

// NAME.blocks U8 [6, bytes of 512 columns] and NAME.values F32 [6, 512] of a safetensors file.
const uint8_t* tensor(const std::string& file, const std::string& name) {
  uint64_t header = 0;
  memcpy(&header, file.data(), 8);
  const size_t entry = file.find("\"" + name + "\""), offsets = file.find("\"data_offsets\":", entry);
  if (entry == std::string::npos || offsets == std::string::npos) return nullptr;
  const size_t begin = strtoull(file.c_str() + file.find('[', offsets) + 1, nullptr, 10);
  return reinterpret_cast<const uint8_t*>(file.data()) + 8 + header + begin;
}

void test_golden(const Target& target, const std::string& file) {
  for (const BlockType& block : block_types()) {
    if (block.type >= kINT4_G32) continue;  // blocks of our own, which no other program writes
    const WeightFormat& format = *target.format(block.type);
    const uint8_t* blocks = tensor(file, std::string(block.name) + ".blocks");
    const uint8_t* values = tensor(file, std::string(block.name) + ".values");
    if (!checks.expect(blocks && values, "golden file has no %s", block.name)) continue;
    Memory<uint8_t> packed(static_cast<size_t>(format.panel_bytes(512)));
    format.pack(blocks, 6, 512, packed.get());
    for (int row = 0; row < 6; row++) {
      float got[512], want[512];
      format.decode_row(packed.get(), 512, row, got);
      memcpy(want, values + row * sizeof want, sizeof want);
      for (int i = 0; i < 512; i++) {
        checks.expect(same_bits(got[i], want[i]), "%s %s golden [%d, %d]: %.9g, expected %.9g", target.name, block.name, row, i,
                      got[i], want[i]);
      }
    }
  }
}

int run(int argc, char** argv) {
  std::string golden;
  if (argc > 1) {
    std::ifstream in(argv[1], std::ios::binary);
    golden.assign(std::istreambuf_iterator<char>(in), {});
    if (golden.size() < 8) {
      fprintf(stderr, "cannot read %s\n", argv[1]);
      return 1;
    }
  }
  const uint32_t seed = argc > 2 ? static_cast<uint32_t>(strtoul(argv[2], nullptr, 10)) : 1;
  for (const Target& target : quant_targets()) {
    if (!target.supported) {
      printf("%s: skipped, this processor cannot run it\n", target.name);
      continue;
    }
    checks.expect(!target.format(kF32) && !target.format(kF16) && !target.format(kBF16), "%s: float types are not quantized", target.name);
    test_quantize(target, seed);
    for (const BlockType& block : block_types()) {
      const WeightFormat* format = target.format(block.type);
      if (!checks.expect(format && format->integer, "%s has no %s", target.name, block.name)) continue;
      uint32_t number = 0;
      for (int64_t columns : {32, 96, 256, 512, 896, 2304}) {
        if (columns % block.columns != 0) continue;
        for (int64_t rows : {1, 7, 16, 17, 33}) {
          for (Fill fill : kFills) {
            if (columns > 512 && fill != Fill::kRandom) continue;
            test_case({target, block, *format, rows, columns, fill, seed * 1000 + number++});
          }
        }
      }
      test_nan(target, block, *format, seed);
    }
    if (!golden.empty()) test_golden(target, golden);
    printf("%s: run\n", target.name);
  }
  return checks.finish("quant_test");
}

}  // namespace
}  // namespace qw::test

int main(int argc, char** argv) { return qw::test::run(argc, argv); }
