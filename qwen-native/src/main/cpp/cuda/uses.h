// What a recorded step does to buffers. A Buffer keeps which of its rows are newest where; when a graph runs in place of operations, that is
// brought up to date from what the operations did when they were recorded.
#pragma once

#include <vector>

#include "cuda/objects.h"

namespace qw::cuda {

class BufferUses {
 public:
  // Of an operation that is recorded, before it changes the buffer.
  void add(Buffer& buffer, int64_t rows, bool written);
  // Whether the step, run now, would have to send just the rows whose sending is recorded.
  bool fit() const;
  // The step runs: what it wrote is newest on the device; and what it sends must stay as it is until the stream is here.
  void apply(const Stream& stream) const;
  // The buffer ends.
  void forget(const Buffer& buffer);
  // The step was recorded and will not run: all buffers are as they were before.
  void undo() const;

 private:
  struct Use {
    Buffer* buffer;
    int64_t device_rows;  // before
    int64_t host_row;
    int64_t used;         // rows that are used at all
    int64_t read;         // rows of which some were read before they were written: the newest may be the host's
    int64_t written;
  };
  std::vector<Use> uses_;
};

}  // namespace qw::cuda
