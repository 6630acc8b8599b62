// z = residual + Drop_p(x) over all rows in parallel: shared by dropout and the norms, whose
// backwards draw the mask again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ops/detail/dtype.h"
#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"

namespace gtrain::ops::detail {

struct Dropout {
  double p = 0;
  std::uint64_t key = 0;

  std::uint32_t threshold() const { return drop_threshold(p); }
  template <class T>
  Keep<T> keep() const {
    return {threshold(), static_cast<T>(1 / (1 - p)), key};
  }
};

template <class S>
void residual_dropout(const at::Tensor& x, const at::Tensor& residual, const Dropout& drop,
                      at::Tensor& z) {
  const std::int64_t n = x.size(0), d = x.size(1);
  const S* rp = residual.defined() ? data<S>(residual) : nullptr;
  const S* xp = data<S>(x);
  S* zp = mutable_data<S>(z);
  const auto keep = drop.keep<Compute<S>>();
  parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    kernels<S>().row.residual_dropout(begin, end, d, xp, rp, keep, zp);
  });
}

}  // namespace gtrain::ops::detail
