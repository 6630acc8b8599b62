// The CPU kernels behind sparse_attention and edge_attention: serial over a range of rows (or
// columns) of a pattern, or over a piece of one long row, whose partial result is merged later. S:
// storage type of the tensors; sums and statistics are Compute<S>.
#pragma once

#include <cstdint>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

// Rows [first, last) of the pass, or with a partial result: entries [begin, end) of row `first`.
struct SparseRange {
  std::int64_t first = 0, last = 0;
  std::int64_t begin = 0, end = 0;
  std::int64_t part = -1;  // number of the partial result; -1: whole rows
};

// The partial results [first_part, first_part + parts) of one row, in the order of its entries.
struct SparseCut {
  std::int64_t row, first_part, parts;
};

// Matrices are [rows, H, d] with a row stride in elements; strides of out and of all gradients are
// H d.
template <class S>
struct SparseAttention {
  using A = Compute<S>;
  std::int64_t heads = 1, width = 1;  // H, d
  const S *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  std::int64_t pairs = 0;
  const std::int64_t* row_start = nullptr;
  const std::int32_t* column = nullptr;
  const std::uint8_t* type = nullptr;  // null: all 0
  const S* pair_bias = nullptr;        // [P, H] or null
  const A* type_bias = nullptr;        // [types, H] or null
  A scale = 1;
  std::uint32_t threshold = 0;  // dropout; 0: none
  A keep_scale = 1;
  std::uint64_t key = 0;
  S* out = nullptr;
  A* lse = nullptr;      // [N, H]
  A* partial = nullptr;  // [parts, partial_size]
  // Backward only.
  const S* dout = nullptr;
  A* statistic = nullptr;  // [N, 2 H]: lse | dout · out, written by the row pass
  S *dq = nullptr, *dk = nullptr, *dv = nullptr;
  S* dpair_bias = nullptr;  // [P, H] or null
  const std::int64_t* column_start = nullptr;
  const std::int32_t* row = nullptr;
  const std::int64_t* pair = nullptr;
};

// As above; edge, w and their gradients are [P, H, d] in the pattern's order.
template <class S>
struct EdgeAttention {
  using A = Compute<S>;
  std::int64_t heads = 1, width = 1;
  const S *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  const S* edge = nullptr;  // null: 1
  std::int64_t pairs = 0;
  const std::int64_t* row_start = nullptr;
  const std::int32_t* column = nullptr;
  A scale = 1, clamp = 5, epsilon = 0;
  S* out = nullptr;
  S* w = nullptr;        // null: not wanted
  A* inverse = nullptr;  // [N, H]: 1 / (sum of the row's weights + epsilon), 0 without pairs
  A* partial = nullptr;
  // Backward only.
  const S* dout = nullptr;
  const S* dw = nullptr;   // null: 0
  A* statistic = nullptr;  // [N, 2 H]: inverse | dout · out
  S *dq = nullptr, *dk = nullptr, *dv = nullptr;
  S* dedge = nullptr;  // null: not wanted
  const std::int64_t* column_start = nullptr;
  const std::int32_t* row = nullptr;
  const std::int64_t* pair = nullptr;
};

template <class S>
struct EdgeKernels {
  using Pass = void (*)(const EdgeAttention<S>&, const SparseRange&);
  using Merge = void (*)(const EdgeAttention<S>&, const SparseCut&);
  Pass forward;
  Merge merge_forward;
  Pass backward_rows;
  Merge merge_rows;
  Pass backward_columns;
  Merge merge_columns;
};

template <class S>
struct SparseKernels {
  using A = Compute<S>;
  using Pass = void (*)(const SparseAttention<S>&, const SparseRange&);
  using Merge = void (*)(const SparseAttention<S>&, const SparseCut&);
  // Numbers in one partial result of any of the passes.
  std::int64_t (*partial_size)(std::int64_t heads, std::int64_t width);
  Pass forward;
  Merge merge_forward;
  // dtype_bias: [types, H] of this range, added to; or null.
  void (*backward_rows)(const SparseAttention<S>&, const SparseRange&, A* dtype_bias);
  Merge merge_rows;
  Pass backward_columns;
  Merge merge_columns;
  EdgeKernels<S> edge;
};

}  // namespace gtrain::ops::detail
