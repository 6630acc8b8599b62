// The obvious twins of the fused ops, in plain ATen calls with torch's own autograd: what tests
// judge the kernels by, and the path that replays recorded dropout masks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/edge_index.h"
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

}  // namespace gtrain::ops::reference
