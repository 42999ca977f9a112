#include "cuda/objects.h"

#include <algorithm>
#include <utility>

#include "cuda/steps.h"
#include "cuda/uses.h"

namespace qw::cuda {
namespace {

int64_t up(int64_t value) { return plus(value, 15) / 16 * 16; }

DeviceInfo checked_device(int device) {
  require(device >= 0 && device < device_count(), "there is no such device");
  DeviceInfo info = device_info(device);
  if (info.major < kLowestMajor) {
    throw Failure(kUnsupported, info.name + " has compute capability " + std::to_string(info.major) + "." + std::to_string(info.minor) +
                                    ", at least " + std::to_string(kLowestMajor) + ".0 is needed");
  }
  return info;
}

}  // namespace

Context::Context(int d) : device(d), info(checked_device(d)) {}

Context::~Context() { try_to_use(); }

void Context::try_to_use() const noexcept {
  try {
    use();
  } catch (const Failure&) {
  }
}

DeviceMemory::DeviceMemory(std::shared_ptr<Context> context, int64_t bytes) : context_(std::move(context)), bytes_(bytes) {
  require(bytes > 0, "memory of no bytes");
  data_ = static_cast<uint8_t*>(allocate(bytes));
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ == nullptr) return;
  context_->try_to_use();
  const std::lock_guard<std::mutex> lock(context_->freeing);
  context_->freed++;
  release(data_);
}

void DeviceMemory::grow(const std::shared_ptr<Context>& context, int64_t bytes) {
  if (bytes <= bytes_) return;
  require_running("memory of the device that grows");
  *this = DeviceMemory();
  *this = DeviceMemory(context, plus(bytes, bytes / 2));
}

const int32_t* SentInts::send(const std::shared_ptr<Context>& context, const std::vector<int32_t>& ints) {
  if (ints != sent_) {
    require_running("integers that are sent by themselves");
    const int64_t bytes = static_cast<int64_t>(ints.size()) * 4;
    sent_.clear();
    memory_.grow(context, bytes);
    // From memory that is not pinned: it is taken before the call returns.
    context->stream.copy_to_device(memory_.data(), ints.data(), bytes);
    sent_ = ints;
  }
  return reinterpret_cast<const int32_t*>(memory_.data());
}

void SentInts::reserve(const std::shared_ptr<Context>& context, int64_t count) {
  if (times(count, 4) <= memory_.bytes()) return;
  sent_.clear();
  memory_.grow(context, times(count, 4));
}

Buffer::Buffer(std::shared_ptr<Context> context, int64_t r, int64_t c, bool host_only)
    : Object(kBuffer), rows(r), columns(c), context_(std::move(context)), host_only_(host_only), host_row_(r) {
  require(r >= 1 && c >= 1, "a buffer has at least one row and one column");
  const int64_t bytes = times(times(r, c), 4);
  if (host_only) {
    host_ = Memory(bytes);
    return;
  }
  device_ = DeviceMemory(context_, bytes);
  context_->stream.clear(device_.data(), bytes);
}

Buffer::~Buffer() {
  sent_.settle();
  if (pinned_) unpin(host_.data());
}

const Memory& Buffer::view() {
  if (host_.data() == nullptr) {
    host_ = Memory(times(times(rows, columns), 4));
    pinned_ = pin(host_.data(), host_.bytes());
    // Zeros, as on the device: where it was written since, device_rows tells.
  }
  return host_;
}

uint8_t* Buffer::host() {
  require(!discarded, "the buffer is closed");
  require_running("looking at a buffer");
  view();
  if (host_only_) {
    if (computed()) {
      context_->use();
      const int64_t first = computed_from_ * 4;
      context_->stream.copy_to_host(host_.data() + first, device_.data() + first, rows * row_bytes() - first);
      computed_from_ = -1;
    }
    return host_.data();
  }
  context_->use();
  sent_.wait();
  if (device_rows_ > 0) context_->stream.copy_to_host(host_.data(), device_.data(), device_rows_ * row_bytes());
  device_rows_ = 0;
  host_row_ = 0;
  return host_.data();
}

const float* Buffer::read(int64_t count) {
  require(!discarded && !host_only_, "the buffer is closed or an array of integers");
  note_use(count, false);
  if (host_row_ < count) {
    context_->stream.copy_to_device(device_.data() + host_row_ * row_bytes(), host_.data() + host_row_ * row_bytes(),
                                    (count - host_row_) * row_bytes());
    // Of what is recorded nothing is sent now.
    if (context_->uses == nullptr) sent_.set(context_->stream);
    host_row_ = count;
  }
  return reinterpret_cast<const float*>(device_.data());
}

