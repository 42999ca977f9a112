// Attention of the CUDA backend through its C interface, against the formulas in double precision: on an emulated device, or on a card if it is
// linked with the CUDA runtime (benchmarks/gpu/run.sh).
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "cuda_support.h"

namespace qw::test {
namespace {

struct AttentionCase {
  int group, kv_heads, size, page_tokens, chunk;
  std::vector<std::vector<int>> steps;  // tokens of each sequence
};

// All that a sequence has: q as it was given, k and v as they were stored, and its rotations.
struct Sequence {
  std::vector<std::vector<float>> qkv, rotations;
};

void attention(const AttentionCase& c, int type) {
  const int64_t backend = qwc_backend_create(0, false);
  const int heads = c.group * c.kv_heads, size = c.size, half = size / 2, width = (heads + 2 * c.kv_heads) * size;
  const int sections = (c.chunk == 0 ? 1 : 6) + (type == kKvInt8 ? 1 : 0), count = static_cast<int>(c.steps[0].size());
  const int64_t cache = qwc_kv_create(backend, type, 2, Batch::kPages * count, c.page_tokens, c.kv_heads, size);
  const std::vector<float> added = normals(width);
  const Buffer bias(backend, 1, width, added);
  std::vector<Sequence> all(static_cast<size_t>(count));
  const float scale = 1 / std::sqrt(static_cast<float>(size));
  for (const std::vector<int>& step : c.steps) {
    std::vector<int> cached;
    for (const Sequence& s : all) cached.push_back(static_cast<int>(s.qkv.size()));
    const Batch batch(backend, cached, step, c.page_tokens);
    std::vector<float> rows, turns;
    for (size_t s = 0; s < step.size(); s++) {
      for (int i = 0; i < step[s]; i++) {
        std::vector<float> row = normals(width), turn;
        for (int k = heads * size; type == kKvInt8 && k < (heads + c.kv_heads) * size; k++) row[static_cast<size_t>(k)] += added[static_cast<size_t>(k)];
        for (int k = 0; k < sections; k++) {
          for (int e = 0; e < half; e++) turn.push_back(static_cast<float>(std::cos((cached[s] + i + 3 * k) * std::pow(100., -2. * e / size))));
          for (int e = 0; e < half; e++) turn.push_back(static_cast<float>(std::sin((cached[s] + i + 3 * k) * std::pow(100., -2. * e / size))));
        }
        rows.insert(rows.end(), row.begin(), row.end());
        turns.insert(turns.end(), turn.begin(), turn.end());
        all[s].qkv.push_back(row);
        all[s].rotations.push_back(turn);
      }
    }
    const Buffer qkv(backend, batch.tokens, width, rows), rotations(backend, batch.tokens, sections * size, turns);
    const std::vector<float> poison(static_cast<size_t>(batch.tokens * heads * size), NAN);
    const Buffer out(backend, batch.tokens, heads * size, poison), sums(backend, batch.tokens, heads);
    succeeds(qwc_rotate_and_store(backend, qkv.handle, bias.handle, rotations.handle, batch.buffer->handle, heads, c.kv_heads, size, c.chunk, cache, 1),
             "rotate_and_store");
    succeeds(qwc_attention(backend, qkv.handle, rotations.handle, batch.buffer->handle, heads, c.kv_heads, size, scale, c.chunk, cache, 1, 0,
                           out.handle, sums.handle),
             "attention");
    const float* found = out.floats();
    const float* found_sums = sums.floats();
    const auto turned = [&](const std::vector<float>& row, int head, const std::vector<float>& turn, int section) {
      std::vector<double> x(static_cast<size_t>(size));
      for (int e = 0; e < half; e++) {
        const double a = row[static_cast<size_t>(head * size + e)], b = row[static_cast<size_t>(head * size + half + e)];
        const double cos = turn[static_cast<size_t>(section * size + e)], sin = turn[static_cast<size_t>(section * size + half + e)];
        x[static_cast<size_t>(e)] = a * cos - b * sin;
        x[static_cast<size_t>(half + e)] = b * cos + a * sin;
      }
      return x;
    };
    int row = 0;
    for (size_t s = 0; s < step.size(); s++) {
      for (int i = 0; i < step[s]; i++, row++) {
        const int position = cached[s] + i;
        // Rows far back are alike; every seventh, the first and the last are compared.
        if (i % 7 != 0 && i + 1 != step[s]) continue;
        for (int h = 0; h < heads; h++) {
          const int kv_head = heads + h / c.group;
          std::vector<double> scores;
          double largest = -INFINITY, total = 0;
          for (int k = 0; k <= position; k++) {
            const int section = c.chunk == 0 ? 0 : 1 + std::min(2, position / c.chunk - k / c.chunk);
            const auto q = turned(all[s].qkv[static_cast<size_t>(position)], h, all[s].rotations[static_cast<size_t>(position)], section);
            const auto key = turned(all[s].qkv[static_cast<size_t>(k)], kv_head, all[s].rotations[static_cast<size_t>(k)], 0);
            double dot = 0;
            for (size_t e = 0; e < q.size(); e++) dot += q[e] * key[e];
            scores.push_back(dot * scale);
            largest = std::max(largest, scores.back());
          }
          std::vector<double> expected(static_cast<size_t>(size));
          for (int k = 0; k <= position; k++) {
            const double weight = std::exp(scores[static_cast<size_t>(k)] - largest);
            total += weight;
            for (int e = 0; e < size; e++) {
              expected[static_cast<size_t>(e)] += weight * all[s].qkv[static_cast<size_t>(k)][static_cast<size_t>((kv_head + c.kv_heads) * size + e)];
            }
          }
          const double bound = type == kKvF32 ? 1e-5 : type == kKvBF16 ? 3e-2 : type == kKvInt8 ? 6e-2 : 4e-3;
          for (int e = 0; e < size; e++) {
            const double value = expected[static_cast<size_t>(e)] / total, actual = found[(static_cast<long>(row) * heads + h) * size + e];
            checks.expect(std::fabs(actual - value) <= bound, "attention, type %d, group %d of %d, pages of %d, chunk %d, position %d, head %d: %g, expected %g",
                          type, c.group, size, c.page_tokens, c.chunk, position, h, actual, value);
          }
          checks.expect(std::fabs(found_sums[row * heads + h] - largest - std::log(total)) <= bound * 2, "the sum of position %d is %g, expected %g",
                        position, found_sums[row * heads + h], largest + std::log(total));
        }
      }
    }
  }
  qwc_kv_free(cache);
  qwc_backend_free(backend);
}

// What a cache of some sequences holds is known to the last bit: keys and values are what their type holds exactly, and keys are stored
// without a rotation. What a token has depends on its sequence and position alone.
struct Shape {
  int type, group, kv_heads, size, page_tokens, chunk;
  bool fine;

