// Shortest-path distances in hops, by breadth-first search along the edges' direction. Not weighted
// (use a BglView with Dijkstra for that) and no paths, only lengths.
//
// Cost: one search O(N + E); all pairs O(N (N + E)) time, parallel over sources, N² bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

inline constexpr Id kUnreachable = -1;
inline constexpr std::uint8_t kUnreachableByte = 255;

// Hops from every node to `target` [N], kUnreachable where no path leads there. Walks the rows as
// they are stored. Throws base::DataError when `target` is no node.
std::vector<Id> hops_to(const Csr& graph, Id target);

// Hops from `source` to every node [N]; transposes the graph first.
std::vector<Id> hops_from(const Csr& graph, Id source);

// All pairs into `out`, row-major [N, N]: out[i*N + j] = min(hops from i to j, cap), or
// kUnreachableByte. cap in [1, 254]. Throws base::DataError when `out` has not N*N bytes.
void hop_matrix(const Csr& graph, std::uint8_t cap, std::span<std::uint8_t> out);

}  // namespace gtrain::graph