float* Buffer::write(int64_t count) {
  require(!discarded && !host_only_, "the buffer is closed or an array of integers");
  note_use(count, true);
  device_rows_ = std::max(device_rows_, count);
  host_row_ = std::max(host_row_, count);
  return reinterpret_cast<float*>(device_.data());
}

void Buffer::note_use(int64_t count, bool written) {
  if (context_->uses == nullptr) return;
  const std::lock_guard<std::mutex> lock(context_->freeing);
  context_->uses->add(*this, count, written);
}

float* Buffer::change(int64_t count) {
  read(count);
  return write(count);
}

void Buffer::discard() {
  discarded = true;
  {
    // On any thread, also while the backend's records a step.
    const std::lock_guard<std::mutex> lock(context_->freeing);
    if (context_->uses != nullptr) context_->uses->forget(*this);
  }
  sent_.settle();
  device_ = DeviceMemory();
  if (pinned_) unpin(host_.data());
  pinned_ = false;
  if (host_.data() != nullptr) host_.discard();
  uncount();
}

Buffer::operator IntArray() {
  require(!discarded && host_only_, "the buffer is no array of integers");
  return {reinterpret_cast<int32_t*>(host_.data()), rows * columns};
}

int32_t* Buffer::twin(int64_t more) {
  require(!discarded && host_only_, "the buffer is no array of integers");
  const int64_t bytes = times(plus(times(rows, columns), more), 4);
  if (device_.bytes() < bytes) {
    require(!computed(), "the twin of an array grows");
    device_ = DeviceMemory();
    device_ = DeviceMemory(context_, bytes);
  }
  return reinterpret_cast<int32_t*>(device_.data());
}

Arena::Arena(std::shared_ptr<Context> context, int64_t bytes)
    : Object(kArena), memory(std::make_shared<const DeviceMemory>(std::move(context), bytes)) {}

Staging::Staging(std::shared_ptr<Context> c, int64_t bytes)
    : Object(kStaging), context(std::move(c)), host(bytes), pinned(false) {
  // Last: nothing after it fails and leaves it pinned.
  pinned = pin(host.data(), bytes);
}

Staging::~Staging() {
  context->try_to_use();
  stream.settle();
  if (pinned) unpin(host.data());
}

KvPages kv_pages(int32_t type, int64_t layers, int64_t page_count, int64_t page_tokens, int64_t kv_heads, int64_t head_size) {
  require(type >= 0 && type < kKvTypes, "unknown type of a KV cache");
  require(layers >= 1 && page_count >= 1 && page_tokens >= 1 && kv_heads >= 1, "a dimension of a KV cache is not positive");
  require(page_tokens <= INT32_MAX && kv_heads <= INT32_MAX, "a dimension of a KV cache exceeds 31 bits");
  require(head_size >= 16 && head_size % 16 == 0, "the head size of a KV cache must be a multiple of 16");
  if (head_size > 256) throw Failure(kUnsupported, "the CUDA kernels attend to heads of at most 256 elements");
  KvPages pages{};
  pages.type = type;
  pages.layers = layers;
  pages.pages = page_count;
  pages.page_tokens = static_cast<int32_t>(page_tokens);
  pages.kv_heads = static_cast<int32_t>(kv_heads);
  pages.head_size = static_cast<int32_t>(head_size);
  pages.row_bytes = times(head_size, type == kKvF32 ? 4 : type == kKvInt8 ? 1 : 2);
  pages.scales = times(page_tokens, pages.row_bytes);
  const int64_t scale_bytes = type == kKvInt8 ? up(times(page_tokens, 4)) : 0;
  pages.centre = plus(pages.scales, scale_bytes);
  pages.values = plus(pages.centre, type == kKvInt8 ? head_size * 2 : 0);
  pages.head_bytes = plus(pages.values, plus(pages.scales, scale_bytes));
  pages.page_bytes = times(kv_heads, pages.head_bytes);
  return pages;
}

int64_t kv_bytes(const KvPages& pages) { return times(times(pages.layers, pages.pages), pages.page_bytes); }

KvCache::KvCache(std::shared_ptr<Context> context, int32_t type, int64_t layers, int64_t page_count, int64_t page_tokens, int64_t kv_heads,
                 int64_t head_size)
    : Object(kKvCache), pages(kv_pages(type, layers, page_count, page_tokens, kv_heads, head_size)),
      memory(std::move(context), kv_bytes(pages)) {
  pages.memory = memory.data();
}

Backend::Backend(int device, bool f)
    : Object(kBackend), context(std::make_shared<Context>(device)), fine(f), steps(std::make_unique<Steps>(*this)) {}

Backend::~Backend() = default;

}  // namespace qw::cuda
