#include "gtrain/ops/message.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/edge_check.h"
#include "ops/detail/edge_rows.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/kernels.h"
#include "ops/detail/op_count.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

EdgeIndex restore(const variable_list& saved, std::size_t at) {
  return {saved[at], saved[at + 1], saved[at + 2], saved[at + 3], saved[at + 4]};
}

class Gine : public torch::autograd::Function<Gine> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& e_in,
                            const at::Tensor& source, const at::Tensor& target,
                            const at::Tensor& in_start, const at::Tensor& out_start,
                            const at::Tensor& out_edge) {
    const at::Tensor x = x_in.contiguous(), edge = e_in.contiguous();
    const EdgeIndex edges{source, target, in_start, out_start, out_edge};
    at::Tensor out = at::empty_like(x);
    const std::int64_t d = x.size(1);
    detail::with_storage("gine_aggregate", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      const S *xp = detail::data<S>(x), *ep = detail::data<S>(edge);
      S* op = detail::mutable_data<S>(out);
      detail::edge_rows(in_start, edges.count(), d, [&](std::int64_t b, std::int64_t e) {
        detail::kernels<S>().message.gine_forward(b, e, d, xp, ep, detail::edge_view(edges), op);
      });
    });
    ctx->save_for_backward({x, edge, source, target, in_start, out_start, out_edge});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gine_aggregate");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &edge = saved[1];
    const EdgeIndex edges = restore(saved, 2);
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(x), de = at::empty_like(edge);
    const std::int64_t d = x.size(1);
    detail::with_storage("gine_aggregate", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      const auto& kernel = detail::kernels<S>().message;
      const S *xp = detail::data<S>(x), *ep = detail::data<S>(edge), *gp = detail::data<S>(g);
      S *dxp = detail::mutable_data<S>(dx), *dep = detail::mutable_data<S>(de);
      detail::edge_rows(edges.in_start, edges.count(), d, [&](std::int64_t b, std::int64_t e) {
        kernel.gine_backward_edges(b, e, d, xp, ep, gp, detail::edge_view(edges), dep);
      });
      detail::edge_rows(edges.out_start, edges.count(), d, [&](std::int64_t b, std::int64_t e) {
        kernel.gine_backward_nodes(b, e, d, gp, dep, detail::edge_view(edges), dxp);
      });
    });
    const at::Tensor none;
    return {dx, de, none, none, none, none, none};
  }
};

class GatedGcn : public torch::autograd::Function<GatedGcn> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& abde_in,
                               const at::Tensor& c_in, const at::Tensor& source,
                               const at::Tensor& target, const at::Tensor& in_start,
                               const at::Tensor& out_start, const at::Tensor& out_edge) {
    const at::Tensor abde = abde_in.contiguous(), c = c_in.contiguous();
    const EdgeIndex edges{source, target, in_start, out_start, out_edge};
    const std::int64_t n = abde.size(0), d = abde.size(1) / 4;
    at::Tensor h = at::empty({n, d}, abde.options()), ehat = at::empty_like(c);
    at::Tensor sigma = at::empty_like(c);
    at::Tensor denominator =
        at::empty({n, d}, abde.options().dtype(detail::compute_type(abde.scalar_type())));
    at::Tensor mean = at::empty_like(denominator);
    detail::with_storage("gated_gcn", abde.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      const detail::GatedForward<S> a{
          detail::data<S>(abde),          detail::data<S>(c),
          detail::mutable_data<S>(h),     detail::mutable_data<S>(ehat),
          detail::mutable_data<S>(sigma), detail::mutable_data<T>(denominator),
          detail::mutable_data<T>(mean)};
      detail::edge_rows(in_start, edges.count(), 4 * d, [&](std::int64_t b, std::int64_t e) {
        detail::kernels<S>().message.gated_forward(b, e, d, a, detail::edge_view(edges));
      });
    });
    ctx->set_materialize_grads(false);  // of the output that nobody reads: [E, D] zeros
    ctx->save_for_backward(
        {abde, sigma, denominator, mean, source, target, in_start, out_start, out_edge});
    return {h, ehat};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gated_gcn");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &abde = saved[0], &sigma = saved[1];
    const EdgeIndex edges = restore(saved, 4);
    const std::int64_t n = abde.size(0), d = abde.size(1) / 4;
    const at::Tensor dh =
        grads[0].defined() ? grads[0].contiguous() : at::zeros({n, d}, abde.options());
    const at::Tensor dehat_in = grads[1].defined() ? grads[1].contiguous() : grads[1];
    at::Tensor dabde = at::empty_like(abde), dehat = at::empty_like(sigma);
    detail::with_storage("gated_gcn", abde.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      const auto& kernel = detail::kernels<S>().message;
      const detail::GatedBackward<S> a{detail::data<S>(abde),
                                       detail::data<S>(sigma),
                                       detail::data<T>(saved[2]),
                                       detail::data<T>(saved[3]),
                                       detail::data<S>(dh),
                                       dehat_in.defined() ? detail::data<S>(dehat_in) : nullptr,
                                       detail::mutable_data<S>(dehat),
                                       detail::mutable_data<S>(dabde)};
      detail::edge_rows(edges.in_start, edges.count(), 4 * d, [&](std::int64_t b, std::int64_t e) {
        kernel.gated_backward_targets(b, e, d, a, detail::edge_view(edges));
      });
      detail::edge_rows(edges.out_start, edges.count(), 4 * d, [&](std::int64_t b, std::int64_t e) {
        kernel.gated_backward_sources(b, e, d, a, detail::edge_view(edges));
      });
    });
    const at::Tensor none;
    return {dabde, dehat, none, none, none, none, none};
  }
};

