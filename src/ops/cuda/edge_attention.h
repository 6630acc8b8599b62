// Launchers of attention with edge features multiplied in (GT, Exphormer; the equations are in
// include/gtrain/ops/edge_attention.h). Warps, work lists, alignment, types and strides are those
// of sparse_attention.h; edge, w and their gradients are [P, H, d] without gaps. Rows of edge
// features are streamed once in each pass, whole rows through the pair numbers in the pass over
// columns; nothing of size [P, H, d] is made but w and the gradient of edge.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/work.h"

namespace gtrain::ops::cuda {

template <class S>
struct EdgeAttention {
  using A = compute_t<S>;
  int heads = 1, width = 1;                          // H, d
  const S *q = nullptr, *k = nullptr, *v = nullptr;  // [N, H, d], [M, H, d], [M, H, d]
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  const S* edge = nullptr;               // [P, H, d], or null: 1
  const std::int32_t* column = nullptr;  // [P]
  A scale = 1, clamp = 5, epsilon = static_cast<A>(1e-6);
  S* out = nullptr;  // [N, H, d]
  S* w = nullptr;    // [P, H, d], or null: not wanted
  // [N, H]: 1 / (the row's sum of exponentials + epsilon), 0 where that sum is 0
  A* inverse = nullptr;
  Work row_work;  // over row_start. partial: A [parts, H (d + 1)]
};

// What backward adds; it reads forward's out and inverse.
template <class S>
struct EdgeAttentionGradient {
  using A = compute_t<S>;
  const S* dout = nullptr;                        // [N, H, d]
  const S* dw = nullptr;                          // [P, H, d], or null: 0
  A* delta = nullptr;                             // [N, H], workspace
  S *dq = nullptr, *dk = nullptr, *dv = nullptr;  // written everywhere
  std::int64_t dq_stride = 0, dk_stride = 0, dv_stride = 0;
  S* dedge = nullptr;                  // [P, H, d], or null: not wanted
  const std::int32_t* row = nullptr;   // [P]: the transpose, in the order of column_work
  const std::int64_t* pair = nullptr;  // [P]
  Work column_work;                    // over column_start. partial: A [parts, 2 H d]
};

// Whether the kernels take heads of this width: 512 channels at most, 256 of double.
template <class S>
bool edge_attention_takes(const EdgeAttention<S>& a);

// 1 launch, 2 with cut rows; none where N = 0.
template <class S>
void edge_attention_forward(const EdgeAttention<S>& a, Stream stream);

// 2 launches, 1 more with cut rows and 2 more with cut columns.
template <class S>
void edge_attention_backward(const EdgeAttention<S>& a, const EdgeAttentionGradient<S>& g,
                             Stream stream);

}  // namespace gtrain::ops::cuda
