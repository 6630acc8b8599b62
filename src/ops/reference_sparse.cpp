#include <ATen/ATen.h>

#include <cmath>

#include "gtrain/ops/reference.h"
#include "ops/detail/random.h"

namespace gtrain::ops::reference {
namespace {

at::Tensor rows_of_pairs(const AttentionPattern& pattern) {
  return at::repeat_interleave(at::diff(pattern.row_start));
}
at::Tensor heads_of(const at::Tensor& t, std::int64_t heads) {
  return t.dim() == 3 ? t : t.unflatten(1, {heads, t.size(1) / heads});
}
double scale_of(double given, const at::Tensor& q) {
  return given != 0 ? given : 1 / std::sqrt(static_cast<double>(q.size(2)));
}
// The largest score of each row and head, 0 where there is none above -inf; no gradient.
at::Tensor row_maximum(const at::Tensor& score, const at::Tensor& row, std::int64_t rows) {
  const at::Tensor index = row.unsqueeze(1).expand_as(score);
  const at::Tensor top = at::full({rows, score.size(1)}, -INFINITY, score.options())
                             .scatter_reduce(0, index, score.detach(), "amax");
  return top.masked_fill(top == -INFINITY, 0).index_select(0, row);
}
// Keep factors [P, H] of the op's own mask.
at::Tensor keep_factors(std::int64_t pairs, std::int64_t heads, double p, std::uint64_t key) {
  at::Tensor factor = at::empty({pairs, heads}, at::kDouble);
  double* f = factor.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < pairs; ++i) {
    const std::uint64_t stream = detail::row_key(key, static_cast<std::uint64_t>(i));
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto drawn = detail::draw<std::uint32_t>(stream, static_cast<std::uint32_t>(h));
      *f++ = drawn < detail::drop_threshold(p) ? 0 : 1 / (1 - p);
    }
  }
  return factor;
}

}  // namespace

at::Tensor sparse_attention(const at::Tensor& q_in, const at::Tensor& k_in, const at::Tensor& v_in,
                            const AttentionPattern& given, const SparseAttentionOptions& options) {
  const AttentionPattern pattern = given.full() ? listed(given) : given;
  const at::Tensor q = heads_of(q_in, options.heads), k = heads_of(k_in, options.heads),
                   v = heads_of(v_in, options.heads);
  const at::Tensor row = rows_of_pairs(pattern), column = pattern.column.to(at::kLong);
  at::Tensor score = (q.index_select(0, row) * k.index_select(0, column)).sum(2) *
                     scale_of(options.scale, q);  // [P, H]
  if (options.pair_bias.defined()) score = score + options.pair_bias;
  if (options.type_bias.defined()) {
    const at::Tensor type =
        pattern.type.defined() ? pattern.type.to(at::kLong) : at::zeros_like(row);
    score = score + options.type_bias.index_select(0, type);
  }
  const at::Tensor weight = at::exp(score - row_maximum(score, row, q.size(0)));
  const at::Tensor total = at::zeros({q.size(0), q.size(1)}, q.options()).index_add(0, row, weight);
  const at::Tensor safe = at::where(total > 0, total, at::ones_like(total));
  at::Tensor share = weight / safe.index_select(0, row);
  if (options.dropout > 0) {
    share =
        share *
        keep_factors(row.size(0), q.size(1), options.dropout, options.key).to(share.scalar_type());
  }
  return at::zeros_like(q)
      .index_add(0, row, share.unsqueeze(2) * v.index_select(0, column))
      .reshape(q_in.sizes());
}

std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q_in, const at::Tensor& k_in,
                                                 const at::Tensor& v_in, const at::Tensor& edge,
                                                 const AttentionPattern& given,
                                                 const EdgeAttentionOptions& options) {
  const AttentionPattern pattern = given.full() ? listed(given) : given;
  const at::Tensor q = heads_of(q_in, options.heads), k = heads_of(k_in, options.heads),
                   v = heads_of(v_in, options.heads);
  const at::Tensor row = rows_of_pairs(pattern), column = pattern.column.to(at::kLong);
  at::Tensor product =
      q.index_select(0, row) * k.index_select(0, column) * scale_of(options.scale, q);
  if (edge.defined()) product = product * edge.view({edge.size(0), q.size(1), q.size(2)});
  const at::Tensor weight =
      at::exp(at::clamp(product.sum(2), -options.clamp, options.clamp)).unsqueeze(2);
  const at::Tensor sum = at::zeros_like(q).index_add(0, row, weight * v.index_select(0, column));
  const at::Tensor total =
      at::zeros({q.size(0), q.size(1), 1}, q.options()).index_add(0, row, weight);
  const at::Tensor safe = at::where(total > 0, total + options.epsilon, at::ones_like(total));
  const bool wanted = options.edge_output && edge.defined();
  return {(sum / safe).reshape(q_in.sizes()),
          wanted ? product.reshape(edge.sizes()) : at::Tensor()};
}

}  // namespace gtrain::ops::reference
