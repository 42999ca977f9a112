// Products of warps: y[t] = x[t] · wᵀ of 16-bit weights and activations, for any device. A block has a tile of weights (which are the rows of
// the small products, so that few tokens are no waste) and one of tokens, both 64 columns = 128 bytes wide. Copies of later tiles run while
// one is multiplied. In shared memory the 16-byte pieces of row r are stored in the order (piece ^ r % 8): eight rows of a column of pieces
// then lie in different banks, both when they are copied and when a warp loads its fragments.
#include <algorithm>

#include "cuda/formats.h"
#include "cuda/gemm.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace qw::cuda {
namespace {

constexpr int kRowBytes = 128;
constexpr int kPieces = kRowBytes / 16;
constexpr int kThreads = 128;
constexpr int64_t kSideBySide = 8;  // tiles of tokens that are computed side by side, see place_of

// kWarpRows x kWarpTokens warps. kBlocks of them must fit into a multiprocessor's registers.
template <int kTileRows, int kTileTokens, int kWarpsOfRows, int kWarpsOfTokens, int kCopies, int kResident>
struct Shape {
  static constexpr int kRows = kTileRows;
  static constexpr int kTokens = kTileTokens;
  static constexpr int kStages = kCopies;
  static constexpr int kBlocks = kResident;
  static constexpr int kWarpTokens = kWarpsOfTokens;
  static constexpr int kRowSteps = kRows / kWarpsOfRows / 16;       // small products of a warp
  static constexpr int kTokenSteps = kTokens / kWarpsOfTokens / 8;  // an even number: they are loaded in pairs
  static constexpr int kStageBytes = (kRows + kTokens) * kRowBytes;
  static constexpr int64_t kSharedBytes = int64_t{kStages} * kStageBytes;
  static_assert(kWarpsOfRows * kWarpsOfTokens * kLanes == kThreads && kTokenSteps % 2 == 0, "a block has four warps");
  static_assert(kSharedBytes <= 99 << 10, "compute capability 8.6 and 12.0 have 99 KB");
};

// Few tokens: their time is that of the weights' memory, of which two or three blocks ask for 40 KB each at a time.
using Tokens16 = Shape<64, 16, 4, 1, 6, 3>;
using Tokens32 = Shape<64, 32, 4, 1, 6, 3>;
using Tokens64 = Shape<64, 64, 2, 2, 4, 3>;
// Many: a warp multiplies 64 x 64 from fragments that are loaded once, as shared memory gives no more than 128 bytes a cycle.
using Rows128 = Shape<128, 64, 2, 2, 4, 2>;
using Square128 = Shape<128, 128, 2, 2, 3, 2>;

struct Args {
  const uint8_t* w;
  int64_t row_bytes;
  int64_t rows;
  int32_t pieces;  // of a row of w
  const uint16_t* x;
  int64_t x_stride;
  int64_t tokens;
  int32_t tiles_of_pass;  // of columns
  int32_t tiles;          // of all passes
  int32_t tiles_of_split;
  int64_t row_tiles;
  int64_t token_tiles;
  const float* scale;
  const float* bias;
  float* y;
  int64_t y_stride;
  bool add;
  float* parts;  // of each split its sums (tokens, rows), or null: they go to y
};

struct Place {
  int64_t rows, tokens;  // tiles
};

// Tiles of tokens in groups: blocks that run at a time share tokens and weights, and what they read stays in the cache.
QW_DEVICE Place place_of(int64_t index, int64_t row_tiles, int64_t token_tiles) {
  const int64_t group = index / (kSideBySide * row_tiles), first = group * kSideBySide;
  const int64_t count = token_tiles - first < kSideBySide ? token_tiles - first : kSideBySide, inside = index - first * row_tiles;
  return {inside / count, first + inside % count};
}

// Copies a tile's rows; thread i takes piece i % 8 of every 16th row from i / 8 on.
template <int kRows>
struct Copier {
  const uint8_t* from;
  int64_t step;  // bytes of 16 rows
  int64_t left;  // rows from the thread's first one to the last
  uint32_t to;
  int piece;

