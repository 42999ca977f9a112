// What the tests of the CUDA backend share: its objects, and batches.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "api/qwen4j_cuda.h"
#include "check.h"
#include "common/status.h"

namespace qw::test {

constexpr int kKvF32 = 0, kKvF16 = 1, kKvBF16 = 2, kKvInt8 = 3, kKvTypes = 4;

inline Checks checks;
inline std::mt19937 seeded(20);

inline float normal() {
  static std::normal_distribution<float> distribution;
  return distribution(seeded);
}

inline std::vector<float> normals(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal();
  return values;
}

inline float* look(int64_t buffer) {
  checks.expect(qwc_buffer_look(buffer) == kOk, "a buffer cannot be looked at");
  return reinterpret_cast<float*>(qwc_buffer_view(buffer).data);
}

inline std::string last_error() {
  int8_t text[256];
  return std::string(reinterpret_cast<char*>(text), static_cast<size_t>(qwc_last_error(text, sizeof text)));
}

inline bool succeeds(int32_t status, const char* what) {
  return checks.expect(status == kOk, "%s fails: %s", what, status == kOk ? "" : last_error().c_str());
}

struct Buffer {
  Buffer(int64_t backend, int64_t rows, int64_t columns, bool ints = false) : handle(qwc_buffer_create(backend, rows, columns, ints)) {
    checks.expect(handle > 0, "no buffer: %s", last_error().c_str());
  }
  Buffer(int64_t backend, int64_t rows, int64_t columns, const std::vector<float>& values) : Buffer(backend, rows, columns) {
    memcpy(look(handle), values.data(), std::min(values.size(), static_cast<size_t>(rows * columns)) * 4);
  }
  ~Buffer() {
    qwc_buffer_discard(handle);
    qwc_buffer_free(handle);
  }
  int32_t* ints() const { return reinterpret_cast<int32_t*>(look(handle)); }
  float* floats() const { return look(handle); }
  int64_t handle;
};

// A batch of slices; pages of a sequence descend. Without `of` the sequences are 0, 1, ...
struct Batch {
  Batch(int64_t backend, const std::vector<int>& cached, const std::vector<int>& counts, int page_tokens, const std::vector<int>& of = {})
      : tokens(0), sequences(static_cast<int>(counts.size())) {
    int stride = 0;
    for (size_t b = 0; b < counts.size(); b++) {
      tokens += counts[b];
      stride = std::max(stride, (cached[b] + counts[b] + page_tokens - 1) / page_tokens);
    }
    buffer = new Buffer(backend, 1, 16 + 4 * tokens + 2 * sequences + 1 + sequences * stride, true);
    int32_t* b = buffer->ints();
    const int32_t ids = 16, positions = ids + tokens, slots = positions + tokens, starts = slots + tokens, lengths = starts + sequences + 1;
    const int32_t pages = lengths + sequences, outputs = pages + sequences * stride;
    const int32_t header[] = {tokens, sequences, 0, stride, ids, positions, slots, starts, lengths, pages, outputs};
    memcpy(b, header, sizeof header);
    int32_t row = 0;
    for (int32_t s = 0; s < sequences; s++) {
      const int32_t sequence = of.empty() ? s : of[static_cast<size_t>(s)];
      b[starts + s] = row;
      b[lengths + s] = cached[static_cast<size_t>(s)];
      for (int32_t i = 0; i < stride; i++) b[pages + s * stride + i] = (sequence + 1) * kPages - 1 - i;
      for (int32_t i = 0; i < counts[static_cast<size_t>(s)]; i++, row++) {
        const int32_t position = cached[static_cast<size_t>(s)] + i;
        b[positions + row] = position;
        b[slots + row] = b[pages + s * stride + position / page_tokens] * page_tokens + position % page_tokens;
      }
    }
    b[starts + sequences] = row;
  }
  ~Batch() { delete buffer; }
  static constexpr int kPages = 160;
  int32_t tokens;
  int32_t sequences;
  Buffer* buffer;
};

}  // namespace qw::test
