// The k-hop neighbourhood as a graph of its own: row i lists every j from which a walk of 1 to
// `hops` edges leads to i, each once, ascending. i itself is left out unless `with_self` asks for
// it (then it stands in every row, reachable or not). For attention patterns wider than the edges.
//
// `edge` of the result holds each entry's own position: new pairs have no input edge.
// Cost: a bounded breadth-first search per row, parallel over rows; memory is the result's.
#pragma once

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

// Throws base::DataError when hops < 0.
Csr khop(const Csr& graph, Id hops, bool with_self = false);

}  // namespace gtrain::graph
