// Products of weights with tiles of tokens, whose activations are read from the device's memory: for more tokens than a block has room for,
// and for the tokens of experts.
#pragma once

#include "cuda/objects.h"
#include "cuda/products.h"
#include "cuda/quantize.h"

namespace qw::cuda {

constexpr int64_t kMostTiles = 65535;  // of a grid's second dimension

// Tokens that are multiplied with rows of one expert.
struct Tile {
  int64_t data;  // address of the first row
  int32_t rows;
  int32_t column;  // of the results, of its first row
  int32_t first;   // row of the results, of the first token
  int32_t count;
};

struct MultiplyArgs {
  const uint8_t* data;
  int64_t row_bytes;
  int64_t rows;
  int64_t columns;
  int64_t tokens;
  const float* x;
  Integers integers;
  Results results;
  const Tile* tiles;      // or null: all rows are multiplied with all tokens
  const int32_t* picked;  // row of x for a row of the results, or null
};

// Tokens of a tile: the least of 1, 4 and 8 that holds `tokens`, else 8.
int tile_tokens(int64_t tokens);
// rows: most of a tile; tiles: at most kMostTiles; tokens: of a tile, from tile_tokens
void multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles, int tokens);

}  // namespace qw::cuda
