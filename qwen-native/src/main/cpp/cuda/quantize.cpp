#include "cuda/quantize.h"

#include <algorithm>

namespace qw::cuda {
namespace {

constexpr int kThreads = kNormThreads;
constexpr int kWarps = kThreads / kLanes;
constexpr int kWarpGroups = 4;  // that a warp rounds at once

// row_blocks blocks round a row; one, if it has to be normed first.
template <int kKind>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) quantize_rows(RowSource source, int row_blocks, Integers out) {
  let_next_begin();
  wait_for_previous();
  const int row = static_cast<int>(block_x() / row_blocks), lane = lane_index(), warp = thread_index() / kLanes;
  const int groups = source.columns / kGroup;
  float factor = 1;
  if constexpr (kKind == kNormedRow) {
    QW_SHARED float parts[kNormWarps];
    const float part = part_of_squares(source.x + static_cast<int64_t>(row) * source.columns, source.columns);
    if (lane == 0) parts[warp] = part;
    barrier();
    factor = norm_factor(parts, source.columns, source.epsilon);
  }
  const int first = static_cast<int>(block_x() % row_blocks) * kWarps + warp;
  for (int four = first; four * kWarpGroups < groups; four += row_blocks * kWarps) {
    const int group = four * kWarpGroups + lane / 8;
    const bool inside = group < groups;
    float v[4] = {0, 0, 0, 0};
    if (inside) take_values<kKind>(source, row, group * kGroup + lane % 8 * 4, factor, v);
    for (int set = 0; set < out.sets; set++) {
      const Rounded r = round_group(v);
      if (!inside) continue;
      const int64_t at = (static_cast<int64_t>(set) * out.rows + row) * groups + group;
      reinterpret_cast<uint32_t*>(out.q + at * kGroup)[lane % 8] = r.q;
      if (lane % 4 == 0) out.sum16[2 * at + lane % 8 / 4] = static_cast<int16_t>(r.sum);
      if (lane % 8 == 0) out.scale[at] = r.scale;
    }
  }
}

}  // namespace

const int32_t* order_on_device(Backend& backend, const Weight& w, int32_t order) {
  if (w.orders[static_cast<size_t>(order)].empty()) return nullptr;
  if (w.device_orders.data() == nullptr) {
    std::vector<int32_t> all(w.orders.size() * static_cast<size_t>(w.columns));
    for (size_t i = 0; i < w.orders.size(); i++) {
      std::copy(w.orders[i].begin(), w.orders[i].end(), all.begin() + static_cast<int64_t>(i) * w.columns);
    }
    const int64_t bytes = static_cast<int64_t>(all.size()) * 4;
    w.device_orders = DeviceMemory(backend.context, bytes);
    backend.context->stream.copy_to_device(w.device_orders.data(), all.data(), bytes);
    backend.context->stream.wait();
  }
  return reinterpret_cast<const int32_t*>(w.device_orders.data()) + order * w.columns;
}

Integers quantize(Backend& backend, RowSource source, const Weight& w, int32_t order, int64_t rows) {
  const int sets = backend.fine ? 2 : 1;
  const int64_t groups_of_row = w.columns / kGroup, groups = times(rows, groups_of_row);
  const auto up = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
  const int64_t scales = up(times(times(groups, kGroup), sets)), sums = scales + up(groups * sets * 4);
  backend.quantized.grow(backend.context, sums + up(groups * sets * 4));
  uint8_t* memory = backend.quantized.data();
  const Integers out{reinterpret_cast<int8_t*>(memory), reinterpret_cast<float*>(memory + scales), reinterpret_cast<int16_t*>(memory + sums),
                     sets, static_cast<int32_t>(rows)};
  source.order = order_on_device(backend, w, order);
  const int row_blocks = source.kind == kNormedRow ? 1 : static_cast<int>(divide_up(groups_of_row, kWarps * kWarpGroups));
  const auto kernel = source.kind == kNormedRow  ? quantize_rows<kNormedRow>
                      : source.kind == kGatedRow ? quantize_rows<kGatedRow>
                                                 : quantize_rows<kPlainRow>;
  const Context& context = *backend.context;
  launch_early(context.stream, context.info.early, "quantize", kernel, times(rows, row_blocks), 1, kThreads, 0, source, row_blocks, out);
  return out;
}

}  // namespace qw::cuda
