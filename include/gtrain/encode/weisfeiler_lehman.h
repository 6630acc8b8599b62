// Roles of the nodes of one graph by colour refinement (Weisfeiler & Lehman 1968), as GT embeds
// them (Dwivedi & Bresson 2021, after Zhang et al. 2020): all nodes begin alike, and in each round
//
//   colour_i <- rank of (colour_i, sorted colours of the neighbours of i) among the graph's own
//
// from 0, in lexicographic order. Neighbours are the distinct nodes joined to i in either
// direction, itself where it has a self loop. So roles are numbers within one graph: equal ones of
// two graphs need not be alike. With quirk md5_rank the ranks are those of the MD5 hashes of
// "own_n1_n2_…" (colours from 1, sorted as text), which is the authors' order; their code asks for
// 2 rounds and returns the colours of the first.
//
// Cost: O(rounds E log E).
#pragma once

#include <span>

#include "gtrain/encode/encoding.h"
#include "gtrain/encode/local_graph.h"

namespace gtrain::encode {

// out: [n], from 0.
void weisfeiler_lehman(const LocalGraph& graph, const WeisfeilerLehmanOptions& options,
                       std::span<std::int32_t> out);

}  // namespace gtrain::encode
