// The attention graph of a layer, without the fused kernel: the weights that each node gives the
// nodes of its graph, averaged over the heads, and what can be read off them.
//   P = mean_h softmax(q_h k_h^T / sqrt(d) + bias_h)          each row sums to 1
//   attention received:   s = P^T 1 / n
//   weighted PageRank:    s_0 = 1/n, s_{t+1} = P^T s_t        (Zero-TPrune, Wang et al. 2024)
// Heads that a gate has switched off, or that were cut out, have no say. No gradient. 2 N D² + 2
// Σn² D multiply-adds for P, Σn² for each iteration. Graphs are independent tasks; the bits do not
// depend on the number of threads.
#pragma once

#include <ATen/core/Tensor.h>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::sparsify {

struct AttentionGraph {
  at::Tensor weight;       // double [Σn²], graph by graph, row-major: row i attends to column j
  at::Tensor pair_start;   // int64 [G+1]
  at::Tensor graph_start;  // int64 [G+1]
};

AttentionGraph attention_graph(const nn::Attention& attention, const nn::GlobalInput& input);

// Scores [N], double; iterations >= 1: one is the attention received.
at::Tensor page_rank(const AttentionGraph& graph, std::int64_t iterations);

// For each kept row i: sum over the rows j of its graph that left of P_ij x_j (GTP-ViT, Xu et al.
// 2024, on the attention graph): [K, D], differentiable in x.
at::Tensor left_behind(const AttentionGraph& graph, const at::Tensor& x, const nn::KeptRows& kept);

}  // namespace gtrain::sparsify
