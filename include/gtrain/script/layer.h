// The operators of libgtrain_ops over nodes and edges: the forward passes of gtrain/ops for what
// exported modules have at hand. `source` and `target` are the edges sorted by target (sort_edges),
// `batch` the graph of each node, ascending; shapes, types and errors otherwise as in gtrain/ops.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

namespace gtrain::script {

using Maybe = std::optional<at::Tensor>;

// activation: "none", "relu" or "gelu" of x W^T + b.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const Maybe& bias,
                  const std::string& activation);
// act(x W^T + b) + sum_t scales[t] ⊙ terms[t]; no scales: 1. After activate(x W_0^T + b_0) a second
// layer, likewise. Blocks of rows go through all of it (ops/dense_chain.h).
at::Tensor linear_sum(const at::Tensor& x, const at::Tensor& weight, const Maybe& bias,
                      const std::string& activation, at::TensorList terms, at::TensorList scales);
at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight_0, const Maybe& bias_0,
                        const std::string& activation, const at::Tensor& weight_1,
                        const Maybe& bias_1, at::TensorList terms, at::TensorList scales);
// after + act(x); `after` may be missing.
at::Tensor activate(const at::Tensor& x, const std::string& activation, const Maybe& after);

// The running statistics' batch norm of residual + x.
at::Tensor batch_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance);
at::Tensor layer_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias);
at::Tensor graph_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& batch);

// Attention inside graphs; qkv [N, 3D]. bias [P, H], a pair per ordered pair of nodes of a graph,
// row-major; missing: none.
at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& batch, std::int64_t heads,
                            const Maybe& bias);
// padded: keys of zeros up to the largest graph (PerformerOptions::padded).
at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& batch, std::int64_t heads, bool padded);
// q, k, v [N, D] or [N, H, d]; edge [E, D] or [E, H, d], or missing; scale 0: d^-1/2. Second
// result: the edge output, empty unless asked for.
std::tuple<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                  const at::Tensor& v, const Maybe& edge,
                                                  const at::Tensor& source,
                                                  const at::Tensor& target, std::int64_t heads,
                                                  double clamp, double epsilon, bool edge_output,
                                                  double scale);
at::Tensor gine(const at::Tensor& x, const at::Tensor& edge, const at::Tensor& source,
                const at::Tensor& target);
std::tuple<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                             const at::Tensor& source, const at::Tensor& target);
// ops/gated_layer.h: weights A|B|D|E and its bias, C and its bias; norms: weight, bias, mean,
// variance.
std::tuple<at::Tensor, at::Tensor> gated_layer(const at::Tensor& x, const at::Tensor& e,
                                               at::TensorList weights, at::TensorList norm_x,
                                               at::TensorList norm_e, const std::string& activation,
                                               const at::Tensor& source, const at::Tensor& target);
at::Tensor aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                     const at::Tensor& source, const at::Tensor& target);

// Rows [R, …] of one number in index [R], ascending, in [0, count), reduced: "sum", "mean", "max"
// or "min" [count, …], 0 where there are none.
at::Tensor reduce(const at::Tensor& x, const at::Tensor& index, std::int64_t count,
                  const std::string& kind);
// Softmax of each column over the rows of one number.
at::Tensor softmax(const at::Tensor& x, const at::Tensor& index, std::int64_t count);

// sum_c tables[c][ids[:, c]], with ids above a table cut to its last row where `clamp`.
at::Tensor embed(const at::Tensor& ids, at::TensorList tables, bool clamp);

}  // namespace gtrain::script
