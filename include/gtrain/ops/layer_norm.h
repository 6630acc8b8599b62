// Layer normalisation of a residual sum over packed rows, z = residual + Drop_p(x), in one op.
//   layer_norm:  y = weight (z - mean) / sqrt(var + eps) + bias over the D channels of each row
//                (Ba et al. 2016)
//   graph_norm:  the same with mean and variance over all channels of all nodes of the row's graph
//                (PyG's LayerNorm in its graph mode)
// Variances are the biased ones, taken about the mean.
//   x, residual [N, D] (residual may be undefined: 0); weight, bias [D]; graph_start int64 [G+1],
//   CPU returns [N, D]. float, double, bfloat16 or half; statistics in float (double for double).
// `key` selects the dropout mask; pass dropout 0 in evaluation. Kept for backward: z and two
// numbers per row or graph.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct LayerNormOptions {
  double eps = 1e-5;
  double dropout = 0.0;
  std::uint64_t key = 0;
};

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const LayerNormOptions& options = {});

at::Tensor graph_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& graph_start,
                      const LayerNormOptions& options = {});

}  // namespace gtrain::ops
