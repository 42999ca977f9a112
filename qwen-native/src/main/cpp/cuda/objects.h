// The objects of the CUDA backend.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "common/column_order.h"
#include "common/memory.h"
#include "common/object.h"
#include "cuda/device.h"
#include "cuda/gemm_order.h"

namespace qw::cuda {

class BufferUses;
class Steps;

// A device and the stream on which everything of a backend runs; kept by all that was made with the backend.
struct Context {
  explicit Context(int device);
  ~Context();
  // Called first in every function of the C interface that uses the device.
  void use() const { use_device(device); }
  // The same where something is freed, which no failure stops.
  void try_to_use() const noexcept;
  const int device;
  const DeviceInfo info;
  Stream stream;
  // How often memory of the device was freed: what was recorded before may use it. It is freed, and what was recorded is launched, under the lock.
  std::atomic<int64_t> freed{0};
  std::mutex freeing;
  // Of the step that is recorded, or null.
  BufferUses* uses = nullptr;
};

// Memory of the device.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(std::shared_ptr<Context> context, int64_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  uint8_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Makes at least `bytes` available; contents are lost when it grows.
  void grow(const std::shared_ptr<Context>& context, int64_t bytes);

 private:
  std::shared_ptr<Context> context_;
  uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Integers that change at most once a step and are read by all its kernels: sent when they differ from those that were sent last.
class SentInts {
 public:
  const int32_t* send(const std::shared_ptr<Context>& context, const std::vector<int32_t>& ints);
  // Takes memory for so many at once, where they grow from step to step.
  void reserve(const std::shared_ptr<Context>& context, int64_t count);

 private:
  std::vector<int32_t> sent_;
  DeviceMemory memory_;
};

// rows x columns elements of 4 bytes. What the host sees is made when it is first looked at. Of each row the newest values are on the
// device, on the host, or on both:
//   rows 0 .. device_rows - 1 are newest on the device, rows from host_row on newest on the host, device_rows <= host_row
struct Buffer : Object {
  static constexpr Kind kKind = kBuffer;
  // host_only: an array of integers, which operations check and send in parts, or write into its twin
  Buffer(std::shared_ptr<Context> context, int64_t rows, int64_t columns, bool host_only);
  ~Buffer();
  const int64_t rows;
  const int64_t columns;
  bool discarded = false;

  // Memory of the host, all of it newest there afterwards: who looks at it may write.
  uint8_t* host();
  // The address alone.
  const Memory& view();
  // `count` rows on the device, to be read.
  const float* read(int64_t count);
  // To be written as a whole.
  float* write(int64_t count);
  // To be read and written.
  float* change(int64_t count);
  // Gives the memory back and keeps the host's addresses, which a Java buffer may still read.
  void discard();
  operator IntArray();

  // Of an array of integers: memory of the device for all of it and `more` integers behind it, which is taken once.
  int32_t* twin(int64_t more);
  // Kernels write all of the twin from `first` on: it is the newest until the host looks.
  void computed_from(int64_t first) { computed_from_ = first; }
  bool computed() const { return computed_from_ >= 0; }

 private:
  friend class BufferUses;
  int64_t row_bytes() const { return columns * 4; }
  void note_use(int64_t count, bool written);
  std::shared_ptr<Context> context_;
  const bool host_only_;
  int64_t computed_from_ = -1;
  DeviceMemory device_;
  Memory host_;
  bool pinned_ = false;
  int64_t device_rows_ = 0;
  int64_t host_row_;
  Mark sent_;
};

// Memory of the device for the segments of many weights; lives as long as what was taken from it.
struct Arena : Object {
  static constexpr Kind kKind = kArena;
  Arena(std::shared_ptr<Context> context, int64_t bytes);
  std::shared_ptr<const DeviceMemory> memory;
  int64_t used = 0;
};

// Rows of one type.
struct Segment {
  int32_t type;
  int64_t first_row;
  int64_t rows;
  int64_t row_bytes;
  int64_t file_row_bytes;
  int32_t order;  // of its columns, one of Weight::orders
  uint8_t* data;
};

struct Weight : Object {
  static constexpr Kind kKind = kWeight;
  explicit Weight(int64_t c) : Object(kWeight), columns(c) {}
  const int64_t columns;
  int64_t rows = 0;
  std::vector<Segment> segments;  // as they were added
  std::vector<Segment> runs;      // those of one type and order that follow each other in memory as one
  std::vector<ColumnOrder> orders;  // all different
  mutable DeviceMemory device_orders;  // `columns` numbers of each, sent when they are first needed
  mutable DeviceMemory device_experts;  // its parts as those of `sent_experts` experts, sent when they are first needed
  mutable int64_t sent_experts = 0;
  std::vector<std::shared_ptr<const DeviceMemory>> memory;
};

// Bytes of a file on their way to the device. Each has a stream of its own: while the rows of one are laid out those of another are copied,
// and none of it is in the way of operations. Several may be used at once, each by one thread.
struct Staging : Object {
  static constexpr Kind kKind = kStaging;
  Staging(std::shared_ptr<Context> context, int64_t bytes);
  ~Staging();
  std::shared_ptr<Context> context;
  Memory host;
  bool pinned;
  DeviceMemory device;  // as much, taken when rows first have to be laid out
  Stream stream;
};

enum KvType : int32_t { kKvF32, kKvF16, kKvBF16, kKvInt8, kKvTypes };

// A page of a layer has for each head keys, then values, each a row of E elements for each token. With kKvInt8 an f32 scale for each
// token follows the rows, and the centre (E values in f16) that was taken off the keys follows their scales.
struct KvPages {
  uint8_t* memory;
  int32_t type;
  int32_t page_tokens;  // of 32 bits: divisions of 64 are slow on a device
  int32_t kv_heads;
  int32_t head_size;
  int64_t layers;
  int64_t pages;
  int64_t row_bytes;
  int64_t scales;      // place within keys, and within values
  int64_t centre;      // place within keys
  int64_t values;      // place of the values behind the keys of a head
  int64_t head_bytes;  // keys and values of a head in a page
  int64_t page_bytes;
};

// Places and sizes, without memory. Throws kUnsupported for a shape without kernels.
KvPages kv_pages(int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size);
int64_t kv_bytes(const KvPages& pages);

struct KvCache : Object {
  static constexpr Kind kKind = kKvCache;
  KvCache(std::shared_ptr<Context> context, int32_t type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads,
          int64_t head_size);
  KvPages pages;
  DeviceMemory memory;
};

struct Backend : Object {
  static constexpr Kind kKind = kBackend;
  // fine: what 8 bits leave over of an activation gets 8 bits more
  Backend(int device, bool fine);
  ~Backend();
  const std::shared_ptr<Context> context;
  const bool fine;
  SentInts batch;
  SentInts selection;
  SentInts attend_pieces;
  SentInts chosen_pieces;
  DeviceMemory quantized;       // activations of one linear operation
  DeviceMemory expert_results;  // of one operation of experts
  DeviceMemory tiles;
  DeviceMemory rounded;         // activations of one operation in 16 bits, see gemm.h
  DeviceMemory gemm_parts;      // sums of splits
  DeviceMemory decoded;         // rows of quantized weights in BF16
  bool no_room_to_decode = false;
  GemmOrder gemm_order;
  DeviceMemory attend_parts;
  DeviceMemory key_weights;
  DeviceMemory selected;  // of parts of rows of logits
  std::vector<int32_t> ints;  // scratch of one operation
  std::vector<float> floats;
  std::unique_ptr<Steps> steps;
};

}  // namespace qw::cuda
