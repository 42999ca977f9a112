#include "cpu/objects.h"

#include "cpu/machine.h"

namespace qw {
namespace {

Target checked(Target target) {
  if (target < 0 || target > best_target()) throw Failure(kUnsupported, "this machine does not have the instruction set asked for");
  return target;
}

int checked_threads(int threads) {
  require(threads >= 1 && threads <= 1024, "a backend has 1 to 1024 threads");
  return threads;
}

}  // namespace

Buffer::Buffer(int64_t r, int64_t c) : Object(kBuffer), rows(r), columns(c) {
  require(r >= 1 && c >= 1, "a buffer has at least one row and one column");
  memory = Memory(times(times(r, c), 4));
}

void Buffer::discard() {
  discarded = true;
  memory.discard();
  uncount();
}

KvCache::KvCache(KvType type, int64_t layers, int64_t page_count, int64_t page_tokens, int64_t kv_heads, int64_t head_size)
    : Object(kKvCache) {
  require(type >= 0 && type < kKvTypes, "unknown type of a KV cache");
  require(layers >= 1 && page_count >= 1 && page_tokens >= 1 && kv_heads >= 1, "a dimension of a KV cache is not positive");
  require(head_size >= 16 && head_size % 16 == 0, "the head size of a KV cache must be a multiple of 16");
  const int64_t element = type == kKvF32 ? 4 : type == kKvInt8 ? 1 : 2;
  const int64_t padded_tokens = times((page_tokens + kKeysPerPanel - 1) / kKeysPerPanel, kKeysPerPanel);
  pages.type = type;
  pages.layers = layers;
  pages.pages = page_count;
  pages.page_tokens = page_tokens;
  pages.kv_heads = kv_heads;
  pages.head_size = head_size;
  pages.element_bytes = element;
  pages.key_bytes = times(times(padded_tokens, head_size), element);
  pages.value_bytes = times(times(page_tokens, head_size), element);
  if (type == kKvInt8) {
    pages.value_bytes = pages.key_bytes;
    const int64_t scale_bytes = times(padded_tokens, sizeof(float));
    pages.key_scales = pages.key_bytes;
    pages.key_centre = plus(pages.key_scales, scale_bytes);
    pages.key_bytes = plus(pages.key_centre, times(head_size, sizeof(uint16_t)));
    pages.value_scales = pages.value_bytes;
    pages.value_bytes = plus(pages.value_scales, scale_bytes);
  }
  pages.page_bytes = times(kv_heads, plus(pages.key_bytes, pages.value_bytes));
  memory = Memory(times(times(layers, page_count), pages.page_bytes), true);
  pages.memory = memory.data();
}

Backend::Backend(Target t, int threads, bool f)
    : Object(kBackend), target(checked(t)), table(table_of(target)), pool(checked_threads(threads)), fine(f) {}

}  // namespace qw
