// The work list of a CSR on the device, made once for as long as the CSR lives.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "ops/cuda/tensor.h"
#include "ops/cuda/work.h"

namespace gtrain::ops::cuda {

struct WorkTensors {
  at::Tensor start, items, cuts;
  std::int64_t rows = 0, item_count = 0, cut_count = 0, parts = 0;

  // `sums` numbers for each cut row's part, of the type x is computed in.
  at::Tensor partial(std::int64_t sums, const at::Tensor& x) const {
    return at::empty({parts * sums}, compute_options(x));
  }
  Work work(const at::Tensor& partial) const;
};

// start: int64 [rows+1], anywhere; the work is for the device of x.
std::shared_ptr<WorkTensors> work_on(const at::Tensor& start, const at::Tensor& x);

}  // namespace gtrain::ops::cuda
