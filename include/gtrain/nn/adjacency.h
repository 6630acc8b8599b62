// The normalised adjacency product of GCN and GCNII (Kipf & Welling 2017):
//   out = D^-1/2 (A + I) D^-1/2 h
// with exactly one self loop per node; D = in-degree + 1, the graph's own self loops left out.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "gtrain/ops/edge_index.h"

namespace gtrain::nn {

// h [N, D] -> [N, D]; 2 (N + E) D multiply-adds.
at::Tensor normalised_sum(const at::Tensor& h, const ops::EdgeIndex& edges);

// The scripted method normalised_sum(self, h: Tensor, source: Tensor, target: Tensor) -> Tensor.
std::string normalised_sum_script();
std::string fused_normalised_sum_script();

}  // namespace gtrain::nn
