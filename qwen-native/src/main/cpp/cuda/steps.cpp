#include "cuda/steps.h"

#include <algorithm>

namespace qw::cuda {
namespace {

// Each holds some hundred kilobytes of the driver's.
constexpr size_t kMostGraphs = 32;
// Of a slice: one, or a draft and what follows it. Longer slices are prompts, whose lengths do not come again.
constexpr int64_t kMostSliceTokens = 8;
// Whoever cannot be recorded so often never will be.
constexpr int kMostRefusals = 3;
constexpr int64_t kFirstBytes = 256 << 10;
constexpr int64_t kLeastPages = 16;
constexpr int64_t kLeastPieces = 8;

int64_t room(int64_t count, int64_t least) {
  int64_t rounded = least;
  while (rounded < count) rounded *= 2;
  return rounded;
}

// Slices of equal length.
bool is_regular(const BatchView& batch) {
  if (batch.sequences < 1 || batch.tokens < batch.sequences || batch.tokens % batch.sequences != 0) return false;
  const int64_t each = batch.tokens / batch.sequences;
  if (each > kMostSliceTokens) return false;
  for (int64_t b = 0; b < batch.sequences; b++) {
    if (batch.starts[b + 1] - batch.starts[b] != each) return false;
  }
  return true;
}

int64_t most_pages(const BatchView& batch, int64_t page_tokens) {
  int64_t most = 0;
  for (int64_t b = 0; b < batch.sequences; b++) {
    most = std::max(most, divide_up(int64_t{batch.cached[b]} + batch.starts[b + 1] - batch.starts[b], page_tokens));
  }
  return most;
}

// Sections begin at multiples of 256 bytes.
int64_t aligned(int64_t ints) { return divide_up(ints, 64) * 64; }

int64_t room_or_none(int64_t count) { return count == 0 ? 0 : room(count, kLeastPieces); }

// Copies a section and fills the rest of its room with 0; returns the end of it.
int32_t* put(const int32_t* from, int64_t count, int64_t room, int32_t* to) {
  std::copy(from, from + count, to);
  std::fill(to + count, to + room, 0);
  return to + room;
}

}  // namespace

Steps::Steps(Backend& backend) : backend_(backend) { entries_.reserve(kMostGraphs); }

Steps::~Steps() {
  try {
    abandon();
    backend_.context->use();
    backend_.context->stream.wait();
  } catch (const Failure&) {
    // A lost device runs nothing any more.
  }
  sent_.settle();
  if (pinned_) unpin(host_.data());
}

bool Steps::Shape::operator==(const Shape& o) const {
  const auto same = [](const Rooms& a, const Rooms& b) { return a.computed == b.computed && a.merged == b.merged && a.parts == b.parts; };
  return walk == o.walk && tokens == o.tokens && sequences == o.sequences && outputs == o.outputs && page_stride == o.page_stride &&
         std::equal(rooms, rooms + kAttendKernels, o.rooms, same) && cache == o.cache;
}

Steps::Next Steps::begin(int64_t walk, const BatchView& batch, const AttentionShape& shape, const KvCache& cache) {
  require(state_ == kIdle, "a step is begun within another one");
  if (off_ || !is_regular(batch)) return kPlain;
  Context& context = *backend_.context;
  batch.check_slots(cache.pages.pages, cache.pages.page_tokens);
  batch.check_pages(cache.pages.pages, cache.pages.page_tokens);
  for (int64_t r = 0; r < batch.outputs; r++) {
    require(batch.output_rows[r] >= 0 && batch.output_rows[r] < batch.tokens, "an output row lies outside the batch");
  }
  const Shape wanted = shape_of(walk, batch, shape, cache);
  try {
    reserve(wanted);
  } catch (const Failure& e) {
    if (e.status() == kDeviceLost) throw;
    return give_up(e.what());
  }
  {
    const std::lock_guard<std::mutex> lock(context.freeing);
    drop_all_if_freed();
    current_ = &entry(wanted);
    current_->used = ++steps_;
    if (current_->refused) return kPlain;
    write(wanted, batch);
    ids_ = batch.ids;
    heads_ = shape.heads;
    head_size_ = shape.head_size;
    try {
      if (!current_->graph.empty() && replay(*current_, batch)) return kReplayed;
    } catch (const Failure& e) {
      if (e.status() != kOutOfMemory) throw;
      problem_ = e.what();
      refuse();
      return kGivenUp;
    }
    if (current_->refused) return kPlain;
    if (current_->run) current_->uses = BufferUses();
  }
  if (!current_->run) {
    context.stream.copy_to_device(device_.data(), host_.data(), bytes_);
    sent_.set(context.stream);
    state_ = kPrepared;
    return kFirst;
  }
  current_->id_limit = INT64_MAX;
  context.stream.begin_capture();
  context.uses = &current_->uses;
  state_ = kRecording;
  try {
    context.stream.copy_to_device(device_.data(), host_.data(), bytes_);
  } catch (const Failure& e) {
    abandon();
    throw;
  }
  return kRecorded;
}

bool Steps::end() {
  require(state_ != kIdle, "no step is begun");
  Context& context = *backend_.context;
  Entry& entry = *current_;
  if (state_ == kPrepared) {
    state_ = kIdle;
    const std::lock_guard<std::mutex> lock(context.freeing);
    drop_all_if_freed();
    entry.run = true;
    return true;
  }
  state_ = kIdle;
  try {
    context.use();
    Graph graph = context.stream.end_capture();
    const std::lock_guard<std::mutex> lock(context.freeing);
    if (context.freed != freed_) throw Failure(kInternal, "memory of the device was freed while a step was recorded");
    graph.launch(context.stream);
    context.uses = nullptr;
    entry.graph = std::move(graph);
  } catch (const Failure& e) {
    context.stream.abandon_capture();
    undo();
    if (e.status() == kDeviceLost) throw;
    problem_ = e.what();
    refuse();
    return false;
  }
  recorded_++;
  entry.uses.apply(context.stream);
  sent_.set(context.stream);
  return true;
}

void Steps::abandon() {
  if (state_ == kRecording) {
    backend_.context->stream.abandon_capture();
    undo();
  }
  state_ = kIdle;
}

void Steps::undo() {
  Context& context = *backend_.context;
  const std::lock_guard<std::mutex> lock(context.freeing);
  current_->uses.undo();
  current_->uses = BufferUses();
  context.uses = nullptr;
}

void Steps::refuse() {
  if (current_ != nullptr) current_->refused = true;
  if (++refusals_ == kMostRefusals) off_ = true;
}

Steps::Next Steps::give_up(const char* why) {
  problem_ = why;
  off_ = true;
  return kGivenUp;
}

const SentBatch* Steps::batch(const BatchView& batch) const {
  if (state_ == kIdle) return nullptr;
  require(batch.ids == ids_ && batch.tokens == current_->shape.tokens && batch.outputs == current_->shape.outputs,
          "the batch is not that of the step");
  return &sent_batch_;
}

const DensePlan* Steps::plan(const AttentionShape& shape) const {
  if (state_ == kIdle) return nullptr;
  require(shape.heads == heads_ && shape.head_size == head_size_, "the attention is not that of the step");
  return &plan_;
}

void Steps::limit_ids(int64_t rows) {
  if (state_ == kRecording) current_->id_limit = std::min(current_->id_limit, rows);
}

Steps::Shape Steps::shape_of(int64_t walk, const BatchView& batch, const AttentionShape& shape, const KvCache& cache) {
  require(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0, "query heads are not a multiple of the kv heads");
  plan_ = plan_dense(batch, shape, cache.pages, backend_.fine, nullptr, backend_.context->info.processors, backend_.ints);
  Shape made{};
  made.walk = walk;
  made.tokens = batch.tokens;
  made.sequences = batch.sequences;
  made.outputs = batch.outputs;
  made.page_stride = std::min(batch.page_stride, room(most_pages(batch, cache.pages.page_tokens), kLeastPages));
  for (int k = 0; k < kAttendKernels; k++) {
    made.rooms[k] = {room_or_none(plan_.of[k].computed), room_or_none(plan_.of[k].merged), room_or_none(plan_.of[k].parts)};
  }
  made.cache = cache.pages.memory;
  return made;
}

int64_t Steps::pieces_at(const Shape& shape) const {
  return plus(2 * aligned(shape.tokens) + aligned(shape.outputs), aligned(times(shape.sequences, shape.page_stride)));
}

int64_t Steps::ints_of(const Shape& shape) const {
  int64_t ints = pieces_at(shape);
  for (int k = 0; k < kAttendKernels; k++) {
    ints = plus(ints, times(plan_.of[k].piece_ints, plus(shape.rooms[k].computed, shape.rooms[k].merged)));
  }
  return ints;
}

void Steps::reserve(const Shape& shape) {
  bytes_ = times(ints_of(shape), 4);
  if (bytes_ <= device_.bytes()) return;
  sent_.wait();
  const int64_t bytes = room(bytes_, kFirstBytes);
  device_ = DeviceMemory();
  Memory host(bytes);
  DeviceMemory device(backend_.context, bytes);
  if (pinned_) unpin(host_.data());
  host_ = std::move(host);
  pinned_ = pin(host_.data(), bytes);
  if (!pinned_) throw Failure(kInternal, "the operating system does not pin memory");
  device_ = std::move(device);
}

void Steps::write(const Shape& shape, const BatchView& batch) {
  // What was sent last is on the device since its results were waited for, if they were.
  sent_.wait();
  int32_t* const host = reinterpret_cast<int32_t*>(host_.data());
  const int32_t* const device = reinterpret_cast<const int32_t*>(device_.data());
  const auto on_device = [&](const int32_t* place) { return device + (place - host); };
  int32_t* to = host;
  sent_batch_.ids = on_device(to);
  to = put(batch.ids, batch.tokens, aligned(batch.tokens), to);
  sent_batch_.slots = on_device(to);
  to = put(batch.slots, batch.tokens, aligned(batch.tokens), to);
  sent_batch_.output_rows = on_device(to);
  to = put(batch.output_rows, batch.outputs, aligned(batch.outputs), to);
  sent_batch_.pages = on_device(to);
  sent_batch_.page_stride = shape.page_stride;
  for (int64_t b = 0; b < batch.sequences; b++) {
    to = put(batch.page_tables + b * batch.page_stride, shape.page_stride, shape.page_stride, to);
  }
  to = host + pieces_at(shape);
  const int32_t* from = backend_.ints.data();
  for (int k = 0; k < kAttendKernels; k++) {
    DensePieces& pieces = plan_.of[k];
    const Rooms& rooms = shape.rooms[k];
    const int64_t computed = pieces.computed * pieces.piece_ints, merged = pieces.merged * pieces.piece_ints;
    pieces.data = on_device(to);
    to = put(from, computed, rooms.computed * pieces.piece_ints, to);
    to = put(from + computed, merged, rooms.merged * pieces.piece_ints, to);
    from += computed + merged;
    pieces.computed = rooms.computed;
    pieces.merged = rooms.merged;
    pieces.parts = rooms.parts;
  }
}

void Steps::drop_all_if_freed() {
  Context& context = *backend_.context;
  if (context.freed == freed_) return;
  freed_ = context.freed;
  bool waited = false;
  for (Entry& e : entries_) {
    e.run = false;
    if (e.graph.empty()) continue;
    if (!waited) context.stream.wait();
    waited = true;
    e.graph = Graph();
  }
}

Steps::Entry& Steps::entry(const Shape& shape) {
  for (Entry& e : entries_) {
    if (e.shape == shape) return e;
  }
  if (entries_.size() < kMostGraphs) {
    entries_.emplace_back();
  } else {
    auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
    if (!oldest->graph.empty()) backend_.context->stream.wait();
    std::iter_swap(oldest, entries_.end() - 1);
    entries_.back() = Entry();
  }
  entries_.back().shape = shape;
  return entries_.back();
}

bool Steps::replay(Entry& entry, const BatchView& batch) {
  Context& context = *backend_.context;
  for (int64_t t = 0; t < batch.tokens; t++) {
    require(batch.ids[t] >= 0 && batch.ids[t] < entry.id_limit, "a token id lies outside the embedding");
  }
  if (!entry.uses.fit()) {
    context.stream.wait();
    entry.graph = Graph();
    if (++entry.misfits == kMostRefusals) entry.refused = true;
    return false;
  }
  entry.graph.launch(context.stream);
  entry.uses.apply(context.stream);
  sent_.set(context.stream);
  replayed_++;
  return true;
}

}  // namespace qw::cuda
