// Node orders that bring neighbours close together in memory. Reverse Cuthill-McKee (Cuthill &
// McKee 1969, George 1971): breadth-first from a pseudo-peripheral node of each component, the
// neighbours of a node by (degree, id), the whole order reversed. Direction, self loops and
// repeated edges are ignored. Deterministic.
//
// An order is a permutation `order` [N]: order[p] is the node that moves to position p.
// Cost: O(N + E log(max degree)) for the order, sequential.
#pragma once

#include <span>
#include <vector>

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

std::vector<Id> reverse_cuthill_mckee(const Csr& graph);

// max |position(i) - position(j)| over the edges under `order`; 0 for a graph without edges. The
// one-argument form takes nodes as they are numbered. Throws base::DataError when `order` is no
// permutation of the nodes.
Id bandwidth(const Csr& graph, std::span<const Id> order);
Id bandwidth(const Csr& graph);

// The same graph with nodes renumbered: node order[p] becomes p. `edge` follows its entry.
Csr permute(const Csr& graph, std::span<const Id> order);

}  // namespace gtrain::graph
