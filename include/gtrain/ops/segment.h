// Reductions of the rows of each segment [start_g, start_{g+1}): sum, mean (0 for an empty segment)
// or max (0 for an empty one; the gradient goes to the first largest row).
//   x [N, D], start int64 [G+1] on the CPU -> [G, D]
#pragma once

#include <ATen/core/Tensor.h>

namespace gtrain::ops {

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start);

}  // namespace gtrain::ops
