// Products of rows of weights with activations, by a warp: what the kernels for few tokens and those for tiles of tokens share. Each lane
// takes every 32nd piece of a row, in the same order whatever is computed beside it, and the lanes' sums are added in one order. So an output
// has the same bits in all of these kernels.
#pragma once

#include "cuda/formats.h"

namespace qw::cuda {

// 16 bytes of integers of a group and their twin, the group's scale, and the sums of both.
struct GroupInput {
  Words4 low, high;
  float scale;
  int low_sum, high_sum;
};

template <int kType>
QW_DEVICE float add_group(const Decoded& d, const GroupInput& x, float sum) {
  using F = Format<kType>;
  int low = dot4(d.words[0], x.low.x, dot4(d.words[1], x.low.y, dot4(d.words[2], x.low.z, dot4(d.words[3], x.low.w, 0))));
  const int high = dot4(d.words[4], x.high.x, dot4(d.words[5], x.high.y, dot4(d.words[6], x.high.z, dot4(d.words[7], x.high.w, 0))));
  if constexpr (F::kHalves) {
    sum = fma(d.scale[0] * x.scale, static_cast<float>(low), sum);
    sum = fma(d.scale[1] * x.scale, static_cast<float>(high), sum);
  } else {
    low += high;
    sum = fma(d.scale[0] * x.scale, static_cast<float>(low), sum);
  }
  if constexpr (F::kOffset) {
    if constexpr (F::kHalves) {
      sum = fma(d.offset[0] * x.scale, static_cast<float>(x.low_sum), sum);
      sum = fma(d.offset[1] * x.scale, static_cast<float>(x.high_sum), sum);
    } else {
      sum = fma(d.offset[0] * x.scale, static_cast<float>(x.low_sum + x.high_sum), sum);
    }
  }
  return sum;
}

template <int kType>
QW_DEVICE void decode_floats(const Words4& v, float* values) {
  const uint32_t words[4] = {v.x, v.y, v.z, v.w};
  QW_UNROLL for (int i = 0; i < kPieceColumns<kType>; i++) {
    if constexpr (kType == kF32) values[i] = float_of(words[i]);
    if constexpr (kType == kF16) values[i] = from_half(static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2)));
    if constexpr (kType == kBF16) values[i] = float_of(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
  }
}

// How many rows of weights a warp multiplies with so many tokens at once, and how many pieces (groups, or 16 bytes of floats) of each row a
// lane has on their way before it multiplies. A processor has to have 22 KB on their way to use all of an H200's bandwidth; two blocks of 8
// warps have 32 KB where each lane loads 64 bytes. Rows share what is read of activations: 8 tokens of two rows of 4-bit weights would
// take 143 bytes a cycle of shared memory at full bandwidth, of which there are 128; those of four rows take 71. Where they are read with
// addresses of 64 bits, more than two rows would spill registers.
template <int kType, int kTokens, bool kShared>
struct WarpShape {
  static constexpr int kRows = kTokens == 1 || !kShared ? 2 : 4;
  static constexpr int pieces() {
    if constexpr (kIsFloat<kType>) {
      return kTokens == 1 ? 4 : 4 / kRows;
    } else {
      using F = Format<kType>;
      if (!kShared) return kTokens == 8 || F::kCode == 32 ? 1 : 2;
      if (kTokens > 1) return F::kCode == 8 ? 2 : 1;
      return F::kCode == 32 || F::kOffset || F::kHigh != 0 ? 2 : 4;
    }
  }
  static constexpr int kPieces = pieces();
};

// sums[t * kRows + r] += the lane's part of row r times token t.
template <int kType, int kTokens, int kRows, int kPieces, class Inputs>
QW_DEVICE void multiply_integer_rows(const uint8_t* const (&rows)[kRows], int groups, int sets, const Inputs& inputs,
                                     float (&sums)[kTokens * kRows]) {
  const RowPlaces<kType> places(groups);
  for (int first = lane_index(); first < groups; first += kPieces * kLanes) {
    LoadedGroup<kType> loaded[kPieces][kRows];
    QW_UNROLL for (int u = 0; u < kPieces; u++) {
      // Beyond the end the last one again, without a branch between loads.
      const int group = first + u * kLanes < groups ? first + u * kLanes : groups - 1;
      QW_UNROLL for (int r = 0; r < kRows; r++) load_group<kType>(rows[r], places, group, loaded[u][r]);
    }
    QW_UNROLL for (int u = 0; u < kPieces; u++) {
      const int group = first + u * kLanes;
      if (group >= groups) break;
      Decoded d[kRows];
      QW_UNROLL for (int r = 0; r < kRows; r++) decode<kType>(loaded[u][r], d[r]);
      for (int set = 0; set < sets; set++) {
        QW_UNROLL for (int t = 0; t < kTokens; t++) {
          const GroupInput x = inputs.group(set, t, group);
          QW_UNROLL for (int r = 0; r < kRows; r++) sums[t * kRows + r] = add_group<kType>(d[r], x, sums[t * kRows + r]);
        }
      }
    }
  }
}

