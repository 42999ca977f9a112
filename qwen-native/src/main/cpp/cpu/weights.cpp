#include <algorithm>

#include "cpu/ops.h"

namespace qw {
namespace {

struct Block {
  int64_t values;
  int64_t bytes;
};

// Blocks of the file formats, in the order of WeightType.
constexpr Block kBlocks[kWeightTypes] = {{1, 4},     {1, 2},     {1, 2},     {32, 18},   {32, 20},   {32, 22},  {32, 24}, {32, 34},
                                         {256, 84},  {256, 110}, {256, 144}, {256, 176}, {256, 210}, {32, 18}, {256, 136},
                                         {32, 19},   {128, 67},  {32, 35},   {128, 131}};

const WeightFormat& format_of(const Backend& backend, int32_t type) {
  require(type >= 0 && type < kWeightTypes, "unknown weight type");
  const WeightFormat* format = backend.table.formats[type];
  if (format == nullptr) throw Failure(kUnsupported, "the native kernels do not know this weight type");
  return *format;
}

int64_t panels_of(int64_t rows) { return plus(rows, kPanelRows - 1) / kPanelRows; }

}  // namespace

int64_t segment_bytes(const Backend& backend, int32_t type, int64_t rows, int64_t columns) {
  const WeightFormat& format = format_of(backend, type);
  require(rows >= 1 && columns >= 1 && columns <= INT32_MAX, "a matrix has at least one row and one column");
  require(columns % kBlocks[type].values == 0, "a row is not a whole number of blocks");
  return times(panels_of(rows), format.panel_bytes(columns));
}

void add_segment(const Backend& backend, Weight& weight, int32_t type, int64_t rows, const int32_t* order, Arena& arena) {
  const int64_t bytes = segment_bytes(backend, type, rows, weight.columns);
  Segment segment;
  segment.format = &format_of(backend, type);
  require(order == nullptr || segment.format->integer, "only quantized weights have columns in another order");
  segment.first_row = weight.rows;
  segment.rows = rows;
  segment.panels = panels_of(rows);
  segment.panel_bytes = segment.format->panel_bytes(weight.columns);
  segment.file_row_bytes = times(weight.columns / kBlocks[type].values, kBlocks[type].bytes);
  const int64_t total = plus(weight.rows, rows);
  require(total <= INT32_MAX, "a matrix has at most 2^31 - 1 rows");
  require(bytes <= arena.memory->bytes() - arena.used, "the arena has no room for the segment");
  segment.memory = {arena.memory, arena.memory->data() + arena.used};
  segment.order = order_number(weight.orders, weight.columns, order);
  arena.used += bytes;
  weight.segments.push_back(std::move(segment));
  weight.rows = total;
}

void pack_rows(const Weight& weight, int64_t index, int64_t first_row, int64_t rows, const uint8_t* data, int64_t bytes) {
  require(index >= 0 && index < static_cast<int64_t>(weight.segments.size()) && data != nullptr, "nothing to pack");
  const Segment& segment = weight.segments[static_cast<size_t>(index)];
  require(first_row >= 0 && first_row % kPanelRows == 0 && rows >= 1 && rows <= segment.rows - first_row, "rows outside the segment");
  require(rows % kPanelRows == 0 || first_row + rows == segment.rows, "only the last panel may be incomplete");
  require(times(rows, segment.file_row_bytes) == bytes, "the rows have another size");
  uint8_t* panel = segment.memory.data() + first_row / kPanelRows * segment.panel_bytes;
  for (int64_t row = 0; row < rows; row += kPanelRows, panel += segment.panel_bytes) {
    segment.format->pack(data + row * segment.file_row_bytes, std::min(kPanelRows, rows - row), weight.columns, panel);
  }
}

}  // namespace qw
