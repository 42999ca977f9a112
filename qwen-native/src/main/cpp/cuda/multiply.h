// Products of weights with tiles of tokens: what linear layers and experts share.
#pragma once

#include "cuda/formats.h"
#include "cuda/objects.h"

namespace qw::cuda {

constexpr int64_t kMostTiles = 65535;  // of a grid's second dimension

// Activations in integers: of a row, `groups` times 32 int8 values q with x = scale * q, and the sums of q of each 16. Where activations
// are fine a second set with what the first one leaves over follows.
struct Integers {
  int8_t* q;
  float* scale;
  int16_t* sum16;
  int sets;
  int64_t rows;  // of a set
};

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
  const float* bias;  // of the first row, or null
  float* y;           // of the first row
  int64_t y_stride;
  bool add;
  const Tile* tiles;      // or null: all rows are multiplied with all tokens
  const int32_t* picked;  // row of x for a row of the results, or null
};

// Rounds rows of activations in the order of columns `order` of a weight. They stay until the next call.
Integers quantize(Backend& backend, const Weight& w, int32_t order, const float* x, int64_t rows);
// Tokens of a tile: the least of 1, 4 and 8 that holds `tokens`, else 8.
int tile_tokens(int64_t tokens);
// rows: most of a tile; tiles: at most kMostTiles; tokens: of a tile, from tile_tokens
void multiply(Backend& backend, int32_t type, const MultiplyArgs& args, int64_t rows, int64_t tiles, int tokens);

}  // namespace qw::cuda