  QW_DEVICE Copier(const uint8_t* rows, int64_t row_bytes, int64_t count) {
    const int row = thread_index() / kPieces;
    piece = thread_index() % kPieces;
    from = rows + row * row_bytes + piece * 16;
    step = row_bytes * (kThreads / kPieces);
    left = count - row;
    to = static_cast<uint32_t>(row * kRowBytes + (piece ^ row % 8) * 16);
  }
  // pieces: of the rows from this tile on
  QW_DEVICE void copy(uint8_t* shared, int64_t offset, int pieces) const {
    QW_UNROLL
    for (int i = 0; i < kRows / (kThreads / kPieces); i++) {
      const int row = i * (kThreads / kPieces);
      copy_async(shared + to + row * kRowBytes, from + i * step + offset, row < left && piece < pieces);
    }
  }
};

template <class S, bool kHalf>
QW_KERNEL QW_LAUNCH_RESIDENT(kThreads, S::kBlocks) multiply_tiles(Args args) {
  uint8_t* shared = launch_shared();
  const int lane = lane_index(), warp = thread_index() / kLanes;
  const Place place = place_of(block_x(), args.row_tiles, args.token_tiles);
  const int64_t first_row = place.rows * S::kRows, first_token = place.tokens * S::kTokens;
  const Copier<S::kRows> weights(args.w + first_row * args.row_bytes, args.row_bytes, args.rows - first_row);
  const Copier<S::kTokens> inputs(reinterpret_cast<const uint8_t*>(args.x + first_token * args.x_stride), args.x_stride * 2,
                                  args.tokens - first_token);
  const int begin = static_cast<int>(block_z()) * args.tiles_of_split;
  const int end = begin + args.tiles_of_split < args.tiles ? begin + args.tiles_of_split : args.tiles;
  const auto copy = [&](int tile) {
    if (tile < end) {
      uint8_t* stage = shared + (tile - begin) % S::kStages * S::kStageBytes;
      // The second pass multiplies the same weights.
      const int of_w = tile < args.tiles_of_pass ? tile : tile - args.tiles_of_pass;
      weights.copy(stage, int64_t{of_w} * kRowBytes, args.pieces - of_w * kPieces);
      inputs.copy(stage + S::kRows * kRowBytes, int64_t{tile} * kRowBytes, kPieces);
    }
    end_copies();
  };
  QW_UNROLL
  for (int i = 0; i < S::kStages - 1; i++) copy(begin + i);

  float sums[S::kRowSteps][S::kTokenSteps][4];
  QW_UNROLL
  for (int i = 0; i < S::kRowSteps; i++) {
    QW_UNROLL
    for (int j = 0; j < S::kTokenSteps; j++) {
      QW_UNROLL
      for (int e = 0; e < 4; e++) sums[i][j][e] = 0;
    }
  }
  const int warp_row = warp / S::kWarpTokens * S::kRowSteps * 16, warp_token = warp % S::kWarpTokens * S::kTokenSteps * 8;
  // Lanes 8 i .. 8 i + 7 name rows of matrix i: of weights rows 0 and 8 of the lower columns, then of the upper ones; of tokens the two
  // halves of the columns of 8 tokens, then of the next 8.
  const int matrix = lane / 8, line = lane % 8;
  const int w_row = (warp_row + matrix % 2 * 8 + line) * kRowBytes, w_piece = matrix / 2;
  const int x_row = (S::kRows + warp_token + matrix / 2 * 8 + line) * kRowBytes, x_piece = matrix % 2;
  uint32_t a[2][S::kRowSteps][4], b[2][S::kTokenSteps / 2][4];
  const auto load = [&](const uint8_t* stage, int step, int to) {
    const uint8_t* w = stage + w_row + ((2 * step + w_piece) ^ line) * 16;
    const uint8_t* x = stage + x_row + ((2 * step + x_piece) ^ line) * 16;
    QW_UNROLL
    for (int i = 0; i < S::kRowSteps; i++) load_matrices(a[to][i], w + i * 16 * kRowBytes);
    QW_UNROLL
    for (int j = 0; j < S::kTokenSteps / 2; j++) load_matrices(b[to][j], x + j * 16 * kRowBytes);
  };
  for (int tile = begin; tile < end; tile++) {
    wait_copies<S::kStages - 2>();
    // Behind it all threads see the tile, and have read the one that is overwritten next.
    barrier();
    copy(tile + S::kStages - 1);
    const uint8_t* stage = shared + (tile - begin) % S::kStages * S::kStageBytes;
    load(stage, 0, 0);
    QW_UNROLL
    for (int step = 0; step < kGemmColumns / 16; step++) {
      if (step + 1 < kGemmColumns / 16) load(stage, step + 1, (step + 1) % 2);
      QW_UNROLL
      for (int i = 0; i < S::kRowSteps; i++) {
        QW_UNROLL
        for (int j = 0; j < S::kTokenSteps; j++) {
          const uint32_t(&pairs)[4] = b[step % 2][j / 2];
          const uint32_t pair[2] = {pairs[j % 2 * 2], pairs[j % 2 * 2 + 1]};
          if constexpr (kHalf) {
            multiply_half(sums[i][j], a[step % 2][i], pair);
          } else {
            multiply_bf16(sums[i][j], a[step % 2][i], pair);
          }
        }
      }
    }
  }

  float* to = args.parts != nullptr ? args.parts + block_z() * args.tokens * args.rows : args.y;
  const int64_t stride = args.parts != nullptr ? args.rows : args.y_stride;
  QW_UNROLL
  for (int j = 0; j < S::kTokenSteps; j++) {
    QW_UNROLL
    for (int e = 0; e < 4; e++) {
      const int64_t token = first_token + warp_token + j * 8 + lane % 4 * 2 + e % 2;
      if (token >= args.tokens) continue;
      const float scale = args.scale == nullptr ? 1.f : args.scale[token];
      QW_UNROLL
      for (int i = 0; i < S::kRowSteps; i++) {
        const int64_t row = first_row + warp_row + i * 16 + e / 2 * 8 + lane / 4;
        if (row >= args.rows) continue;
        const float sum = sums[i][j][e] * scale;
        float* y = to + token * stride + row;
        *y = args.parts != nullptr ? sum : args.add ? *y + sum : args.bias != nullptr ? args.bias[row] + sum : sum;
      }
    }
  }
}

constexpr int kAddThreads = 256;

// The sums of all splits, in their order.
QW_KERNEL QW_LAUNCH_BOUNDS(kAddThreads) add_splits(Args args, int splits) {
  const int64_t at = block_x() * kAddThreads + thread_index(), all = args.tokens * args.rows;
  if (at >= all) return;
  float sum = args.parts[at];
  for (int s = 1; s < splits; s++) sum += args.parts[s * all + at];
  const int64_t row = at % args.rows;
  float* y = args.y + at / args.rows * args.y_stride + row;
  *y = args.add ? *y + sum : args.bias != nullptr ? args.bias[row] + sum : sum;
}

template <class S, bool kHalf>
void launch_tiles(Backend& backend, Args args, int splits) {
  args.row_tiles = divide_up(args.rows, S::kRows);
  args.token_tiles = divide_up(args.tokens, S::kTokens);
  const Stream& stream = backend.context->stream;
  launch_sharing(stream, "multiply_tiles", multiply_tiles<S, kHalf>, args.row_tiles * args.token_tiles, 1, splits, kThreads, S::kSharedBytes, args);
  if (splits > 1) launch(stream, "add_splits", add_splits, divide_up(args.tokens * args.rows, kAddThreads), 1, 1, kAddThreads, args, splits);
}

template <bool kHalf>
void launch_tile(Backend& backend, int tile, const Args& args, int splits) {
  switch (tile) {
    case 0: return launch_tiles<Tokens16, kHalf>(backend, args, splits);
    case 1: return launch_tiles<Tokens32, kHalf>(backend, args, splits);
    case 2: return launch_tiles<Tokens64, kHalf>(backend, args, splits);
    case 3: return launch_tiles<Rows128, kHalf>(backend, args, splits);
    default: return launch_tiles<Square128, kHalf>(backend, args, splits);
  }
}

struct Choice {
  int tile;
  int splits;
};

// The largest tile of which every processor gets one. Where even the smallest are too few, columns are split, into parts of at least four
// tiles. The number of splits is the same for all numbers of tokens up to the next power of two.
Choice choose(int64_t tokens, int64_t rows, int64_t tiles, int64_t processors) {
  int64_t most = 16;
  while (most < tokens) most *= 2;
  // Few tokens wait for memory and want more blocks; beside one of many there is no room for a second.
  const int64_t wanted = most <= 64 ? 2 * processors : processors;
  const int64_t smallest = divide_up(rows, 64) * divide_up(most, 64);
  const int64_t splits = std::max<int64_t>(1, std::min({wanted / smallest, tiles / 4, int64_t{16}}));
  if (tokens <= 16) return {0, static_cast<int>(splits)};
  if (tokens <= 32) return {1, static_cast<int>(splits)};
  const auto fills = [&](int64_t of_rows, int64_t of_tokens) { return divide_up(rows, of_rows) * divide_up(tokens, of_tokens) * splits >= processors; };
  if (tokens > 64 && fills(128, 128)) return {4, static_cast<int>(splits)};
  return {fills(128, 64) ? 3 : 2, static_cast<int>(splits)};
}

}  // namespace

