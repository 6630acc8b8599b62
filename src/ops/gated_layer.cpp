#include "gtrain/ops/gated_layer.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gtrain/ops/message.h"
#include "ops/detail/edge_check.h"
#include "ops/detail/edge_rows.h"
#include "ops/detail/gemm.h"
#include "ops/detail/kernels.h"

namespace gtrain::ops {
namespace {

// Running statistics as the factors of scale_shift, in T.
template <class T>
struct ColumnNorm {
  explicit ColumnNorm(const BatchNormState& s) {
    const at::ScalarType type = c10::CppTypeToScalarType<T>::value;
    const at::Tensor rstd = 1 / at::sqrt(s.running_var.to(at::kDouble) + s.eps);
    mean = s.running_mean.to(type).contiguous();
    scale = (s.weight.to(at::kDouble) * rstd).to(type);
    shift = s.bias.to(type).contiguous();
  }
  at::Tensor mean, scale, shift;

  // Rows [begin, end) of y in place: residual + act(norm(y)).
  void apply(std::int64_t begin, std::int64_t end, const T* residual, RowActivation activation,
             T* y) const {
    const auto& kernel = detail::kernels<T>().row;
    const std::int64_t d = mean.numel();
    kernel.scale_shift(begin, end, d, y, detail::data<T>(mean), detail::data<T>(scale),
                       detail::data<T>(shift), y);
    kernel.activate(begin, end, d,
                    {y,
                     nullptr,
                     residual,
                     static_cast<int>(activation),
                     {0, T{1}, 0},
                     y,
                     nullptr,
                     nullptr,
                     nullptr});
  }
};

template <class T>
void gated_blocks(const at::Tensor& abde, const at::Tensor& x, const at::Tensor& edge,
                  const GatedLayer& layer, const EdgeIndex& edges, at::Tensor& x_out,
                  at::Tensor& e_out) {
  const ColumnNorm<T> norm_x(layer.norm_x), norm_e(layer.norm_e);
  const at::Tensor w = layer.edges.weight.contiguous();
  const at::Tensor wt = detail::wants_transposed<T>() ? w.t().contiguous() : at::Tensor();
  const at::Tensor bias = layer.edges.bias.contiguous();
  const T *xp = detail::data<T>(x), *ep = detail::data<T>(edge), *wp = detail::data<T>(w);
  const T *wtp = wt.defined() ? detail::data<T>(wt) : nullptr, *bp = detail::data<T>(bias);
  T *xo = detail::mutable_data<T>(x_out), *eo = detail::mutable_data<T>(e_out);
  const std::int64_t d = x.size(1);
  // C, then ê, then the result stand in the edges' own rows of e_out.
  const detail::GatedForward<T> a{detail::data<T>(abde), eo, xo, eo, nullptr, nullptr, nullptr};
  const auto* start = detail::data<std::int64_t>(edges.in_start);
  detail::edge_rows(edges.in_start, edges.count(), 4 * d,
                    [&](std::int64_t begin, std::int64_t end) {
                      const auto& kernels = detail::kernels<T>();
                      const std::int64_t first = start[begin], last = start[end];
                      for (std::int64_t k = first; k < last; k += detail::kRowChunk) {
                        const std::int64_t count = std::min(detail::kRowChunk, last - k);
                        detail::product_nt<T>(count, d, d, ep + k * d, wp, wtp, eo + k * d);
                        kernels.row.bias_relu(0, count, d, bp, false, eo + k * d);
                      }
                      kernels.message.gated_forward(begin, end, d, a, detail::edge_view(edges));
                      norm_x.apply(begin, end, xp, layer.activation, xo);
                      norm_e.apply(first, last, ep, layer.activation, eo);
                    });
}

void check_layer(const GatedLayer& layer, std::int64_t d, at::ScalarType type) {
  const auto check = [&](const at::Tensor& t, at::IntArrayRef sizes, const char* what) {
    TORCH_CHECK(t.defined() && t.sizes() == sizes && t.scalar_type() == type, "[gated_layer] ",
                what, " has shape ", t.sizes(), " and type ", t.scalar_type(), "; expected ", sizes,
                " and ", type);
  };
  check(layer.nodes.weight, {4 * d, d}, "the weight of nodes");
  check(layer.nodes.bias, {4 * d}, "the bias of nodes");
  check(layer.edges.weight, {d, d}, "the weight of edges");
  check(layer.edges.bias, {d}, "the bias of edges");
  for (const BatchNormState* norm : {&layer.norm_x, &layer.norm_e}) {
    for (const at::Tensor* t :
         {&norm->weight, &norm->bias, &norm->running_mean, &norm->running_var}) {
      TORCH_CHECK(t->defined() && t->dim() == 1 && t->size(0) == d,
                  "[gated_layer] a tensor of a norm has shape ", t->sizes(), "; expected [", d,
                  "]");
    }
  }
}

}  // namespace

std::pair<at::Tensor, at::Tensor> gated_layer(const at::Tensor& x, const at::Tensor& edge,
                                              const GatedLayer& layer, const EdgeIndex& edges) {
  detail::check_edge_index("gated_layer", edges);
  TORCH_CHECK(x.dim() == 2 && x.size(0) == edges.nodes(), "[gated_layer] x has shape ", x.sizes(),
              "; expected [", edges.nodes(), ", D]");
  const std::int64_t d = x.size(1);
  TORCH_CHECK(edge.dim() == 2 && edge.size(0) == edges.count() && edge.size(1) == d &&
                  edge.scalar_type() == x.scalar_type(),
              "[gated_layer] edge has shape ", edge.sizes(), " and type ", edge.scalar_type(),
              "; expected [", edges.count(), ", ", d, "] and ", x.scalar_type());
  check_layer(layer, d, x.scalar_type());
  const at::Tensor abde = dense_chain(x, {layer.nodes});
  if (!x.is_cpu() || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble)) {
    const auto [h, ehat] = gated_gcn(abde, dense_chain(edge, {layer.edges}), edges);
    const RowOptions act{.activation = layer.activation};
    return {activate_rows(batch_norm(h, {}, layer.norm_x, false), {}, act, x),
            activate_rows(batch_norm(ehat, {}, layer.norm_e, false), {}, act, edge)};
  }
  const at::Tensor nodes = x.contiguous(), pairs = edge.contiguous();
  at::Tensor x_out = at::empty_like(nodes), e_out = at::empty_like(pairs);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gated_layer", [&] {
    gated_blocks<scalar_t>(abde, nodes, pairs, layer, edges, x_out, e_out);
  });
  return {x_out, e_out};
}

}  // namespace gtrain::ops
