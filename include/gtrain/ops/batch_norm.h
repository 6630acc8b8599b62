// Batch normalisation of a residual sum over packed rows, in one op:
//   z = residual + Drop_p(x)        y = weight (z - mean) / sqrt(var + eps) + bias
// with the batch's mean and biased variance in training (running statistics updated with the
// unbiased variance), the running ones in evaluation. Ioffe & Szegedy 2015; eps 1e-5, momentum 0.1.
//   x, residual [N, D] (residual may be undefined: 0); weight, bias, running_* [D]; returns [N, D].
// Statistics are merged over fixed blocks of 128 rows (Chan et al.), so bits do not depend on the
// thread count. One row in training has variance 0; no rows leave the
// running statistics as they are. `key` selects the dropout mask.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct BatchNormState {
  at::Tensor weight, bias, running_mean, running_var;
  double momentum = 0.1;
  double eps = 1e-5;
};

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& residual, const BatchNormState& state,
                      bool training, double dropout = 0.0, std::uint64_t key = 0);

}  // namespace gtrain::ops
