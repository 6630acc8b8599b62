// Attention over the pairs of a pattern with edge features multiplied in, channel by channel, and
// weights that are clamped exponentials instead of a softmax:
//   w_p   = scale q_i ⊙ k_j ⊙ e_p                  [d] per head
//   s_p   = clamp(sum_c w_pc, -clamp, clamp)        no gradient outside
//   out_i = sum_p exp(s_p) v_j / (sum_p exp(s_p) + epsilon)
// Returns (out, w): w is the edge output, the products before the sum. The forms in use:
//   GT (Dwivedi & Bresson 2020) with edges:   clamp 5, epsilon 1e-6, w wanted
//   GT without edges (e undefined, e = 1):    clamp 5, epsilon 0
//   Exphormer (Shirzad et al. 2023):          clamp 5, epsilon 1e-6, w not wanted
// A row without pairs gives zeros. The exponentials lie in [e^-clamp, e^clamp]: no maximum is
// subtracted.
//   q          [N, H, d], or [N, D] with options.heads;  k, v  [M, H, d] or [M, D] likewise
//   edge       [P, H, d] or [P, D] in the pattern's pair order, or undefined
//   returns    out as q; w as edge, undefined when not wanted or edge is undefined
// float, double, bfloat16 or half, all alike; sums are float (double for double). Gradients to q,
// k, v and edge, from out and w.
//
// Errors: c10::Error naming what has which shape and what was expected.
// Cost: 5 P D multiply-adds forward, 17 backward; gathers as sparse_attention and streams edge, w
// and their gradients besides. Memory: out, w, and the row sums [N, H] kept for backward. The
// result is the same bits for any thread count.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "gtrain/ops/attention_pattern.h"

namespace gtrain::ops {

struct EdgeAttentionOptions {
  std::int64_t heads = 0;    // H where q is [N, D]; else 0, or the H of q
  double scale = 0;          // 0: 1/sqrt(d)
  double clamp = 5;          // in (0, 80]
  double epsilon = 1e-6;     // added to the sum of a row
  bool edge_output = false;  // return w
};

std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& edge,
                                                 const AttentionPattern& pattern,
                                                 const EdgeAttentionOptions& options = {});

}  // namespace gtrain::ops
