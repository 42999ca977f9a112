#include "device_ceilings.h"

#include "cuda/lanes.h"

namespace qw::test {
namespace {

using namespace qw::cuda;

constexpr int kThreads = 256;
constexpr int kAtOnce = 4;  // loads of a thread that are under way

QW_KERNEL read_kernel(const Words4* from, int64_t count, float* sums) {
  QW_SHARED float parts[kThreads / kLanes];
  uint32_t sum = 0;
  const int64_t stride = int64_t{kReaders} * kThreads;
  int64_t i = block_x() * kThreads + thread_index();
  for (; i + (kAtOnce - 1) * stride < count; i += kAtOnce * stride) {
    Words4 words[kAtOnce];
    QW_UNROLL
    for (int k = 0; k < kAtOnce; k++) words[k] = load4(from + i + k * stride);
    QW_UNROLL
    for (int k = 0; k < kAtOnce; k++) sum += words[k].x ^ words[k].y ^ words[k].z ^ words[k].w;
  }
  for (; i < count; i += stride) {
    const Words4 words = load4(from + i);
    sum += words.x ^ words.y ^ words.z ^ words.w;
  }
  const float all = sum_of_lanes(static_cast<float>(sum & 0xffff));
  if (lane_index() == 0) parts[thread_index() / kLanes] = all;
  barrier();
  if (thread_index() != 0) return;
  float total = 0;
  for (int w = 0; w < kThreads / kLanes; w++) total += parts[w];
  sums[block_x()] = total;
}

QW_KERNEL copy_kernel(Words4* to, const Words4* from, int64_t count) {
  const int64_t stride = int64_t{kReaders} * kThreads;
  int64_t i = block_x() * kThreads + thread_index();
  for (; i + (kAtOnce - 1) * stride < count; i += kAtOnce * stride) {
    Words4 words[kAtOnce];
    QW_UNROLL
    for (int k = 0; k < kAtOnce; k++) words[k] = load4(from + i + k * stride);
    QW_UNROLL
    for (int k = 0; k < kAtOnce; k++) to[i + k * stride] = words[k];
  }
  for (; i < count; i += stride) to[i] = load4(from + i);
}

QW_KERNEL empty_kernel(int) {}

}  // namespace

void read_memory(const Stream& stream, const void* from, int64_t bytes, float* sums) {
  launch(stream, "read_memory", read_kernel, kReaders, 1, 1, kThreads, static_cast<const Words4*>(from), bytes / 16, sums);
}
void copy_memory(const Stream& stream, void* to, const void* from, int64_t bytes) {
  launch(stream, "copy_memory", copy_kernel, kReaders, 1, 1, kThreads, static_cast<Words4*>(to), static_cast<const Words4*>(from),
         bytes / 16);
}
void do_nothing(const Stream& stream) { launch(stream, "do_nothing", empty_kernel, 1, 1, 1, kLanes, 0); }

}  // namespace qw::test
