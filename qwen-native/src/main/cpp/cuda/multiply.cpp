#include "cuda/multiply.h"

namespace qw::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kLanes;
constexpr int kMostTokens = 8;

// What a warp does: its first row of the weights, the rows there are, and the first token among the results.
struct Place {
  const uint8_t* data;
  int64_t row;
  int64_t rows;
  int64_t column;  // of the results, of row 0
  int64_t result_row;
  int count;  // of tokens
};

template <int kTokens, int kRows>
QW_DEVICE Place place_of(const MultiplyArgs& args) {
  const int64_t row = (block_x() * kWarps + thread_index() / kLanes) * kRows;
  if (args.tiles == nullptr) {
    const int64_t first = block_y() * kTokens;
    const int64_t left = args.tokens - first;
    return {args.data, row, args.rows, 0, first, static_cast<int>(left < kTokens ? left : kTokens)};
  }
  const Tile& tile = args.tiles[block_y()];
  return {reinterpret_cast<const uint8_t*>(tile.data), row, tile.rows, tile.column, tile.first, tile.count};
}

// Row of x of a token of a place; beyond the last token the last one's, whose result is not kept. A buffer has less than 2^29 values.
QW_DEVICE int input_row(const MultiplyArgs& args, const Place& place, int t) {
  const int64_t row = place.result_row + (t < place.count ? t : place.count - 1);
  return args.picked == nullptr ? static_cast<int>(row) : args.picked[row];
}

template <int kTokens>
struct RowsOfIntegers {
  Integers in;
  int groups;
  int first[kTokens];  // group of each token
  QW_DEVICE GroupInput group(int set, int t, int g) const {
    const int64_t at = static_cast<int64_t>(set) * in.rows * groups + first[t] + g;
    const int16_t* sums = in.sum16 + 2 * at;
    return {read4(in.q + at * kGroup), read4(in.q + at * kGroup + 16), in.scale[at], sums[0], sums[1]};
  }
};

template <int kTokens, int kColumns>
struct RowsOfFloats {
  const float* x;
  int columns;
  int first[kTokens];  // element of each token
  QW_DEVICE Words4 four(int t, int piece, int half) const {
    const float* row = x + first[t];
    const int begin = piece * kColumns + 4 * half;
    if (columns % 4 == 0 && begin < columns) return read4(row + begin);
    uint32_t v[4];
    QW_UNROLL for (int i = 0; i < 4; i++) v[i] = begin + i < columns ? bits_of(row[begin + i]) : 0;
    return {v[0], v[1], v[2], v[3]};
  }
};

// 8 tokens take three addresses each: more registers than two blocks have.
template <int kType, int kTokens>
QW_KERNEL QW_LAUNCH_RESIDENT(kThreads, kTokens == kMostTokens && !kIsFloat<kType> ? 1 : 2) multiply_tiles(MultiplyArgs args) {
  using Shape = WarpShape<kType, kTokens, false>;
  constexpr int kRows = Shape::kRows;
  let_next_begin();
  wait_for_previous();
  const Place place = place_of<kTokens, kRows>(args);
  if (place.row >= place.rows) return;
  const uint8_t* rows[kRows];
  QW_UNROLL for (int r = 0; r < kRows; r++) {
    rows[r] = place.data + (place.row + r < place.rows ? place.row + r : place.rows - 1) * args.row_bytes;
  }
  float sums[kTokens * kRows];
  QW_UNROLL for (int i = 0; i < kTokens * kRows; i++) sums[i] = 0;
  const int columns = static_cast<int>(args.columns);
  if constexpr (kIsFloat<kType>) {
    RowsOfFloats<kTokens, kPieceColumns<kType>> inputs{args.x, columns, {}};
    QW_UNROLL for (int t = 0; t < kTokens; t++) inputs.first[t] = input_row(args, place, t) * columns;
    multiply_float_rows<kType, kTokens, kRows, Shape::kPieces>(rows, columns, inputs, sums);
  } else {
    RowsOfIntegers<kTokens> inputs{args.integers, columns / kGroup, {}};
    QW_UNROLL for (int t = 0; t < kTokens; t++) inputs.first[t] = input_row(args, place, t) * inputs.groups;
    multiply_integer_rows<kType, kTokens, kRows, Shape::kPieces>(rows, inputs.groups, args.integers.sets, inputs, sums);
  }
  Results results = args.results;
  results.y += place.result_row * results.y_stride + place.column;
  if (results.bias != nullptr) results.bias += place.column;
  write_sums<kTokens, kRows>(results, place.row, place.rows, place.count, sums);
}

template <int kTokens>
void launch_tiles(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles) {
  with_type(type, [&](auto t) {
    constexpr int kType = decltype(t)::value;
    const int64_t x = divide_up(rows, kWarps * WarpShape<kType, kTokens, false>::kRows);
    const Context& context = *backend.context;
    launch_early(context.stream, context.info.early, "multiply_tiles", multiply_tiles<kType, kTokens>, x, tiles, kThreads, 0, args);
  });
}

}  // namespace

int tile_tokens(int64_t tokens) { return tokens == 1 ? 1 : tokens <= 4 ? 4 : kMostTokens; }

void multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles, int tokens) {
  if (tokens == 1) return launch_tiles<1>(backend, type, args, rows, tiles);
  if (tokens == 4) return launch_tiles<4>(backend, type, args, rows, tiles);
  launch_tiles<kMostTokens>(backend, type, args, rows, tiles);
}

}  // namespace qw::cuda
