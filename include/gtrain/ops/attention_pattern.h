// Which pairs (row i attends to column j) attention runs over: either every pair inside each graph
// of a packed batch, or an explicit list of pairs in CSR with its transpose, each pair with an
// optional type. Built once per batch or graph, then shared by every layer, forward and backward.
// A pattern holds no weights and no features.
//
// Builders keep a packed batch block-diagonal: no pair crosses a graph of `graph_start`, int64
// [G+1] on the CPU. Rows and columns are node numbers of the batch. They run on oneTBB; the result
// is the same for any thread count. What is random is a function of the seed, the graph's id and
// the node's number inside its graph, so packing a graph with others changes nothing.
//
// Errors: c10::Error with shapes, found and expected. Cost: linear in the pairs built.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/ops/edge_index.h"

namespace gtrain::ops {

// N rows (queries), M columns (keys), P pairs. Columns of a row ascend when a builder made them;
// patterns from elsewhere may repeat and permute them.
struct AttentionPattern {
  at::Tensor graph_start;  // int64 [G+1], CPU: the nodes of each graph
  // Undefined in the pattern of all pairs:
  at::Tensor row_start;     // int64 [N+1]
  at::Tensor column;        // int32 [P]
  at::Tensor type;          // uint8 [P], or undefined: every pair has type 0
  at::Tensor column_start;  // int64 [M+1]: the transpose
  at::Tensor row;           // int32 [P], ascending inside a column
  at::Tensor pair;          // int64 [P]: CSR number of each transposed pair
  std::int64_t types = 1;   // types there may be, all < types

  bool full() const { return !row_start.defined(); }
  std::int64_t graphs() const { return graph_start.size(0) - 1; }
  std::int64_t rows() const;
  std::int64_t columns() const;
  std::int64_t pairs() const;
};

// From CSR arrays as above; builds the transpose (stable counting sort). `columns`: M. `types`: how
// many there are; 0: one more than the largest.
AttentionPattern csr_pattern(const at::Tensor& graph_start, const at::Tensor& row_start,
                             const at::Tensor& column, std::int64_t columns,
                             const at::Tensor& type = {}, std::int64_t types = 0);

// From pairs in any order, int64 or int32 [P]; sorted by (row, column), repeats kept in their
// order.
AttentionPattern pair_pattern(const at::Tensor& graph_start, const at::Tensor& row,
                              const at::Tensor& column, std::int64_t rows, std::int64_t columns,
                              const at::Tensor& type = {}, std::int64_t types = 0);

// All pairs inside each graph, never listed (varlen_attention).
AttentionPattern full_pattern(const at::Tensor& graph_start);
// The pairs of `pattern` listed: any CSR op then runs on a full pattern, too.
AttentionPattern listed(const AttentionPattern& pattern);

// Row i attends to the sources of the edges into i, in the order of `edges`; so pair p is edge p
// when `self` is off. With `self` i attends to itself, too, once: its self loop, where it has one.
struct NeighbourOptions {
  bool self = false;
};
AttentionPattern neighbour_pattern(const at::Tensor& graph_start, const EdgeIndex& edges,
                                   const NeighbourOptions& options = {});

// Row i attends to every j from which a walk of 1 to `hops` edges leads to i, each once. The type
// of a pair is its hop distance; i itself has type 0 where `self` asks for it, else it is left out.
struct KHopOptions {
  std::int64_t hops = 2;
  bool self = true;
};
AttentionPattern k_hop_pattern(const at::Tensor& graph_start, const EdgeIndex& edges,
                               const KHopOptions& options = {});

// Sliding window over the node numbers (Longformer's, on a mesh numbered along its shape): row i
// attends to i + s · dilation for s = -width .. width that lie in its graph.
struct WindowOptions {
  std::int64_t width = 4;
  std::int64_t dilation = 1;
  bool self = true;
};
AttentionPattern window_pattern(const at::Tensor& graph_start, const WindowOptions& options = {});

// Row i attends to `degree` other nodes of its graph, drawn evenly without repeats (all n - 1 in a
// graph that has no more). `graph_id`: int64 [G] telling the graphs' random streams apart;
// undefined: all graphs draw alike.
struct RandomPairOptions {
  std::int64_t degree = 4;
  std::uint64_t seed = 0;
  at::Tensor graph_id = {};
};
AttentionPattern random_pattern(const at::Tensor& graph_start,
                                const RandomPairOptions& options = {});

// Random regular expander (Shirzad et al. 2023, Exphormer): the union of `degree` random
// permutations π of each graph, i <-> π(i) both ways; kHamiltonian: of `degree` random Hamiltonian
// cycles. Self loops and repeats are dropped, so a node has at most 2 · degree partners.
enum class ExpanderKind { kPermutation, kHamiltonian };
struct ExpanderOptions {
  std::int64_t degree = 3;
  ExpanderKind kind = ExpanderKind::kPermutation;
  std::uint64_t seed = 0;
  at::Tensor graph_id = {};
};
AttentionPattern expander_pattern(const at::Tensor& graph_start,
                                  const ExpanderOptions& options = {});

// The first `count` nodes of each graph attend to all nodes of their graph and are attended to by
// all of them (type 0: a global node's row, type 1: its column). No pair (i, i).
struct GlobalOptions {
  std::int64_t count = 1;
};
AttentionPattern global_pattern(const at::Tensor& graph_start, const GlobalOptions& options = {});

// `count` extra nodes per graph behind the N real ones: number v of graph g is row and column
// N + g · count + v. It attends to the nodes of its graph (type 0), they attend to it (type 1).
struct VirtualOptions {
  std::int64_t count = 1;
};
AttentionPattern virtual_pattern(const at::Tensor& graph_start, const VirtualOptions& options = {});

// Every pair of any part, once, columns ascending; rows and columns are those of the largest part.
// The type is the part's offset (the types of the parts before it) + the pair's type in it, so
// types of different parts never meet; a pair of several parts takes the first part that has it
// (and, where a part repeats it, its first entry there).
AttentionPattern union_pattern(const std::vector<AttentionPattern>& parts);

// The `m` pairs of each row with the largest scores [P] (ties: the earlier pair; NaN last), in
// their order; rows with no more than m pairs keep all. Types stay.
AttentionPattern top_m_pattern(const AttentionPattern& pattern, const at::Tensor& scores,
                               std::int64_t m);

// The table behind `gtrain list patterns`.
struct PatternListing {
  std::string name;     // as a recipe writes it
  std::string options;  // "hops = 2, self = true"
  std::string doc;      // one line
};
const std::vector<PatternListing>& pattern_catalog();

}  // namespace gtrain::ops
