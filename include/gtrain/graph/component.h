// Weakly connected components: direction is ignored. Components are numbered by their smallest
// node, so node 0 is always in component 0 and the numbering depends on the graph alone.
//
// Cost: O((N + E) log N) time (union-find, linked to the smaller number), O(N) memory, sequential.
#pragma once

#include <vector>

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

struct Components {
  std::vector<Id> label;  // [N], in [0, count)
  Id count = 0;
};

Components components(const Csr& graph);

}  // namespace gtrain::graph
