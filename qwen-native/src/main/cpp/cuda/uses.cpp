#include "cuda/uses.h"

#include <algorithm>

namespace qw::cuda {

void BufferUses::add(Buffer& buffer, int64_t rows, bool written) {
  auto use = std::find_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.buffer == &buffer; });
  if (use == uses_.end()) use = uses_.insert(use, {&buffer, buffer.device_rows_, buffer.host_row_, 0, 0, 0});
  if (written) {
    use->written = std::max(use->written, rows);
  } else if (rows > use->used) {
    use->read = rows;
  }
  use->used = std::max(use->used, rows);
}

void BufferUses::forget(const Buffer& buffer) {
  uses_.erase(std::remove_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.buffer == &buffer; }), uses_.end());
}

bool BufferUses::fit() const {
  return std::all_of(uses_.begin(), uses_.end(),
                     [](const Use& u) { return std::min(u.buffer->host_row_, u.read) == std::min(u.host_row, u.read); });
}

void BufferUses::apply(const Stream& stream) const {
  for (const Use& u : uses_) {
    if (u.host_row < u.read) u.buffer->sent_.set(stream);
    u.buffer->device_rows_ = std::max(u.buffer->device_rows_, u.written);
    u.buffer->host_row_ = std::max(u.buffer->host_row_, u.used);
  }
}

void BufferUses::undo() const {
  for (const Use& u : uses_) {
    u.buffer->device_rows_ = u.device_rows;
    u.buffer->host_row_ = u.host_row;
  }
}

}  // namespace qw::cuda
