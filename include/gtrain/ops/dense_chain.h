// A forward pass alone of dense layers one after another, with whatever is added at their end:
//   y = f_k(... f_1(x)) + sum_t scale_t ⊙ rows_t      f_i(h) = act_i(h W_i^T + b_i)
// Blocks of 128 rows go through all of it while they are in the cache; what stands between the
// layers is never written out. The numbers are those of ops/linear.h and ops/row.h one after
// another, to the bit where no term has a scale and no weight is marked (ops/sparse_linear.h; marks
// are not looked at). For exported modules alone: it records no derivative and counts no work.
//   x [N, K], W_i [O, K], b_i [O] or undefined, rows_t [N, O], scale_t [O] or undefined (1).
// float or double on the CPU; other types and devices go through those ops. Throws c10::Error
// naming the shape found and expected.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "gtrain/ops/row.h"

namespace gtrain::ops {

struct DenseLayer {
  at::Tensor weight, bias;
  RowActivation activation = RowActivation::kNone;
};

struct RowTerm {
  at::Tensor rows, scale;
};

at::Tensor dense_chain(const at::Tensor& x, const std::vector<DenseLayer>& layers,
                       const std::vector<RowTerm>& terms = {});

}  // namespace gtrain::ops