class WeightedAggregate : public torch::autograd::Function<WeightedAggregate> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& self,
                            const at::Tensor& weight, const at::Tensor& source,
                            const at::Tensor& target, const at::Tensor& in_start,
                            const at::Tensor& out_start, const at::Tensor& out_edge) {
    ctx->save_for_backward({self, weight, source, target, in_start, out_start, out_edge});
    return sweep(x_in.contiguous(), self, weight, in_start, source, at::Tensor());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("weighted_aggregate");
    const variable_list saved = ctx->get_saved_variables();
    const EdgeIndex edges = restore(saved, 2);
    const at::Tensor none;
    const at::Tensor dx = sweep(grads[0].contiguous(), saved[0], saved[1], edges.out_start,
                                edges.target, edges.out_edge);
    return {dx, none, none, none, none, none, none, none};
  }

 private:
  static at::Tensor sweep(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                          const at::Tensor& start, const at::Tensor& other,
                          const at::Tensor& edge) {
    at::Tensor out = at::empty_like(x);
    const std::int64_t d = x.size(1);
    detail::with_storage("weighted_aggregate", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using Index = std::int64_t;
      const detail::WeightedSum<S> a{
          detail::data<S>(x),          detail::data<S>(self),
          detail::data<S>(weight),     detail::data<Index>(start),
          detail::data<Index>(other),  edge.defined() ? detail::data<Index>(edge) : nullptr,
          detail::mutable_data<S>(out)};
      detail::edge_rows(start, other.size(0), d, [&](Index b, Index e) {
        detail::kernels<S>().message.weighted_sum(b, e, d, a);
      });
    });
    return out;
  }
};

void check_edges(const char* op, const at::Tensor& x, const EdgeIndex& edges) {
  detail::check_edge_index(op, edges);
  TORCH_CHECK(x.dim() == 2 && x.size(0) == edges.nodes(), "[", op, "] x has shape ", x.sizes(),
              "; expected [", edges.nodes(), ", D] as the edge index");
}

void check_type(const char* op, const char* name, const at::Tensor& t, const at::Tensor& x) {
  TORCH_CHECK(t.scalar_type() == x.scalar_type(), "[", op, "] ", name, " is ", t.scalar_type(),
              "; expected ", x.scalar_type());
}

}  // namespace

at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges) {
  check_edges("gine_aggregate", x, edges);
  TORCH_CHECK(edge.dim() == 2 && edge.size(0) == edges.count() && edge.size(1) == x.size(1),
              "[gine_aggregate] edge has shape ", edge.sizes(), "; expected [", edges.count(), ", ",
              x.size(1), "]");
  check_type("gine_aggregate", "edge", edge, x);
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(edge.numel(), 3));
  if (detail::on_device("gine_aggregate", x, edge)) {
    return device::gine_aggregate(x, edge, edges);
  }
  return Gine::apply(x, edge, edges.source, edges.target, edges.in_start, edges.out_start,
                     edges.out_edge);
}

std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges) {
  check_edges("gated_gcn", abde, edges);
  TORCH_CHECK(c.dim() == 2 && c.size(0) == edges.count() && 4 * c.size(1) == abde.size(1),
              "[gated_gcn] c has shape ", c.sizes(), "; expected [", edges.count(), ", ",
              abde.size(1) / 4, "]");
  check_type("gated_gcn", "c", c, abde);
  const detail::OpCount
      count;  // per edge two sums, the gate's 3, its product, two sums; per node 3
  if (count) {
    count.add(Work::kMessage, detail::flops(c.numel(), 8) + detail::flops(abde.numel() / 4, 3));
  }
  if (detail::on_device("gated_gcn", abde, c)) return device::gated_gcn(abde, c, edges);
  const variable_list out = GatedGcn::apply(abde, c, edges.source, edges.target, edges.in_start,
                                            edges.out_start, edges.out_edge);
  return {out[0], out[1]};
}

at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges) {
  check_edges("weighted_aggregate", x, edges);
  TORCH_CHECK(self.dim() == 1 && self.size(0) == edges.nodes() && weight.dim() == 1 &&
                  weight.size(0) == edges.count(),
              "[weighted_aggregate] self and weight have shapes ", self.sizes(), " and ",
              weight.sizes(), "; expected [", edges.nodes(), "] and [", edges.count(), "]");
  check_type("weighted_aggregate", "self", self, x);
  check_type("weighted_aggregate", "weight", weight, x);
  const detail::OpCount count;
  if (count) {
    count.add(Work::kMessage,
              detail::flops(edges.count() * x.size(1), 2) + detail::flops(x.numel()));
  }
  if (detail::on_device("weighted_aggregate", x, {self, weight})) {
    return device::weighted_aggregate(x, self, weight, edges);
  }
  return WeightedAggregate::apply(x, self.contiguous(), weight.contiguous(), edges.source,
                                  edges.target, edges.in_start, edges.out_start, edges.out_edge);
}

}  // namespace gtrain::ops
