// The objects of the CPU backend.
#pragma once

#include <memory>
#include <vector>

#include "common/column_order.h"
#include "common/memory.h"
#include "common/object.h"
#include "common/status.h"
#include "cpu/pool.h"
#include "cpu/table.h"

namespace qw {

// rows x columns elements of 4 bytes: an activation, a vector, or an array of integers (one row).
struct Buffer : Object {
  static constexpr Kind kKind = kBuffer;
  Buffer(int64_t r, int64_t c);
  int64_t rows;
  int64_t columns;
  Memory memory;
  // Gives the memory back and keeps the addresses, which a Java buffer may still read.
  void discard();
  bool discarded = false;
  float* floats() const { return reinterpret_cast<float*>(memory.data()); }
  int32_t* ints() const { return reinterpret_cast<int32_t*>(memory.data()); }
  operator IntArray() const {
    require(!discarded, "the array is closed");
    return {ints(), rows * columns};
  }
};

// One piece of memory for the segments of many weights, so that small ones lie in huge pages too. What was taken from it keeps it: it
// is given back when the arena and all its segments are freed.
struct Arena : Object {
  static constexpr Kind kKind = kArena;
  explicit Arena(int64_t bytes) : Object(kArena), memory(std::make_shared<const Memory>(bytes)) {}
  std::shared_ptr<const Memory> memory;
  int64_t used = 0;
};

// The part of an arena that is a segment's.
struct Slice {
  std::shared_ptr<const Memory> arena;
  uint8_t* at;
  uint8_t* data() const { return at; }
};

// A part of a matrix with one storage type.
struct Segment {
  const WeightFormat* format;
  int64_t first_row;
  int64_t rows;
  int64_t panels;
  int64_t panel_bytes;
  int64_t file_row_bytes;
  int32_t order;  // of its columns, one of Weight::orders
  Slice memory;
};

struct Weight : Object {
  static constexpr Kind kKind = kWeight;
  explicit Weight(int64_t c) : Object(kWeight), columns(c) {}
  int64_t columns;
  int64_t rows = 0;
  std::vector<Segment> segments;
  std::vector<ColumnOrder> orders;  // all different
};

struct KvCache : Object {
  static constexpr Kind kKind = kKvCache;
  KvCache(KvType type, int64_t layers, int64_t pages, int64_t page_tokens, int64_t kv_heads, int64_t head_size);
  KvPages pages;
  Memory memory;
};

// One piece of attention: a slice's tokens token_begin .. token_end - 1 and heads of a group, over the splits split_begin .. split_end - 1.
struct AttendPiece {
  int32_t sequence;
  int32_t kv_head;
  int32_t head_begin;
  int32_t head_end;
  int32_t token_begin;
  int32_t token_end;
  int32_t split_begin;
  int32_t split_end;
  int64_t part;  // where the split's result is kept, or -1 if the piece finishes its rows itself
};

// One piece of the experts' products.
struct ExpertPiece {
  const Segment* segment;
  int64_t expert;
  int64_t panel_begin;
  int64_t panel_end;
};

struct Backend : Object {
  static constexpr Kind kKind = kBackend;
  // fine: what 8 bits leave over of an activation gets 8 bits more
  Backend(Target t, int threads, bool fine);
  Target target;
  const KernelTable& table;
  Pool pool;
  const bool fine;
  Memory quantized;                 // of one linear operation
  Memory residual;                  // of one linear operation, where fine
  Memory picked;                    // rows of one operation of experts
  Memory gathered;                  // a row of each worker, its columns in another order
  std::vector<const ColumnOrder*> row_orders;  // of the rows of one operation
  std::vector<int32_t> chosen;      // experts of each token, of one routing
  std::vector<float> chosen_weights;
  std::vector<ExpertPiece> expert_pieces;
  Memory attend_scratch;            // of all workers
  Memory attend_parts;              // results of splits
  std::vector<AttendPiece> pieces;  // of one attention operation
};

}  // namespace qw
