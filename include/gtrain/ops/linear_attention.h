// Linear attention by positive random features (FAVOR+; Choromanski et al. 2021), inside each graph
// of a packed batch, with the numbers of performer-pytorch 1.1.4. With x a row of q or k of one
// head, W the projection, s = d^-1/4:
//   u(x) = s W x  [m]          h(x) = s² |x|² / 2
//   phi_q(x)_f = m^-1/2 (exp(u_f - h - max_f u_f) + eps)                  the row's own maximum
//   phi_k(x)_f = m^-1/2 (exp(u_f - h - max over the graph's keys and f) + eps)
//   out_i = sum_j (phi_q(q_i) · phi_k(k_j)) v_j / sum_j phi_q(q_i) · phi_k(k_j)    j in graph(i)
// The maxima carry no gradient (eps keeps them from cancelling, so this is part of the definition).
//   qkv          [N, 3Hd]: q | k | v, each H heads of d contiguous channels; returns [N, Hd]
//   projection   [m, d], no gradient
//   graph_start  int64 [G+1], CPU
// float, double, bfloat16 or half (products and sums in float). Throws c10::Error naming the shape
// found and expected. About 2 N H m d multiply-adds for the features and, by graph, the cheaper of
// 2 n m d (through a state [m, d+1]) and n² (m + d); three times that backward. Kept for backward:
// the inputs and the output.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct LinearAttentionOptions {
  double eps = 1e-4;
  // Above the graph's nodes: the graph attends to padded_length - n more keys of zeros with values
  // of zeros, as a dense batch padded to this length does (the maximum is then at least 0). 0:
  // none.
  std::int64_t padded_length = 0;
};

at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options = {});

// A projection [m, d], double: blocks of d orthonormal rows (the last one cut), each row scaled by
// the norm of a Gaussian vector of d entries. A function of (m, d, key) alone.
at::Tensor orthogonal_features(std::int64_t m, std::int64_t d, std::uint64_t key);

}  // namespace gtrain::ops
