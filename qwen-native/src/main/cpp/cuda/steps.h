// Steps of a model that are recorded, once for each shape, and then run again without the walk over their operations.
//
// A graph keeps addresses, grids and arguments as they were when it was recorded. What differs from step to step is in memory of the device at fixed
// places, which the graph itself fills from pinned memory of the host: the integers of the batch and the pieces of attention (here), and what the
// host writes into buffers, such as rotations (Buffer). So before a graph runs the host writes these anew, and nothing else. Their room is
// rounded up, so that a graph serves many steps: page tables and pieces to a power of two, beyond which are pieces of no tokens.
//
// A shape that is met first runs as it will be recorded, but is not: scratch memory grows then. It is recorded the second time. Any memory of the
// device that is freed takes all graphs along. One thread uses it, that of the backend.
#pragma once

#include <string>
#include <vector>

#include "cuda/dense_plan.h"
#include "cuda/uses.h"

namespace qw::cuda {

class Steps {
 public:
  explicit Steps(Backend& backend);
  ~Steps();
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  // What the caller does next: run the operations as if there were nothing here (kPlain; kGivenUp the same, and problem() says why); run them, then
  // call end() (kFirst, kRecorded); nothing, the step is on the stream (kReplayed).
  enum Next : int64_t { kPlain, kFirst, kRecorded, kReplayed, kGivenUp };

  // walk: of the operations, which are the same whenever batches have as many tokens and outputs; shape: of all their attention
  Next begin(int64_t walk, const BatchView& batch, const AttentionShape& shape, const KvCache& cache);
  // The operations were run. Returns whether the step is on the stream; if not, they must be run once more, and problem() says why.
  bool end();
  // An operation failed.
  void abandon();
  // The step that was abandoned has just succeeded: it was the recording that failed. It will not be recorded again.
  void refuse();

  const std::string& problem() const { return problem_; }
  int64_t recorded() const { return recorded_; }
  int64_t replayed() const { return replayed_; }

  // For operations: null where no step is prepared.
  const SentBatch* batch(const BatchView& batch) const;
  const DensePlan* plan(const AttentionShape& shape) const;
  // All ids of tokens must be below.
  void limit_ids(int64_t rows);

 private:
  // Of the pieces of a kernel.
  struct Rooms {
    int64_t computed, merged, parts;
  };
  struct Shape {
    int64_t walk, tokens, sequences, outputs, page_stride;
    Rooms rooms[kAttendKernels];
    const uint8_t* cache;
    bool operator==(const Shape& other) const;
  };
  struct Entry {
    Shape shape;
    int64_t used = 0;  // when, counted in steps
    bool run = false;
    bool refused = false;
    int misfits = 0;
    int64_t id_limit = INT64_MAX;
    BufferUses uses;
    Graph graph;
  };

  Shape shape_of(int64_t walk, const BatchView& batch, const AttentionShape& shape, const KvCache& cache);
  int64_t pieces_at(const Shape& shape) const;
  int64_t ints_of(const Shape& shape) const;
  void reserve(const Shape& shape);
  void write(const Shape& shape, const BatchView& batch);
  void drop_all_if_freed();
  Entry& entry(const Shape& shape);
  bool replay(Entry& entry, const BatchView& batch);
  void undo();
  Next give_up(const char* why);

  Backend& backend_;
  std::vector<Entry> entries_;
  Entry* current_ = nullptr;
  enum State { kIdle, kPrepared, kRecording };
  State state_ = kIdle;
  bool off_ = false;
  int refusals_ = 0;
  int64_t freed_ = 0;  // Context::freed when the graphs were recorded
  int64_t steps_ = 0;
  int64_t recorded_ = 0;
  int64_t replayed_ = 0;
  std::string problem_;

  // On the host, pinned, and on the device: ids, slots, output rows, page tables, pieces.
  Memory host_;
  bool pinned_ = false;
  DeviceMemory device_;
  Mark sent_;
  int64_t bytes_ = 0;
  SentBatch sent_batch_{};
  DensePlan plan_{};
  const int32_t* ids_ = nullptr;  // of the batch
  int64_t heads_ = 0;
  int64_t head_size_ = 0;
};

}  // namespace qw::cuda