  int heads() const { return group * kv_heads; }
  int width() const { return (heads() + 2 * kv_heads) * size; }
  int sections() const { return (chunk == 0 ? 1 : 6) + (type == kKvInt8 ? 1 : 0); }
  float scale() const { return 1 / std::sqrt(static_cast<float>(size)); }
  std::string name() const {
    return "type " + std::to_string(type) + (fine ? ", fine" : "") + ", group " + std::to_string(group) + " of " + std::to_string(size) + ", pages of " +
           std::to_string(page_tokens) + ", chunk " + std::to_string(chunk);
  }
};

// A slice of a sequence.
struct Slice {
  int sequence, cached, count;
};

struct Found {
  std::vector<float> out, sums;
};

class World {
 public:
  explicit World(const Shape& shape, int sequences = 3) : s_(shape), backend_(qwc_backend_create(0, shape.fine)) {
    cache_ = qwc_kv_create(backend_, s_.type, 1, Batch::kPages * sequences, s_.page_tokens, s_.kv_heads, s_.size);
    std::mt19937 random(3);
    for (int i = 0; i < s_.width(); i++) bias_.push_back(static_cast<float>(static_cast<int>(random() % 1025) - 512) / 64);
  }
  ~World() {
    qwc_kv_free(cache_);
    qwc_backend_free(backend_);
  }

