// y = residual + Drop_p(act(x + bias)) over packed rows, in one pass; act = identity, ReLU or the
// exact GELU, x Phi(x) (Hendrycks & Gimpel 2016). ReLU'(0) = 0.
//   x, residual [N, D], bias [D]; residual and bias may be undefined: 0. Returns [N, D].
// float, double, bfloat16 or half. The mask is drawn from (key, row, column), as in ops/dropout.h;
// kept for backward: x and bias.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

enum class RowActivation : int { kNone = 0, kRelu = 1, kGelu = 2 };

struct RowOptions {
  RowActivation activation = RowActivation::kNone;
  double dropout = 0.0;
  std::uint64_t key = 0;
};

at::Tensor activate_rows(const at::Tensor& x, const at::Tensor& bias, const RowOptions& options,
                         const at::Tensor& residual = {});

}  // namespace gtrain::ops
