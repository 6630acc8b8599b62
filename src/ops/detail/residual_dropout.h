// z = residual + Drop_p(x) over all rows in parallel: shared by dropout and by batch norm, whose
// backwards draw the mask again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"

namespace gtrain::ops::detail {

struct Dropout {
  std::uint32_t threshold;
  double keep_scale;
  std::uint64_t key;
};

template <class T>
void residual_dropout(const at::Tensor& x, const at::Tensor& residual, const Dropout& drop,
                      at::Tensor& z) {
  const std::int64_t n = x.size(0), d = x.size(1);
  const T* rp = residual.defined() ? residual.const_data_ptr<T>() : nullptr;
  parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    kernels<T>().residual_dropout(begin, end, d, x.const_data_ptr<T>(), rp, drop.threshold,
                                  static_cast<T>(drop.keep_scale), drop.key,
                                  z.mutable_data_ptr<T>());
  });
}

}  // namespace gtrain::ops::detail