  // q, k and v of a token.
  const std::vector<float>& row(int sequence, int position) const {
    std::vector<float>& made = rows_[{sequence, position}];
    if (made.empty()) made = make_row(sequence, position);
    return made;
  }
  std::vector<float> make_row(int sequence, int position) const {
    std::mt19937 random(static_cast<uint32_t>(1 + 1000003 * sequence + position));
    std::normal_distribution<float> distribution;
    std::vector<float> x(static_cast<size_t>(s_.width()));
    for (float& v : x) v = distribution(random);
    const int size = s_.size, keys = s_.heads() * size;
    // Some queries prefer some keys.
    if (position % 3 == 0) std::for_each(x.begin(), x.begin() + keys, [](float& v) { v *= 4; });
    for (int h = s_.heads(); h < s_.heads() + 2 * s_.kv_heads; h++) {
      float* head = x.data() + h * size;
      if (s_.type == kKvInt8) {
        // Multiples of 1 / 64 whose largest is 127 / 64: scales are 1 / 64. Some rows are zero.
        const bool zero = random() % 8 == 0;
        for (int e = 0; e < size; e++) head[e] = zero ? 0 : static_cast<float>(static_cast<int>(random() % 255) - 127) / 64;
        if (!zero) head[random() % static_cast<uint32_t>(size)] = 127.f / 64;
        for (int e = 0; h < s_.heads() + s_.kv_heads && e < size; e++) head[e] += bias_[static_cast<size_t>(h * size + e)];
      } else if (s_.type != kKvF32) {
        // Seven bits behind the first.
        for (int e = 0; e < size; e++) {
          uint32_t bits;
          memcpy(&bits, head + e, 4);
          bits &= 0xffff0000;
          memcpy(head + e, &bits, 4);
        }
      }
      const auto bad = bad_.find({sequence, position});
      if (bad != bad_.end() && h / s_.kv_heads * s_.kv_heads == s_.heads() + (bad->second.values ? s_.kv_heads : 0)) {
        head[size / 2 + 1] = bad->second.value;
      }
    }
    return x;
  }

  // Keys and centres are not rotated, queries of a chunk are by angles of each section.
  std::vector<float> rotation(int position) const {
    std::vector<float> turns;
    for (int section = 0; section < s_.sections(); section++) {
      const bool turned = s_.chunk != 0 && section > 0 && section < 6;
      for (int sine = 0; sine < 2; sine++) {
        for (int e = 0; e < s_.size / 2; e++) {
          const double angle = turned ? (position % 50 + 7 * section) * std::pow(100., -2. * e / s_.size) : 0;
          turns.push_back(static_cast<float>(sine == 0 ? std::cos(angle) : std::sin(angle)));
        }
      }
    }
    return turns;
  }

  // From the token on, keys or values have an element that is not finite.
  void spoil(int sequence, int position, bool values, float value) {
    bad_[{sequence, position}] = {values, value};
    rows_.erase({sequence, position});
  }

  void store(const Slice& slice) const {
    const Step step(*this, {slice});
    succeeds(qwc_rotate_and_store(backend_, step.qkv.handle, bias_buffer().handle, step.rotations.handle, step.batch.buffer->handle, s_.heads(),
                                  s_.kv_heads, s_.size, s_.chunk, cache_, 0),
             "rotate_and_store");
  }

  Found attend(const std::vector<Slice>& slices) const {
    const Step step(*this, slices);
    const int64_t tokens = step.batch.tokens, width = s_.heads() * s_.size;
    const Buffer out(backend_, tokens, width, std::vector<float>(static_cast<size_t>(tokens * width), 12345.f)), sums(backend_, tokens, s_.heads());
    succeeds(qwc_attention(backend_, step.qkv.handle, step.rotations.handle, step.batch.buffer->handle, s_.heads(), s_.kv_heads, s_.size, s_.scale(),
                           s_.chunk, cache_, 0, 0, out.handle, sums.handle),
             "attention");
    const float* floats = out.floats();
    Found found{{floats, floats + tokens * width}, {}};
    floats = sums.floats();
    found.sums.assign(floats, floats + tokens * s_.heads());
    return found;
  }

