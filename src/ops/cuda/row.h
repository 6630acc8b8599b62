// y = residual + Drop(act(x + bias)) over packed rows on the device, and its derivative
// (include/gtrain/ops/row.h and dropout.h have the definitions; dropout alone is act = identity
// without bias). One pass forward, one backward; the gradient of the bias is reduced in that pass
// as segment.h says: no atomics.
//
// S: float, double, bf16, f16, computed in A = compute_t<S>. Contiguous [rows, width].
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cuda/element.h"

namespace gtrain::ops::cuda {

// Element (row, column) is dropped where draw(row_key(key, row), column) < threshold, and
// multiplied by keep_scale = 1/(1-p) where it is kept (ops/detail/random.h).
struct Mask {
  std::uint32_t threshold = 0;  // 0: everything is kept as it is
  double keep_scale = 1;
  std::uint64_t key = 0;
};

enum class Activation : int { kNone = 0, kRelu = 1, kGelu = 2 };  // GELU: x Phi(x)

template <class S>
struct ActivateRows {
  std::int64_t rows = 0, width = 0;
  const S* x = nullptr;
  const compute_t<S>* bias = nullptr;  // [width] or null
  const S* residual = nullptr;         // [rows, width] or null; forward only
  Activation activation = Activation::kNone;
  Mask mask;
};

template <class S>
void activate_rows(const ActivateRows<S>& a, S* y, Stream stream);

// dx = act'(x + bias) Drop(g); dbias = its column sums, in A, where not null.
template <class S>
struct ActivateRowsGradient {
  const S* g = nullptr;
  S* dx = nullptr;
  compute_t<S>* dbias = nullptr;  // [width] or null
  void* workspace = nullptr;      // with dbias: segment_workspace(rows, width) bytes
};
template <class S>
void activate_rows_backward(const ActivateRows<S>& a, const ActivateRowsGradient<S>& gradient,
                            Stream stream);

}  // namespace gtrain::ops::cuda
