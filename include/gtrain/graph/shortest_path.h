// One shortest path for every ordered pair of nodes, kept as a single number: a node strictly
// inside the path. The path from i to j is the path from i to that node followed by the path from
// there to j, so N² numbers hold paths of any length. By hops, along the edges' direction; lengths
// are graph/hop_distance.h.
//
// Cost: breadth-first ties O(N (N + E)) time, parallel over sources; relaxation O(N³). N² numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

// Which of several shortest paths is taken.
enum class PathTie {
  // Last step from the smallest node one hop nearer to i. The library's own rule.
  kSmallest,
  // First found by a breadth-first search from i that follows edges in the order of `edge`.
  kSearch,
  // The path whose largest inner node is smallest, and so on in both its halves: what the last
  // relaxation of Floyd and Warshall's algorithm leaves.
  kRelaxation,
};

inline constexpr std::int32_t kNoInnerNode = -1;

// out, row-major [N, N]: an inner node of the path from i to j, kNoInnerNode where the path is one
// edge or none (j = i, j out of reach). Throws base::DataError when `out` has not N*N numbers.
void inner_nodes(const Csr& graph, PathTie tie, std::span<std::int32_t> out);

// The nodes from i to j, both included, that `inner` [n, n] stands for. Throws base::DataError
// where it does not come to an end.
std::vector<Id> path_nodes(std::span<const std::int32_t> inner, Id n, Id i, Id j);

}  // namespace gtrain::graph