  // Of a token's head; its log-sum-exp comes last.
  std::vector<double> expected(int sequence, int position, int head) const {
    const int size = s_.size, half = size / 2, kv_head = s_.heads() + head / s_.group;
    const std::vector<float> &own = row(sequence, position), turns = rotation(position);
    std::vector<double> scores, result(static_cast<size_t>(size) + 1);
    double largest = -INFINITY, total = 0;
    for (int k = 0; k <= position; k++) {
      const std::vector<float>& key = row(sequence, k);
      const int section = s_.chunk == 0 ? 0 : 1 + std::min(2, position / s_.chunk - k / s_.chunk);
      double dot = 0;
      for (int e = 0; e < size; e++) {
        const double x = own[static_cast<size_t>(head * size + e)], y = own[static_cast<size_t>(head * size + (e + half) % size)];
        const double cos = turns[static_cast<size_t>(section * size + e % half)], sin = turns[static_cast<size_t>(section * size + half + e % half)];
        dot += (e < half ? x * cos - y * sin : x * cos + y * sin) * key[static_cast<size_t>(kv_head * size + e)];
      }
      scores.push_back(dot * s_.scale());
      largest = std::max(largest, scores.back());
    }
    for (int k = 0; k <= position; k++) {
      const double weight = std::exp(scores[static_cast<size_t>(k)] - largest);
      total += weight;
      for (int e = 0; e < size; e++) {
        result[static_cast<size_t>(e)] += weight * row(sequence, k)[static_cast<size_t>((kv_head + s_.kv_heads) * size + e)];
      }
    }
    for (int e = 0; e < size; e++) result[static_cast<size_t>(e)] /= total;
    result.back() = largest + std::log(total);
    return result;
  }

  // Row `index` of what was found is that of the token, within what the type of the products allows.
  void compare(const Found& found, int index, int sequence, int position) const {
    // Queries and weights have 24 bits, 22, 16, 11 or 8; scores of some ten are e^10 times as wrong as their last bit.
    const double fine = s_.type <= kKvF16 ? 2e-5 : 4e-5;
    const double bound = s_.fine || s_.type == kKvF32 ? fine : s_.type == kKvF16 ? 4e-3 : 3e-2;
    for (int head = 0; head < s_.heads(); head++) {
      const std::vector<double> wanted = expected(sequence, position, head);
      for (int e = 0; e <= s_.size; e++) {
        const size_t at = static_cast<size_t>(index * s_.heads() + head);
        const float actual = e < s_.size ? found.out[at * static_cast<size_t>(s_.size) + static_cast<size_t>(e)] : found.sums[at];
        const double value = wanted[static_cast<size_t>(e)], error = std::fabs(actual - value);
        worst = std::max(worst, error / bound);
        checks.expect(error <= bound * std::max(1., std::fabs(value)), "%s, position %d, head %d, element %d: %g, expected %g", s_.name().c_str(),
                      position, head, e, actual, value);
      }
    }
  }

  // The bits of a token are the same.
  void same(const Found& a, int index, const Found& b, int other, const char* what) const {
    const size_t width = static_cast<size_t>(s_.heads() * s_.size), heads = static_cast<size_t>(s_.heads());
    checks.expect(memcmp(a.out.data() + static_cast<size_t>(index) * width, b.out.data() + static_cast<size_t>(other) * width, width * 4) == 0 &&
                      memcmp(a.sums.data() + static_cast<size_t>(index) * heads, b.sums.data() + static_cast<size_t>(other) * heads, heads * 4) == 0,
                  "%s: the bits of a token depend on %s", s_.name().c_str(), what);
  }

  bool finite(const Found& found, int index) const {
    const size_t width = static_cast<size_t>(s_.heads() * s_.size);
    return std::all_of(found.out.begin() + static_cast<long>(static_cast<size_t>(index) * width),
                       found.out.begin() + static_cast<long>((static_cast<size_t>(index) + 1) * width), [](float v) { return std::isfinite(v); });
  }

