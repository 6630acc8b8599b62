// y = x W^T + b with a W of which only listed entries are there: the loops behind
// ops/sparse_linear.h, compiled once for each instruction set (src/ops/cpu). x [m, k] and y [m, o]
// are contiguous; row r of W has the entries start[r] .. start[r + 1], in columns column[p].
#pragma once

#include <cstdint>

namespace gtrain::ops::detail {

template <class T>
struct SparseProduct {
  std::int64_t m = 0, k = 0, o = 0;
  const T* x = nullptr;
  const std::int64_t* start = nullptr;
  const std::int32_t* column = nullptr;
  const T* value = nullptr;
  const T* bias = nullptr;  // [o], or null
  bool relu = false;
  T* y = nullptr;
  T* scratch = nullptr;  // 64-byte aligned, kSparseRows (k + o)
};

inline constexpr std::int64_t kSparseRows = 64;  // that share a pass over W

// float or double; of the instruction set that kernels<T>() (detail/kernels.h) is of.
template <class T>
using SparseProductKernel = void (*)(const SparseProduct<T>&);
template <class T>
SparseProductKernel<T> sparse_product_kernel();

}  // namespace gtrain::ops::detail
