// TorchScript of the encodings of encode/encoding.h, for modules that compute them from edge_index
// alone. The same numbers as encode::compute to fp32 rounding: fp64 inside, eigenvectors by the
// rule of encode/canonical.h, paths by those of graph/shortest_path.h, roles by
// encode/weisfeiler_lehman.h. Dense ones go over the graphs of equal size at a time (no padding),
// searches and refinement over the whole batch at once.
//
//   random_walk  diag(P^t) as sum_j (P^a)_ij (P^b)_ji with a + b = t: half the products.  O(T n³)
//   laplacian, heat_kernel, electrostatic: eigh of each size's block, then the canonical
//                basis where vectors count.                                            O(n³)
//   hop_distance, shortest_path: breadth-first from every node, sparse.               O(n E)
//   weisfeiler_lehman  sorted rows of own and neighbours' colours.  O(rounds N d log N), N d memory
//   degree       counts.                                                              O(E)
//
// Dense in memory: graphs above kDenseNodes nodes are refused by the module itself, but for degrees
// and roles.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/encode/encoding.h"

namespace gtrain::deploy {

inline constexpr std::int64_t kDenseNodes = 4096;

// Methods of a module: one per computation and
//   encodings(self, edge_index, batch, like: Tensor) -> List[Tensor]
// which gives `columns` in that order: is_index ones in int64, the others in the type of `like`.
// Throws base::RecipeError where no option computes a column.
std::string encoding_script(const std::vector<encode::EncodingOptions>& options,
                            const std::vector<std::string>& columns);

// The computations that give `columns`, each once, in the columns' order. Throws base::RecipeError
// where no option computes a column.
std::vector<encode::EncodingOptions> computations_of(
    const std::vector<encode::EncodingOptions>& options, const std::vector<std::string>& columns);

// The column's name as an argument: "laplacian.values" -> "laplacian_values".
std::string argument_of(const std::string& column);

// "laplacian.values" -> "laplacian"
std::string encoding_of_column(const std::string& column);

// Whether a column has a row per pair of nodes; whether its numbers name rows of tables or nodes,
// which no 16-bit float holds; whether its graphs may have kDenseNodes nodes at most.
bool is_per_pair(const std::string& column);
bool is_index(const std::string& column);
bool is_limited(const std::string& column);

}  // namespace gtrain::deploy