void multiply_mma(Backend& backend, const GemmActivations& x, const GemmProduct& product) {
  const int32_t tiles = x.passes * x.tiles;
  Choice choice = choose(x.tokens, product.rows, tiles, backend.context->info.processors);
  if (backend.gemm_order.tile >= 0) choice.tile = backend.gemm_order.tile;
  if (backend.gemm_order.splits > 0) choice.splits = backend.gemm_order.splits;
  Args args{};
  args.w = product.data;
  args.row_bytes = product.row_bytes;
  args.rows = product.rows;
  args.pieces = static_cast<int32_t>(divide_up(product.columns, 8));
  args.x = x.values;
  args.x_stride = x.stride();
  args.tokens = x.tokens;
  args.tiles_of_pass = x.tiles;
  args.tiles = tiles;
  args.tiles_of_split = static_cast<int32_t>(divide_up(tiles, choice.splits));
  args.scale = x.scale;
  args.bias = product.bias;
  args.y = product.y;
  args.y_stride = product.y_stride;
  args.add = product.add;
  // None of the splits is empty.
  const int splits = static_cast<int>(divide_up(tiles, args.tiles_of_split));
  if (splits > 1) {
    backend.gemm_parts.grow(backend.context, times(times(times(x.tokens, product.rows), splits), 4));
    args.parts = reinterpret_cast<float*>(backend.gemm_parts.data());
  }
  if (product.type == kF16) return launch_tile<true>(backend, choice.tile, args, splits);
  launch_tile<false>(backend, choice.tile, args, splits);
}

}  // namespace qw::cuda
