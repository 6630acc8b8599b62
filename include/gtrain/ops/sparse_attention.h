// Multi-head softmax attention over the pairs of a pattern (Vaswani et al. 2017 with the softmax
// restricted to the pairs (i, j) of row i):
//   s_p   = scale q_i · k_j + pair_bias_p + type_bias_{type(p)}
//   out_i = sum_p Drop(exp(s_p - lse_i)) v_j        lse_i = log sum_p exp(s_p)
// A row without pairs gives zeros, as does one whose scores are all -inf. It is not the form that
// multiplies edge features in: edge_attention.h.
//   q          [N, H, d], or [N, D] with options.heads; rows may be strided (a slice of q | k | v)
//   k, v       [M, H, d] or [M, D] likewise
//   pattern    N rows, M columns; a full pattern is listed first (varlen_attention is faster)
//   returns    as q
// float, double, bfloat16 or half, all alike; sums, scores and statistics are float (double for
// double). Gradients to q, k, v, pair_bias and type_bias.
//
// Errors: c10::Error naming what has which shape and what was expected.
// Cost: 4 P D multiply-adds forward, 14 backward (scores and dO·v are computed again in a pass over
// rows and in one over columns); 2 P D numbers gathered in each of the three passes, which is what
// the time is. Memory: out, and lse [N, H] kept for backward; nothing per pair except the gradient
// of pair_bias. The result is the same bits for any thread count.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gtrain/ops/attention_pattern.h"

namespace gtrain::ops {

struct SparseAttentionOptions {
  std::int64_t heads = 0;     // H where q is [N, D]; else 0, or the H of q
  double scale = 0;           // 0: 1/sqrt(d)
  at::Tensor pair_bias = {};  // [P, H], type of q
  at::Tensor type_bias = {};  // [types, H], type of q
  double dropout = 0;         // probability in [0, 1); kept weights are scaled by 1/(1-dropout)
  std::uint64_t key = 0;      // of the mask: stream row_key(key, p), index = head
};

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionPattern& pattern,
                            const SparseAttentionOptions& options = {});

}  // namespace gtrain::ops