  static double worst;  // error of the bound

 private:
  struct Bad {
    bool values;
    float value;
  };
  struct Step {
    Step(const World& w, const std::vector<Slice>& slices)
        : batch(make(w, slices)), qkv(w.backend_, batch.tokens, w.s_.width()), rotations(w.backend_, batch.tokens, w.s_.sections() * w.s_.size) {
      float* to = qkv.floats();
      float* turns = rotations.floats();
      for (const Slice& slice : slices) {
        for (int i = 0; i < slice.count; i++) {
          const std::vector<float> &x = w.row(slice.sequence, slice.cached + i), angles = w.rotation(slice.cached + i);
          to = std::copy(x.begin(), x.end(), to);
          turns = std::copy(angles.begin(), angles.end(), turns);
        }
      }
    }
    static Batch make(const World& w, const std::vector<Slice>& slices) {
      std::vector<int> cached, counts, sequences;
      for (const Slice& slice : slices) {
        cached.push_back(slice.cached);
        counts.push_back(slice.count);
        sequences.push_back(slice.sequence);
      }
      return Batch(w.backend_, cached, counts, w.s_.page_tokens, sequences);
    }
    Batch batch;
    Buffer qkv, rotations;
  };
  const Buffer& bias_buffer() const {
    if (bias_buffer_ == nullptr) bias_buffer_ = std::make_unique<Buffer>(backend_, 1, s_.width(), bias_);
    return *bias_buffer_;
  }

  const Shape s_;
  const int64_t backend_;
  int64_t cache_;
  std::vector<float> bias_;
  mutable std::unique_ptr<Buffer> bias_buffer_;
  std::map<std::pair<int, int>, Bad> bad_;
  mutable std::map<std::pair<int, int>, std::vector<float>> rows_;
};
double World::worst = 0;

// One token behind a context, and a slice that ends with it; and what stands in slots that nobody sees is no number.
void contexts(const Shape& shape, int context) {
  World world(shape);
  for (int i = 0; i < 70; i++) world.spoil(0, context + i, i % 2 == 0, NAN);
  world.store({0, 0, context});
  world.store({0, context, 70});
  const Found decoded = world.attend({{0, context - 1, 1}});
  world.compare(decoded, 0, 0, context - 1);
  const int count = std::min(context, 16 / shape.group + 23);
  const Found sliced = world.attend({{0, context - count, count}});
  for (int i : {0, count / 2}) world.compare(sliced, i, 0, context - count + i);
  world.same(decoded, 0, sliced, count - 1, "the slice");
}

// Beside others, short and long, and in slices of several lengths.
void beside_others(const Shape& shape) {
  World world(shape);
  const int lengths[] = {300, 70, 530};
  for (int s = 0; s < 3; s++) world.store({s, 0, lengths[s]});
  const Found together = world.attend({{1, 68, 2}, {2, 400, 130}, {0, 299, 1}});
  world.same(together, 132, world.attend({{0, 299, 1}}), 0, "other sequences");
  world.same(together, 1, world.attend({{1, 0, 70}}), 69, "the slice");
  world.same(together, 131, world.attend({{2, 529, 1}, {0, 200, 100}}), 0, "the slice and other sequences");
  const Found whole = world.attend({{2, 0, 530}});
  for (int i : {0, 63, 129}) {
    world.same(together, 2 + i, whole, 400 + i, "tokens before it");
    world.compare(whole, 400 + i, 2, 400 + i);
  }
}

// What is not finite shows from the token on that has it, and not before.
void not_finite(const Shape& shape) {
  for (float value : {NAN, INFINITY}) {
    for (bool values : {false, true}) {
      World world(shape, 1);
      world.spoil(0, 45, values, value);
      world.store({0, 0, 90});
      const Found found = world.attend({{0, 0, 90}});
      for (int i : {0, 20, 44}) world.compare(found, i, 0, i);
      // A key of infinity may have the score -infinity, and weigh nothing.
      const bool shows = values || !(value == INFINITY);
      for (int i = 0; i < 90; i++) {
        if (i < 45 || shows) checks.expect(world.finite(found, i) == (i < 45), "%s: %g in position 45 and position %d", shape.name().c_str(), value, i);
      }
      const Found decoded = world.attend({{0, 44, 1}}), behind = world.attend({{0, 45, 1}});
      world.same(found, 44, decoded, 0, "what it does not see");
      if (shows) checks.expect(!world.finite(behind, 0), "%s: %g is lost", shape.name().c_str(), value);
    }
  }
}

}  // namespace
}  // namespace qw::test

