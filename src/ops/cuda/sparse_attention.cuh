// What forward and backward of softmax attention over pairs share: the score's bias, the dropout
// factor and the loads of queries and keys.
#pragma once

#include "ops/cuda/pair_attention.cuh"
#include "ops/cuda/sparse_attention.h"

namespace gtrain::ops::cuda {

// Where exponentials are taken from: the maximum, unless every score so far is -inf.
template <class A>
__device__ __forceinline__ A reference(A max) {
  return max == -INFINITY ? A(0) : max;
}

// Entries a group loads before it uses them: what hides the latency of memory at the occupancy that
// the registers then leave (docs/ops.md).
template <class S, class T>
constexpr int kAhead = T::V* T::R == 1                     ? 4
                       : T::V* T::R <= 4 && sizeof(S) == 4 ? 2
                                                           : 1;

// The bias of pair p in units of log2.
template <class S>
__device__ __forceinline__ compute_t<S> bias_of(const SparseAttention<S>& a, std::int64_t p,
                                                int head) {
  compute_t<S> bias = 0;
  if (a.pair_bias != nullptr) bias += to_float(a.pair_bias[p * a.heads + head]);
  if (a.type_bias != nullptr) {
    const int type = a.type != nullptr ? a.type[p] : 0;
    bias += to_float(a.type_bias[type * a.heads + head]);
  }
  return bias * static_cast<compute_t<S>>(kLog2E);
}

// 0 for a dropped weight, else 1/(1-p).
template <class S>
__device__ __forceinline__ compute_t<S> keep_factor(const SparseAttention<S>& a, std::int64_t p,
                                                    int head) {
  if (a.threshold == 0) return 1;
  const std::uint64_t row = ops::detail::row_key(a.key, static_cast<std::uint64_t>(p));
  const std::uint32_t draw = ops::detail::draw(row, static_cast<std::uint32_t>(head));
  return draw < a.threshold ? 0 : a.keep_scale;
}

}  // namespace gtrain::ops::cuda
