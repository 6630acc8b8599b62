// A layer of GatedGCN (Bresson & Laurent 2017) at inference, with its projections, norms and
// residuals:
//   A | B | D | E = nodes(x)   C = edges(e)   x' = x + act(norm_x(h))   e' = e + act(norm_e(ê))
// with h and ê of ops/message.h and running statistics. Edges go through it in blocks; C, ê and the
// gates are not written out. The numbers are those of the ops one by one, to rounding; the same
// bits for any thread count. A forward pass alone: it records no derivative.
//   x [N, D], edge [E, D] -> (x' [N, D], e' [E, D])
// float or double on the CPU; other types and devices go through those ops. Throws c10::Error
// naming the shape found and expected. (8 N + 2 E) D² operations.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/dense_chain.h"
#include "gtrain/ops/edge_index.h"

namespace gtrain::ops {

struct GatedLayer {
  DenseLayer nodes, edges;  // weights [4D, D] and [D, D], with biases
  BatchNormState norm_x, norm_e;
  RowActivation activation = RowActivation::kRelu;
};

std::pair<at::Tensor, at::Tensor> gated_layer(const at::Tensor& x, const at::Tensor& edge,
                                              const GatedLayer& layer, const EdgeIndex& edges);

}  // namespace gtrain::ops
