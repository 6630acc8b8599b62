// residual + Drop_p(x): elements are zeroed with probability p and the rest scaled by 1/(1-p); the
// mask is a function of (key, row, column) and is drawn again in backward instead of being stored.
//   x [N, D]; residual [N, D] or undefined; p in [0, 1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

at::Tensor dropout(const at::Tensor& x, double p, std::uint64_t key,
                   const at::Tensor& residual = {});

}  // namespace gtrain::ops
