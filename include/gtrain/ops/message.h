// Fused message passing over a packed batch. Every output row has one writer: no atomics, and bits
// do not depend on the thread count. float or double; costs are linear in (N + E) D.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "gtrain/ops/edge_index.h"

namespace gtrain::ops {

// GINE (Hu et al. 2020), eps = 0: out_i = x_i + sum_{j->i} relu(x_j + e_ji).
//   x [N, D], edge [E, D] -> [N, D]
at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges);

// GatedGCN (Bresson & Laurent 2017) before its norms:
//   ê_ji = D_i + E_j + C_ji      h_i = A_i + sum_j s(ê_ji) ⊙ B_j / (sum_j s(ê_ji) + 1e-6)
//   abde [N, 4D] = A | B | D | E (projections of x), c [E, D] -> (h [N, D], ê [E, D])
std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges);

// out_i = self_i x_i + sum_{j->i} w_ji x_j. Weights are constants (no gradient).
//   x [N, D], self [N], weight [E] -> [N, D]
at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges);

}  // namespace gtrain::ops
