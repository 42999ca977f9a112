// Columns of a matrix that are stored in another order, as a quantizer with act order leaves them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/status.h"

namespace qw {

// The column of the input that each stored column belongs to; empty if each to its own.
using ColumnOrder = std::vector<int32_t>;

// The number of an order among those of a weight, where it is put unless it is there: parts of a matrix mostly share one. null: none.
inline int32_t order_number(std::vector<ColumnOrder>& orders, int64_t columns, const int32_t* order) {
  ColumnOrder found;
  if (order != nullptr) {
    found.assign(order, order + columns);
    std::vector<bool> seen(found.size());
    for (const int32_t c : found) {
      require(c >= 0 && c < columns && !seen[static_cast<size_t>(c)], "the order of columns is no permutation");
      seen[static_cast<size_t>(c)] = true;
    }
  }
  const auto at = std::find(orders.begin(), orders.end(), found);
  const int32_t number = static_cast<int32_t>(at - orders.begin());
  if (at == orders.end()) orders.push_back(std::move(found));
  return number;
}

}  // namespace qw