// Arguments: see check.h.
int main(int count, char** arguments) {
  using namespace qw::test;
  const bool small = DeviceTestArguments(count, arguments).small;
  const AttentionCase cases[] = {
      {1, 1, 16, 16, 0, {{1}, {1}, {61}, {1}, {1}, {1}}},     {5, 2, 48, 16, 0, {{7, 0, 30}, {1, 20, 1}, {1, 1, 40}}},
      {6, 2, 64, 32, 0, {{33, 3}, {1, 70}, {1, 1}}},          {7, 2, 64, 64, 0, {{65, 1}, {1, 1}, {20, 1}}},
      {8, 1, 128, 5, 0, {{40, 8}, {1, 1}, {3, 9}}},           {2, 3, 80, 20, 0, {{25, 60}, {1, 1}, {8, 0}}},
      {20, 1, 256, 16, 0, {{5, 20}, {1, 1}}},                 {2, 1, 16, 16, 0, {{700}, {1}, {9}}},
      {7, 1, 32, 32, 24, {{150, 3}, {1, 22}, {1, 1}}},        {5, 1, 48, 5, 3, {{40}, {1}, {1}, {7}}},
      {2, 1, 128, 16, 100, {{350}, {1}}},                     {1, 1, 256, 16, 7, {{129}, {1}}},
  };
  for (const AttentionCase& c : cases) {
    if (small && c.steps[0][0] > 100) continue;
    for (int type = 0; type < kKvTypes; type++) attention(c, type);
  }
  const int sizes[] = {16, 48, 64, 80, 96, 128, 256}, groups[] = {1, 5, 6, 7, 8}, lengths[] = {1, 15, 63, 64, 65, 257, 700}, pages[] = {5, 16, 32, 64};
  const int chunks[] = {0, 24, 0, 100, 0, 300};
  // Each type with each size and group; the rest of a shape changes from one to the next, so that each meets each.
  int turn = 0;
  for (int type = 0; type < kKvTypes; type++) {
    for (int size : sizes) {
      for (int group : groups) {
        for (int k = 0; k < 2; k++, turn++) {
          const int length = lengths[(turn + turn / 7) % 7];
          if (small && (length > 65 || size > 64)) continue;
          contexts({type, group, 1 + turn % 2, size, pages[turn / 3 % 4], chunks[turn / 5 % 6], k == 0}, length);
        }
      }
    }
  }
  for (int type = 0; type < kKvTypes; type++) {
    for (bool fine : {false, true}) {
      const int size = fine ? 128 : 64;
      not_finite({type, 7, 1, small ? 16 : size, 16, fine ? 0 : 30, fine});
      if (small) continue;
      beside_others({type, 7, 1, size, 32, 0, fine});
      beside_others({type, 3, 2, size, 16, 110, fine});
    }
  }
  const bool emulated = qwc_emulated_bytes() >= 0;
  checks.expect(qwc_live_objects() == 0 && qwc_live_mappings() == 0 && qwc_emulated_bytes() == (emulated ? 0 : -1), "%ld objects, %ld mappings, %ld bytes are left",
                static_cast<long>(qwc_live_objects()), static_cast<long>(qwc_live_mappings()), static_cast<long>(qwc_emulated_bytes()));
  printf("largest error: %.3f of what is allowed\n", World::worst);
  return checks.finish("cuda_attention_test");
}
