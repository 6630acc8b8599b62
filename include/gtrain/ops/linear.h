// y = act(x W^T + b), act = identity or ReLU. Row blocks of 128 as single-threaded products on TBB;
// weight gradients by blocks of output channels, so no reduction depends on the thread count.
//   x [N, K], weight [O, K], bias [O] or undefined; returns [N, O]. float or double; bfloat16
//   and half are multiplied as float.
// Throws c10::Error naming the shape found and expected. 2NKO multiply-adds forward, 4NKO backward.
#pragma once

#include <ATen/core/Tensor.h>

namespace gtrain::ops {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  bool relu = false);

}  // namespace gtrain::ops
