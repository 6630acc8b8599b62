// From one inner node per pair (graph/shortest_path.h) to the lists that Graphormer's path-edge
// bias sums: which rows of a per-hop table belong to each ordered pair of rows of a graph. Nothing
// of size n² x hops x heads is made, only one int64 per edge of a path, for the batch at hand.
// Built on the CPU, O(edges of all paths).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::nn {

// The pairs of a batch: graph g owns pairs of its n nodes, row-major, after those of the graphs
// before it; P = Σn².
struct PairInput {
  at::Tensor graph_start;  // int64 [G+1], CPU
  at::Tensor hops;         // uint8 [P]; 255: out of reach
  at::Tensor inner;        // int64 [P], local to the graph; -1: no inner node
  at::Tensor source;       // int64 [E], edges sorted by (target, source)
  at::Tensor target;       // int64 [E]
  at::Tensor edge;         // int64 [E, F]
};

// Rows 0 and 1 of a hop's block of `codes` rows stand for no edge (padding) and for a step between
// nodes without an edge; edge e is row code[e]. Row of code c at hop k: k codes + c. After the
// blocks of all `hops`, row blocks·codes + l is the padding of hops l and up.
struct PathShape {
  std::int64_t hops = 1;    // edges of a path that count
  std::int64_t blocks = 1;  // hops that have a block, at least `hops`
  std::int64_t codes = 2;
  std::int64_t padded = 0;       // pairs are padded up to this hop; 0: not at all
  std::int64_t unreachable = 1;  // divisor of pairs without a path
  bool single = false;           // the edge between both nodes, whatever the path
  bool token = false;            // a token in front of each graph's nodes: (n+1)² pairs
};

// Pair p sums rows row[start[p]] … row[start[p+1]], times scale[p].
struct PairPath {
  at::Tensor start;  // int64 [P'+1]
  at::Tensor row;    // int64 [Q]
  at::Tensor scale;  // double [P']: 1 / length
};

PairPath pair_path(const PairInput& input, const at::Tensor& code, const PathShape& shape);

// Hops to which a batch's longest path goes, `most` at most; `most` where a pair is out of reach.
std::int64_t longest_path(const at::Tensor& hops, std::int64_t most);

}  // namespace gtrain::nn
