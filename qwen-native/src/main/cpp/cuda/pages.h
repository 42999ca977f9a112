// Keys and values in pages, as kernels read them; and rotations.
#pragma once

#include "cuda/lanes.h"
#include "cuda/objects.h"

namespace qw::cuda {

// The sections of a row of rotations, each E / 2 cosines and E / 2 sines; as Java's Rotations. Plain attention has the first one only. With
// kKvInt8 one more follows, by which the bias of keys is rotated for the centre of a page.
enum Rotation : int64_t { kKeyRotation, kSameChunk, kChunkBefore, kOlderChunks, kUncappedChunkBefore, kUncappedOlderChunks, kRotations };
// In dual chunk attention: keys of the same chunk, of the chunk before, of older chunks.
constexpr int kQueryRanges = 3;

// Keys or values of a head in a page.
QW_DEVICE uint8_t* head_of_page(const KvPages& kv, int64_t layer, int64_t page, int64_t head, bool values) {
  return kv.memory + (layer * kv.pages + page) * kv.page_bytes + head * kv.head_bytes + (values ? kv.values : 0);
}

// Element e of the row of a token; `scale` is that of the row, with kKvInt8.
QW_DEVICE float load_element(const KvPages& kv, const uint8_t* head, int64_t token, int64_t e, bool values, float scale) {
  const uint8_t* row = head + token * kv.row_bytes;
  switch (kv.type) {
    case kKvF32: return reinterpret_cast<const float*>(row)[e];
    case kKvF16: return from_half(reinterpret_cast<const uint16_t*>(row)[e]);
    case kKvBF16: return from_bf16(reinterpret_cast<const uint16_t*>(row)[e]);
    default: {
      const float value = scale * static_cast<float>(reinterpret_cast<const int8_t*>(row)[e]);
      return values ? value : from_half(reinterpret_cast<const uint16_t*>(head + kv.centre)[e]) + value;
    }
  }
}

QW_DEVICE float row_scale(const KvPages& kv, const uint8_t* head, int64_t token) {
  return kv.type == kKvInt8 ? reinterpret_cast<const float*>(head + kv.scales)[token] : 1.f;
}

// Element e of a rotated head of 2 * half elements.
QW_DEVICE float rotated(const float* x, const float* rotation, int64_t half, int64_t e) {
  return e < half ? fma(x[e], rotation[e], -(x[half + e] * rotation[half + e])) : fma(x[e], rotation[e - half], x[e - half] * rotation[e]);
}

// Which of the query's rotations holds for a key.
QW_DEVICE int query_range(int query, int key, int chunk_length) {
  const int chunks = query / chunk_length - key / chunk_length;
  return chunks < kQueryRanges - 1 ? chunks : kQueryRanges - 1;
}

}  // namespace qw::cuda
