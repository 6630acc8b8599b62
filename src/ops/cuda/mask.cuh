// The dropout mask of row.h on V channels in registers.
#pragma once

#include <cstdint>

#include "ops/cuda/device.cuh"
#include "ops/cuda/row.h"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda {

template <class A>
struct ElementMask {
  std::uint32_t threshold;
  A keep_scale;
  std::uint64_t key;

  explicit ElementMask(const Mask& mask)
      : threshold(mask.threshold), keep_scale(static_cast<A>(mask.keep_scale)), key(mask.key) {}

  template <int V>
  __device__ __forceinline__ void apply(std::int64_t row, std::int64_t column, A (&x)[V]) const {
    if (threshold == 0) return;
    const std::uint64_t stream = ops::detail::row_key(key, static_cast<std::uint64_t>(row));
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const std::uint32_t drawn =
          ops::detail::draw<std::uint32_t>(stream, static_cast<std::uint32_t>(column + i));
      x[i] = drawn < threshold ? A(0) : x[i] * keep_scale;
    }
  }
};

}  // namespace gtrain::ops::cuda
