// A graph in compressed sparse row form, stored by DESTINATION: row i lists the sources j of the
// edges j -> i, so one row holds what node i aggregates. Knows nothing of features or tensors;
// `edge` remembers which input edge each entry came from, so features can follow.
//
//   start  int64 [N+1]  row boundaries, start[0] = 0, monotone, start[N] = E
//   source int64 [E]    ids in [0, N); ascending within a row after `build`
//   edge   int64 [E]    position of the entry in the list it was built from
//
// Self loops and repeated edges are kept unless deduplicated. Cost of build: O(N + E) memory,
// counting sort, parallel over edges and rows; the result does not depend on the thread count.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gtrain::graph {

using Id = std::int64_t;

struct Csr {
  std::vector<Id> start{0};
  std::vector<Id> source;
  std::vector<Id> edge;

  Id nodes() const { return static_cast<Id>(start.size()) - 1; }
  Id edges() const { return static_cast<Id>(source.size()); }
  std::span<const Id> row(Id i) const {
    const auto b = static_cast<std::size_t>(start[static_cast<std::size_t>(i)]);
    const auto e = static_cast<std::size_t>(start[static_cast<std::size_t>(i) + 1]);
    return {source.data() + b, e - b};
  }
};

// Edge list: edge e runs source[e] -> target[e].
struct EdgeList {
  std::vector<Id> source;
  std::vector<Id> target;
};

// Rows by target, stable counting sort, then sources ascending within each row (equal sources keep
// input order). Throws base::DataError naming the first edge whose end is outside [0, nodes).
Csr build(Id nodes, std::span<const Id> source, std::span<const Id> target);

// Same edges with rows by source (the transpose). `edge` refers to positions in `graph.source`.
Csr transpose(const Csr& graph);

// Adds the reverse of every edge, then removes repeats. `edge` keeps the smallest original.
Csr symmetrise(const Csr& graph);

// Removes repeated entries of a row (keeping the first) and, on request, self loops.
Csr deduplicate(const Csr& graph, bool drop_self_loops = false);

// True where (j -> i) exists iff (i -> j) does, counting repeats once.
bool symmetric(const Csr& graph);

// Throws base::DataError saying which invariant of the picture above does not hold, and where.
void validate(const Csr& graph);

}  // namespace gtrain::graph