template <int kType, int kTokens, int kRows, int kPieces, class Inputs>
QW_DEVICE void multiply_float_rows(const uint8_t* const (&rows)[kRows], int columns, const Inputs& inputs, float (&sums)[kTokens * kRows]) {
  constexpr int kColumns = kPieceColumns<kType>;
  const int pieces = (columns + kColumns - 1) / kColumns;
  for (int first = lane_index(); first < pieces; first += kPieces * kLanes) {
    Words4 loaded[kPieces][kRows];
    QW_UNROLL for (int u = 0; u < kPieces; u++) {
      const int64_t piece = first + u * kLanes < pieces ? first + u * kLanes : pieces - 1;
      QW_UNROLL for (int r = 0; r < kRows; r++) loaded[u][r] = load4_once(rows[r] + piece * 16);
    }
    QW_UNROLL for (int u = 0; u < kPieces; u++) {
      const int piece = first + u * kLanes;
      if (piece >= pieces) break;
      float w[kRows][kColumns];
      QW_UNROLL for (int r = 0; r < kRows; r++) decode_floats<kType>(loaded[u][r], w[r]);
      QW_UNROLL for (int t = 0; t < kTokens; t++) {
        QW_UNROLL for (int half = 0; half < kColumns / 4; half++) {
          // Zeros beyond the last column, as in the weights.
          const Words4 x = inputs.four(t, piece, half);
          QW_UNROLL for (int r = 0; r < kRows; r++) {
            float& sum = sums[t * kRows + r];
            sum = fma(w[r][4 * half], float_of(x.x), sum);
            sum = fma(w[r][4 * half + 1], float_of(x.y), sum);
            sum = fma(w[r][4 * half + 2], float_of(x.z), sum);
            sum = fma(w[r][4 * half + 3], float_of(x.w), sum);
          }
        }
      }
    }
  }
}

// Adds kValues sums over all lanes, each as sum_of_lanes does, and returns sum `lane / (32 / kValues)`: at each step a lane gives away the
// half of its sums that lanes on the other side keep, which takes 31 exchanges for 32 sums instead of 160.
template <int kValues, int kMask = kLanes / 2>
QW_DEVICE float spread_sums(float* values) {
  if constexpr (kValues == 1) {
    float sum = values[0];
    QW_UNROLL for (int mask = kMask; mask > 0; mask /= 2) sum += exchange(sum, mask);
    return sum;
  } else {
    constexpr int kHalf = kValues / 2;
    const bool upper = (lane_index() & kMask) != 0;
    QW_UNROLL for (int i = 0; i < kHalf; i++) {
      const float keep = upper ? values[kHalf + i] : values[i], give = upper ? values[i] : values[kHalf + i];
      values[i] = keep + exchange(give, kMask);
    }
    return spread_sums<kHalf, kMask / 2>(values);
  }
}

// Where products go: the first row of weights and the first token.
struct Results {
  const float* bias;  // of the first row, or null
  float* y;           // of the first row and token
  int64_t y_stride;
  bool add;  // to what is there
};

// The lanes write the sums of kRows rows from `row` on, as far as there are rows and tokens.
template <int kTokens, int kRows>
QW_DEVICE void write_sums(const Results& results, int64_t row, int64_t rows, int count, float (&sums)[kTokens * kRows]) {
  constexpr int kLanesOfSum = kLanes / (kTokens * kRows);
  const float sum = spread_sums<kTokens * kRows>(sums);
  const int index = lane_index() / kLanesOfSum, t = index / kRows;
  row += index % kRows;
  if (lane_index() % kLanesOfSum != 0 || t >= count || row >= rows) return;
  float* to = results.y + t * results.y_stride + row;
  *to = results.add ? *to + sum : results.bias != nullptr ? results.bias[row] + sum : sum;
}

}  // namespace qw::cuda
