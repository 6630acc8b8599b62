// Multi-head softmax attention inside each graph of a packed batch, never across graphs and never
// padded (Vaswani et al. 2017 on the rows of graph g):
//   out_i = sum_{j in graph(i)} Drop_p(softmax_j(q_i · k_j / sqrt(d))) v_j
//   qkv          [N, 3D]: q | k | v, each H heads of d = D/H contiguous channels
//   graph_start  int64 [G+1], CPU
//   returns      [N, D]
// Nothing of size n² is kept: backward recomputes the weights from the rows' log-sum-exp [N, H] and
// draws the dropout mask again from (key, row, head, column). 4 Σn² D multiply-adds forward, 10
// backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout = 0.0, std::uint64_t key = 0);

}  // namespace gtrain::ops
