// The obvious twins of the fused ops, in plain ATen calls with torch's own autograd: what tests
// judge the kernels by, and the path that replays recorded dropout masks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/edge_index.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/sparse_attention.h"
#include "gtrain/ops/varlen_attention.h"

namespace gtrain::ops::reference {

// `mask`: keep-mask [G, H, L, L] padded to the largest graph, or undefined; kept weights are scaled
// by 1/(1-dropout).
at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout = 0.0, const at::Tensor& mask = {},
                            const AttentionBias& bias = {});
at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges);
std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges);
at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges);
at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionPattern& pattern,
                            const SparseAttentionOptions& options = {});
std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& edge,
                                                 const AttentionPattern& pattern,
                                                 const EdgeAttentionOptions& options = {});

// src/ops/reference_row.cpp: dropout and masks are left to the caller.
at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start);
at::Tensor layer_norm(const at::Tensor& z, const at::Tensor& weight, const at::Tensor& bias,
                      double eps);
at::Tensor graph_norm(const at::Tensor& z, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& graph_start, double eps);
at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options);

}  // namespace gtrain::ops::reference
