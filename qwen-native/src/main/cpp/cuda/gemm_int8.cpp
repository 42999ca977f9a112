#include "cuda/gemm_int8.h"

#include "cuda/integers.h"
#include "cuda/quantize.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTokens = kThreads / kLanes;
constexpr int kGroups = 4;
constexpr int64_t kMostTokens = 1 << 20;
constexpr int kOnlyNarrowMajor = 12;  // see kOnlyNarrow

// A warp rounds four groups of a token, four columns a lane; a block those of eight tokens, whose numbers lie side by side.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) round_slots(const float* x, const int32_t* order, int64_t groups, IntegerSlots out) {
  const int64_t quads = (groups + kGroups - 1) / kGroups, eight = block_x() / quads;
  const int lane = lane_index(), warp = thread_index() / kLanes, in_group = lane % 8;
  const int64_t group = block_x() % quads * kGroups + lane / 8, token = eight * kTokens + warp, column = group * kGroup + 4 * in_group;
  const bool inside = group < groups;
  float values[4] = {0.f, 0.f, 0.f, 0.f};
  if (inside && token < out.tokens) {
    const float* row = x + token * groups * kGroup;
    if (order == nullptr) {
      const Words4 v = load4(row + column);
      values[0] = float_of(v.x), values[1] = float_of(v.y), values[2] = float_of(v.z), values[3] = float_of(v.w);
    } else {
      for (int i = 0; i < 4; i++) values[i] = row[order[column + i]];
    }
  }
  for (int set = 0; set < out.sets; set++) {
    float bad = 0, largest = 0;
    for (int i = 0; i < 4; i++) {
      bad = values[i] - values[i] == 0.f ? bad : 1.f;
      largest = larger(largest, magnitude(values[i]));
    }
    for (int mask = 4; mask > 0; mask /= 2) {
      bad = larger(bad, exchange(bad, mask));
      largest = larger(largest, exchange(largest, mask));
    }
    const Rounding rounding = rounding_of(largest, bad == 0.f);
    uint32_t word = 0;
    int sum = 0;
    for (int i = 0; i < 4; i++) {
      const int q = rounding(values[i]);
      word |= static_cast<uint32_t>(q & 255) << 8 * i;
      sum += q;
      values[i] = values[i] - rounding.scale * static_cast<float>(q);
    }
    for (int mask = 2; mask > 0; mask /= 2) sum += exchange(sum, mask);
    const int low = sum;
    sum += exchange(sum, 4);
    if (!inside) continue;
    const int64_t slot = (eight * out.sets + set) * kTokens + warp, at = group * out.slots + slot;
    *reinterpret_cast<uint32_t*>(out.q + slot * groups * kGroup + column) = word;
    if (in_group != 0) continue;
    out.scale[at] = rounding.scale;
    out.sum[at] = static_cast<float>(sum);
    out.low[at] = static_cast<float>(low);
  }
}

// Wide tiles need the fewest copies and decode least, where they are many enough. To up to 16 slots, and where there are few rows, narrow
// ones give all processors something to do.
IntegerTile tile_for(int64_t rows, int64_t slots, int64_t processors) {
  if (slots >= 96 && 3 * divide_up(rows, 128) * divide_up(slots, 128) >= 2 * processors) return IntegerTile::kWide;
  if (slots > 16 && 4 * divide_up(rows, 64) * divide_up(slots, 32) >= processors) return IntegerTile::kMiddle;
  return IntegerTile::kNarrow;
}

}  // namespace

IntegerGemm::IntegerGemm(Backend& backend, const Weight& weight, const float* x, int64_t tokens)
    : backend_(backend), weight_(weight), x_(x), tokens_(tokens) {}

void IntegerGemm::round(int32_t order) {
  if (order == order_) return;
  const int64_t groups = weight_.columns / kGroup;
  slots_.sets = backend_.fine ? 2 : 1;
  slots_.tokens = static_cast<int32_t>(tokens_);
  slots_.slots = static_cast<int32_t>(divide_up(tokens_, kTokens) * kTokens * slots_.sets);
  const auto up = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
  const int64_t integers = up(times(slots_.slots, weight_.columns)), plane = up(times(times(slots_.slots, groups), 4));
  backend_.quantized.grow(backend_.context, plus(integers, times(plane, 3)));
  uint8_t* memory = backend_.quantized.data();
  slots_.q = reinterpret_cast<int8_t*>(memory);
  slots_.scale = reinterpret_cast<float*>(memory + integers);
  slots_.sum = reinterpret_cast<float*>(memory + integers + plane);
  slots_.low = reinterpret_cast<float*>(memory + integers + 2 * plane);
  launch(backend_.context->stream, "round", round_slots, divide_up(tokens_, kTokens) * divide_up(groups, kGroups), 1, 1, kThreads, x_,
         order_on_device(backend_, weight_, order), groups, slots_);
  order_ = order;
}

bool IntegerGemm::multiply(const Segment& run, const float* bias, bool add, float* y, int64_t y_stride, const IntegerTile* tile) {
  if (is_float(run.type) || tokens_ > kMostTokens || (tile == nullptr && tokens_ <= kFewTokens)) return false;
  round(run.order);
  const IntegerProduct product{run.type, run.data, run.row_bytes, static_cast<int32_t>(run.rows),
                               static_cast<int32_t>(weight_.columns / kGroup), slots_, bias, y, y_stride, add};
  const Stream& stream = backend_.context->stream;
  const DeviceInfo& device = backend_.context->info;
  const int64_t shared = device.shared_bytes;
  const IntegerTile best = tile != nullptr ? *tile : tile_for(run.rows, slots_.slots, device.processors);
  const IntegerTile chosen = device.major >= kOnlyNarrowMajor ? IntegerTile::kNarrow : best;
  if (chosen == IntegerTile::kWide && multiply_tiles<IntegerTile::kWide>(stream, shared, device.processors, product)) return true;
  if (chosen != IntegerTile::kNarrow && multiply_tiles<IntegerTile::kMiddle>(stream, shared, device.processors, product)) return true;
  return multiply_tiles<IntegerTile::kNarrow>(stream, shared, device.processors, product);
}

}  // namespace qw::cuda
