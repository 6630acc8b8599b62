// Rows by index and their sum back, each the other's derivative. The transposed index gives every
// row one writer: no atomics, and sums in ascending position.
//   gather:       out_p = x_{index_p}                        x [M, D], index int64 [P] -> [P, D]
//   scatter_add:  out_j = sum_{p: index_p = j} x_p           x [P, D]                  -> [M, D]
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct RowIndex {
  at::Tensor index;     // int64 [P], entries in [0, M)
  at::Tensor start;     // int64 [M+1]
  at::Tensor position;  // int64 [P]: positions of row j are [start[j], start[j+1]), ascending

  std::int64_t rows() const { return start.size(0) - 1; }
  std::int64_t count() const { return index.size(0); }
};

// Stable counting sort; throws for an entry outside [0, rows).
RowIndex row_index(const at::Tensor& index, std::int64_t rows);

at::Tensor gather(const at::Tensor& x, const RowIndex& index);
at::Tensor scatter_add(const at::Tensor& x, const RowIndex& index);

}  // namespace gtrain::ops
