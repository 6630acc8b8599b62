// Multi-head softmax attention inside each graph of a packed batch, never across graphs and never
// padded (Vaswani et al. 2017 on the rows of graph g), with the additive bias of Graphormer (Ying
// et al. 2021) where one is given:
//   s_ij  = q_i · k_j / sqrt(d) + table[hops_ij] + pair_ij        i, j in graph g, each head
//   out_i = sum_j Drop_p(softmax_j(s_i)) v_j
//   qkv          [N, 3D]: q | k | v, each H heads of d = D/H contiguous channels; float, double,
//                bfloat16 or half (16-bit types are computed in float)
//   graph_start  int64 [G+1], CPU
//   returns      [N, D], the type of qkv
// Nothing of size n² is kept or made, for whatever n: tiles of the scores run under a maximum so
// far (FlashAttention, Dao et al. 2022), backward computes the weights again from the rows'
// log-sum-exp [N, H] and draws the dropout mask again from (key, row · H + head, column). A query
// whose every score is -inf gives zeros and takes no gradient. The bits do not depend on the number
// of threads. 4 Σn² D floating-point operations forward, 10 Σn² D backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

// Graph g owns pairs pair_start[g] .. pair_start[g+1], its [n, n] matrix row-major: query i, key j
// is pair pair_start[g] + i n + j. P = Σn². Undefined tensors add nothing.
struct AttentionBias {
  at::Tensor hops;   // uint8 [P], below the number of buckets: any distance, clipped as one likes
  at::Tensor table;  // [buckets, H], 1 to 256 buckets; given with hops; takes a gradient
  // [P, H], e.g. path-edge encodings; takes a gradient. Memory of each head as one stretch (the
  // transpose of a contiguous [H, P]) is read and its gradient written in place; other strides cost
  // a copy.
  at::Tensor pair;
  // int64 [G+1], CPU: prefix sums of n²; undefined: computed from graph_start.
  at::Tensor pair_start;
};

struct VarlenOptions {
  double dropout = 0;     // of the weights, [0, 1)
  std::uint64_t key = 0;  // of the dropout streams
  AttentionBias bias;
};

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, const VarlenOptions& options);
at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout = 0.0, std::uint64_t key = 0);

}  // namespace gtrain::ops
