// TorchScript of the encodings of encode/encoding.h, for modules that compute them from edge_index
// alone. The same numbers as encode::compute to fp32 rounding: fp64 inside, dense and batched over
// the graphs of equal size (no padding), eigenvectors by the rule of encode/canonical.h.
//
//   random_walk  diag(P^t) as sum_j (P^a)_ij (P^b)_ji with a + b = t: half the products.  O(T n³)
//   laplacian    eigh of each size's block, then the canonical basis.                     O(n³)
//   hop_distance, shortest_path (not ties: search)  relaxation over all nodes.            O(n³)
//   degree       counts.                                                                  O(E)
//
// Dense: graphs above kDenseNodes nodes are refused by the module itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/encode/encoding.h"

namespace gtrain::deploy {

inline constexpr std::int64_t kDenseNodes = 4096;

// Methods of a module that has `graph_groups(batch)`: one per computation and
//   encodings(self, edge_index, batch, like: Tensor) -> List[Tensor]
// which gives `columns` in that order, in the type of `like`. Throws base::RecipeError where no
// option computes a column or the computation has no script.
std::string encoding_script(const std::vector<encode::EncodingOptions>& options,
                            const std::vector<std::string>& columns);

// The column's name as an argument: "laplacian.values" -> "laplacian_values".
std::string argument_of(const std::string& column);

}  // namespace gtrain::deploy
