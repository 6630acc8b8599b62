#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "gtrain/ops/reference.h"

namespace gtrain::ops::reference {
namespace {

// f(rows of one segment) for each segment that has rows, put together; `empty` for the others.
template <class F>
std::vector<at::Tensor> by_segment(const at::Tensor& x, const at::Tensor& start, const F& f,
                                   const at::Tensor& empty = {}) {
  const std::int64_t* s = start.const_data_ptr<std::int64_t>();
  std::vector<at::Tensor> parts;
  for (std::int64_t g = 0; g + 1 < start.size(0); ++g) {
    if (s[g] < s[g + 1]) {
      parts.push_back(f(x.slice(0, s[g], s[g + 1])));
    } else if (empty.defined()) {
      parts.push_back(empty);
    }
  }
  return parts;
}

at::Tensor owner(const at::Tensor& start) {
  const at::Tensor count = start.slice(0, 1) - start.slice(0, 0, -1);
  return at::repeat_interleave(at::arange(count.size(0), at::kLong), count, 0);
}

}  // namespace

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start) {
  return at::zeros({start.size(0) - 1, x.size(1)}, x.options()).index_add(0, owner(start), x);
}

at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start) {
  const at::Tensor count = start.slice(0, 1) - start.slice(0, 0, -1);
  return segment_sum(x, start) / count.clamp_min(1).to(x.scalar_type()).unsqueeze(1);
}

at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start) {
  const auto rows = by_segment(
      x, start, [](const at::Tensor& part) { return std::get<0>(part.max(0)); },
      at::zeros({x.size(1)}, x.options()));
  return rows.empty() ? at::empty({0, x.size(1)}, x.options()) : at::stack(rows);
}

at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start) {
  const auto parts =
      by_segment(x, start, [](const at::Tensor& part) { return at::softmax(part, 0); });
  return parts.empty() ? x : at::cat(parts);
}

at::Tensor layer_norm(const at::Tensor& z, const at::Tensor& weight, const at::Tensor& bias,
                      double eps) {
  const at::Tensor centred = z - z.mean(1, true);
  return centred / (centred.square().mean(1, true) + eps).sqrt() * weight + bias;
}

at::Tensor graph_norm(const at::Tensor& z, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& graph_start, double eps) {
  const auto parts = by_segment(z, graph_start, [&](const at::Tensor& part) {
    const at::Tensor centred = part - part.mean();
    return centred / (centred.square().mean() + eps).sqrt();
  });
  return (parts.empty() ? z : at::cat(parts)) * weight + bias;
}

at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options) {
  const std::int64_t width = qkv.size(1) / 3 / heads;
  const double normalizer = std::pow(static_cast<double>(width), -0.25);
  const double ratio = 1 / std::sqrt(static_cast<double>(projection.size(0)));
  const at::Tensor w = projection.to(qkv.scalar_type());
  const auto features = [&](const at::Tensor& x, at::IntArrayRef stabiliser) {  // [H, n, d]
    const at::Tensor u = at::matmul(x * normalizer, w.t());                     // [H, n, m]
    const at::Tensor half = x.square().sum(-1, true) / 2 * (normalizer * normalizer);
    return ratio * (at::exp(u - half - u.amax(stabiliser, true).detach()) + options.eps);
  };
  const auto parts = by_segment(qkv, graph_start, [&](const at::Tensor& rows) {
    const std::int64_t n = rows.size(0),
                       padding = std::max<std::int64_t>(0, options.padded_length - n);
    const auto heads_of = [&](std::int64_t i) {  // [H, n, d]
      return rows.slice(1, i * heads * width, (i + 1) * heads * width)
          .reshape({n, heads, width})
          .transpose(0, 1);
    };
    const at::Tensor zeros = at::zeros({heads, padding, width}, qkv.options());
    const at::Tensor q = features(heads_of(0), {-1});
    const at::Tensor k = features(at::cat({heads_of(1), zeros}, 1), {-1, -2});
    const at::Tensor v = at::cat({heads_of(2), zeros}, 1);
    const at::Tensor context = at::matmul(k.transpose(1, 2), v);    // [H, m, d]
    const at::Tensor total = at::matmul(q, k.sum(1).unsqueeze(2));  // [H, n, 1]
    return (at::matmul(q, context) / total).transpose(0, 1).reshape({n, heads * width});
  });
  return parts.empty() ? qkv.slice(1, 0, heads * width) : at::cat(parts);
}

}  // namespace gtrain::ops::reference
