// The work list of varlen attention, built on the host once per batch: one item is a tile of rows
// of one graph, the longest graphs first, so that what starts last ends soon.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace gtrain::ops::cuda {

struct VarlenItem {
  std::int32_t graph = 0;
  std::int32_t first = 0;  // row inside the graph
};

// Rows a block takes, by the largest graph: a warp has 16 of them.
inline int varlen_tile_rows(std::int64_t longest) {
  return longest <= 16 ? 16 : longest <= 64 ? 32 : 64;
}

inline std::vector<VarlenItem> varlen_items(const std::int64_t* graph_start, std::int64_t graphs,
                                            int tile_rows) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(graphs));
  for (std::int64_t g = 0; g < graphs; ++g) {
    order[static_cast<std::size_t>(g)] = static_cast<std::int32_t>(g);
  }
  const auto nodes = [&](std::int32_t g) { return graph_start[g + 1] - graph_start[g]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return nodes(a) > nodes(b); });
  std::vector<VarlenItem> items;
  for (const std::int32_t g : order) {
    for (std::int64_t first = 0; first < nodes(g); first += tile_rows) {
      items.push_back({g, static_cast<std::int32_t>(first)});
    }
  }
  return items;
}

}  // namespace gtrain::ops::cuda
