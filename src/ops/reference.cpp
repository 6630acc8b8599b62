#include "gtrain/ops/reference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace gtrain::ops::reference {

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout, const at::Tensor& mask,
                            const AttentionBias& bias) {
  const std::int64_t d = qkv.size(1) / 3, width = d / heads;
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  std::vector<at::Tensor> out;
  std::int64_t first_pair = 0;
  for (std::int64_t g = 0; g + 1 < graph_start.size(0); ++g) {
    const std::int64_t n = start[g + 1] - start[g];
    const at::Tensor rows = qkv.slice(0, start[g], start[g + 1]);
    const auto part = [&](std::int64_t i) {  // [H, n, d/H]
      return rows.slice(1, i * d, (i + 1) * d).reshape({n, heads, width}).transpose(0, 1);
    };
    const auto matrix = [&](const at::Tensor& pairs) {  // [H, n, n]
      return pairs.reshape({n, n, heads}).permute({2, 0, 1});
    };
    at::Tensor score = at::matmul(part(0), part(1).transpose(1, 2)) / std::sqrt(double(width));
    if (bias.hops.defined()) {
      const at::Tensor hops = bias.hops.slice(0, first_pair, first_pair + n * n).to(at::kLong);
      score = score + matrix(bias.table.index_select(0, hops));
    }
    if (bias.pair.defined()) {
      score = score + matrix(bias.pair.slice(0, first_pair, first_pair + n * n));
    }
    first_pair += n * n;
    at::Tensor weights = at::softmax(score, -1);
    if (mask.defined()) {
      weights =
          weights * mask[g].slice(1, 0, n).slice(2, 0, n).to(weights.scalar_type()) / (1 - dropout);
    }
    out.push_back(at::matmul(weights, part(2)).transpose(0, 1).reshape({n, d}));
  }
  return out.empty() ? qkv.slice(1, 0, d) : at::cat(out);
}

at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges) {
  const at::Tensor message = at::relu(x.index_select(0, edges.source) + edge);
  return x + at::zeros_like(x).index_add(0, edges.target, message);
}

std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges) {
  const auto parts = abde.chunk(4, 1);
  const at::Tensor ehat =
      parts[2].index_select(0, edges.target) + parts[3].index_select(0, edges.source) + c;
  const at::Tensor gate = at::sigmoid(ehat);
  const at::Tensor zero = at::zeros_like(parts[0]);
  const at::Tensor sum =
      zero.index_add(0, edges.target, gate * parts[1].index_select(0, edges.source));
  const at::Tensor total = zero.index_add(0, edges.target, gate);
  return {parts[0] + sum / (total + 1e-6), ehat};
}

at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges) {
  const at::Tensor message = x.index_select(0, edges.source) * weight.unsqueeze(1);
  return x * self.unsqueeze(1) + at::zeros_like(x).index_add(0, edges.target, message);
}

}  // namespace gtrain::ops::reference
