// Where the n x n numbers of each graph begin in a column per ordered pair of nodes (Per::kPair).
#pragma once

#include <cstdint>
#include <vector>

#include "gtrain/data/dataset.h"

namespace gtrain::data {

// Running sums of n² over the graphs of the data set: [G+1]. Throws base::DataError where they do
// not fit 64 bits. Cost: O(G).
std::vector<std::int64_t> square_starts(const Dataset& dataset);

}  // namespace gtrain::data
