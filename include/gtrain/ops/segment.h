// Reductions of the rows of each segment [start_g, start_{g+1}): sum, mean (0 for an empty segment)
// or max (0 for an empty one; the gradient goes to the first largest row; NaN is larger than any
// number), and the softmax of each column within each segment.
//   x [N, D], start int64 [G+1] on the CPU, from 0 to N -> [G, D]; segment_softmax -> [N, D]
// float, double, bfloat16 or half. Segments of more than 1024 rows are cut at multiples of 1024 and
// the parts are merged pairwise in a fixed tree, so bits do not depend on the thread count.
#pragma once

#include <ATen/core/Tensor.h>

namespace gtrain::ops {

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start);

}  // namespace gtrain::ops
