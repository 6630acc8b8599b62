#include "gtrain/ops/message.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

detail::EdgeView view(const EdgeIndex& e) {
  return {e.source.const_data_ptr<std::int64_t>(), e.target.const_data_ptr<std::int64_t>(),
          e.in_start.const_data_ptr<std::int64_t>(), e.out_start.const_data_ptr<std::int64_t>(),
          e.out_edge.const_data_ptr<std::int64_t>()};
}

EdgeIndex restore(const variable_list& saved, std::size_t at) {
  return {saved[at], saved[at + 1], saved[at + 2], saved[at + 3], saved[at + 4]};
}

template <class Body>
void rows(const EdgeIndex& edges, std::int64_t d, const Body& body) {
  detail::parallel_rows(edges.nodes(), d,
                        [&](std::int64_t, std::int64_t b, std::int64_t e) { body(b, e); });
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
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gine_aggregate", [&] {
      rows(edges, d, [&](std::int64_t b, std::int64_t e) {
        detail::kernels<scalar_t>().gine_forward(b, e, d, x.const_data_ptr<scalar_t>(),
                                                 edge.const_data_ptr<scalar_t>(), view(edges),
                                                 out.mutable_data_ptr<scalar_t>());
      });
    });
    ctx->save_for_backward({x, edge, source, target, in_start, out_start, out_edge});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &edge = saved[1];
    const EdgeIndex edges = restore(saved, 2);
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(x), de = at::empty_like(edge);
    const std::int64_t d = x.size(1);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gine_aggregate_backward", [&] {
      const auto& kernel = detail::kernels<scalar_t>();
      rows(edges, d, [&](std::int64_t b, std::int64_t e) {
        kernel.gine_backward_edges(b, e, d, x.const_data_ptr<scalar_t>(),
                                   edge.const_data_ptr<scalar_t>(), g.const_data_ptr<scalar_t>(),
                                   view(edges), de.mutable_data_ptr<scalar_t>());
      });
      rows(edges, d, [&](std::int64_t b, std::int64_t e) {
        kernel.gine_backward_nodes(b, e, d, g.const_data_ptr<scalar_t>(),
                                   de.const_data_ptr<scalar_t>(), view(edges),
                                   dx.mutable_data_ptr<scalar_t>());
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
    at::Tensor sigma = at::empty_like(c), den = at::empty_like(h), mean = at::empty_like(h);
    AT_DISPATCH_FLOATING_TYPES(abde.scalar_type(), "gated_gcn", [&] {
      rows(edges, 4 * d, [&](std::int64_t b, std::int64_t e) {
        detail::kernels<scalar_t>().gated_forward(
            b, e, d, abde.const_data_ptr<scalar_t>(), c.const_data_ptr<scalar_t>(), view(edges),
            h.mutable_data_ptr<scalar_t>(), ehat.mutable_data_ptr<scalar_t>(),
            sigma.mutable_data_ptr<scalar_t>(), den.mutable_data_ptr<scalar_t>(),
            mean.mutable_data_ptr<scalar_t>());
      });
    });
    ctx->save_for_backward({abde, sigma, den, mean, source, target, in_start, out_start, out_edge});
    return {h, ehat};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &abde = saved[0], &sigma = saved[1], &den = saved[2], &mean = saved[3];
    const EdgeIndex edges = restore(saved, 4);
    const at::Tensor dh = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(mean);
    const at::Tensor dehat_in = grads[1].defined() ? grads[1].contiguous() : grads[1];
    const std::int64_t d = abde.size(1) / 4;
    at::Tensor dabde = at::empty_like(abde), dehat = at::empty_like(sigma);
    AT_DISPATCH_FLOATING_TYPES(abde.scalar_type(), "gated_gcn_backward", [&] {
      const auto& kernel = detail::kernels<scalar_t>();
      const scalar_t* in = dehat_in.defined() ? dehat_in.const_data_ptr<scalar_t>() : nullptr;
      rows(edges, 4 * d, [&](std::int64_t b, std::int64_t e) {
        kernel.gated_backward_targets(
            b, e, d, abde.const_data_ptr<scalar_t>(), sigma.const_data_ptr<scalar_t>(),
            den.const_data_ptr<scalar_t>(), mean.const_data_ptr<scalar_t>(),
            dh.const_data_ptr<scalar_t>(), in, view(edges), dehat.mutable_data_ptr<scalar_t>(),
            dabde.mutable_data_ptr<scalar_t>());
      });
      rows(edges, 4 * d, [&](std::int64_t b, std::int64_t e) {
        kernel.gated_backward_sources(b, e, d, sigma.const_data_ptr<scalar_t>(),
                                      den.const_data_ptr<scalar_t>(), dh.const_data_ptr<scalar_t>(),
                                      dehat.const_data_ptr<scalar_t>(), view(edges),
                                      dabde.mutable_data_ptr<scalar_t>());
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
    const EdgeIndex edges{source, target, in_start, out_start, out_edge};
    ctx->save_for_backward({self, weight, source, target, in_start, out_start, out_edge});
    return sweep(x_in.contiguous(), self, weight, edges, in_start, source, at::Tensor());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const EdgeIndex edges = restore(saved, 2);
    const at::Tensor none;
    const at::Tensor dx = sweep(grads[0].contiguous(), saved[0], saved[1], edges, edges.out_start,
                                edges.target, edges.out_edge);
    return {dx, none, none, none, none, none, none, none};
  }

 private:
  static at::Tensor sweep(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                          const EdgeIndex& edges, const at::Tensor& start, const at::Tensor& other,
                          const at::Tensor& edge) {
    at::Tensor out = at::empty_like(x);
    const std::int64_t d = x.size(1);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "weighted_aggregate", [&] {
      rows(edges, d, [&](std::int64_t b, std::int64_t e) {
        detail::kernels<scalar_t>().weighted_sum(
            b, e, d, x.const_data_ptr<scalar_t>(), self.const_data_ptr<scalar_t>(),
            weight.const_data_ptr<scalar_t>(), start.const_data_ptr<std::int64_t>(),
            other.const_data_ptr<std::int64_t>(),
            edge.defined() ? edge.const_data_ptr<std::int64_t>() : nullptr,
            out.mutable_data_ptr<scalar_t>());
      });
    });
    return out;
  }
};

void check_edges(const char* op, const at::Tensor& x, const EdgeIndex& edges) {
  TORCH_CHECK(x.dim() == 2 && x.size(0) == edges.nodes(), "[", op, "] x has shape ", x.sizes(),
              "; expected [", edges.nodes(), ", D] as the edge index");
}

}  // namespace

at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges) {
  check_edges("gine_aggregate", x, edges);
  TORCH_CHECK(edge.dim() == 2 && edge.size(0) == edges.count() && edge.size(1) == x.size(1),
              "[gine_aggregate] edge has shape ", edge.sizes(), "; expected [", edges.count(), ", ",
              x.size(1), "]");
  return Gine::apply(x, edge, edges.source, edges.target, edges.in_start, edges.out_start,
                     edges.out_edge);
}

std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges) {
  check_edges("gated_gcn", abde, edges);
  TORCH_CHECK(c.dim() == 2 && c.size(0) == edges.count() && 4 * c.size(1) == abde.size(1),
              "[gated_gcn] c has shape ", c.sizes(), "; expected [", edges.count(), ", ",
              abde.size(1) / 4, "]");
  const variable_list out = GatedGcn::apply(abde, c, edges.source, edges.target, edges.in_start,
                                            edges.out_start, edges.out_edge);
  return {out[0], out[1]};
}

at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges) {
  check_edges("weighted_aggregate", x, edges);
  TORCH_CHECK(self.size(0) == edges.nodes() && weight.size(0) == edges.count(),
              "[weighted_aggregate] self and weight have shapes ", self.sizes(), " and ",
              weight.sizes(), "; expected [", edges.nodes(), "] and [", edges.count(), "]");
  return WeightedAggregate::apply(x, self, weight, edges.source, edges.target, edges.in_start,
                                  edges.out_start, edges.out_edge);
}

}  // namespace gtrain::ops
