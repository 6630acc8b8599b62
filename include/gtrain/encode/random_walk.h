// Return probabilities of the random walk along the edges' direction,
//
//   out[i, t-1] = (P^t)_ii,   P = D^-1 A,   t = 1..steps,   1/0 = 0
//
// with out-degrees D, self loops and repeated edges counted (RWSE, Dwivedi et al. 2022). No power
// of P is ever formed: unit rows are pushed through the edges eight sources at a time, so the cost
// is O(n E steps) additions and 16 n doubles per running block, for 25 nodes as for 100,000. Blocks
// of a large graph run in parallel; the sums are in row order, so bits do not depend on the
// threads.
#pragma once

#include <span>

#include "gtrain/encode/local_graph.h"

namespace gtrain::encode {

// out: row-major [n, steps].
void walk_returns(const LocalGraph& graph, std::int64_t steps, std::span<double> out);

}  // namespace gtrain::encode
