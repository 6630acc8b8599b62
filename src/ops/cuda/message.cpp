// Message passing on CUDA tensors.
#include "ops/cuda/message.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cuda/tensor.h"
#include "ops/cuda/work_tensor.h"
#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"

namespace gtrain::ops {
namespace {

using cuda::data;
using cuda::Element;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

// The edges on the device of x. Saved for backward in this order.
variable_list edges_on(const EdgeIndex& edges, const at::Tensor& x) {
  return {cuda::index_on(edges.source, x), cuda::index_on(edges.target, x),
          cuda::index_on(edges.out_edge, x), edges.in_start, edges.out_start};
}

// Their work lists, with workspace for `in_sums` and `out_sums` numbers of each part.
struct Edges {
  cuda::MessageEdges view;
  at::Tensor in_partial, out_partial;
  std::shared_ptr<cuda::WorkTensors> in, out;

  Edges(const variable_list& saved, std::size_t at, const at::Tensor& x, Index in_sums,
        Index out_sums)
      : in(cuda::work_on(saved[at + 3], x)), out(cuda::work_on(saved[at + 4], x)) {
    in_partial = in->partial(in_sums, x);
    out_partial = out->partial(out_sums, x);
    view.source = data<const Index>(saved[at]);
    view.target = data<const Index>(saved[at + 1]);
    view.out_edge = data<const Index>(saved[at + 2]);
    view.count = saved[at].size(0);
    view.in = in->work(in_partial);
    view.out = out->work(out_partial);
  }
};

class Gine : public torch::autograd::Function<Gine> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& e_in,
                            const variable_list& index) {
    const at::Tensor x = x_in.contiguous(), edge = e_in.contiguous();
    at::Tensor out = at::empty_like(x);
    const cuda::Launches launches(x);
    const Edges edges(index, 0, x, x.size(1), 0);
    cuda::with_element("gine_aggregate", x.scalar_type(), [&]<class S>(Element<S>) {
      cuda::Gine<S> a;
      a.edges = edges.view;
      a.width = static_cast<int>(x.size(1));
      a.x = data<const S>(x);
      a.edge = data<const S>(edge);
      a.out = data<S>(out);
      cuda::gine_forward<S>(a, launches.stream());
    });
    launches.check();
    variable_list saved{x, edge};
    saved.insert(saved.end(), index.begin(), index.end());
    ctx->save_for_backward(saved);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gine_aggregate");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &edge = saved[1], g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(x), dedge = at::empty_like(edge);
    const cuda::Launches launches(x);
    const Edges edges(saved, 2, x, 0, x.size(1));
    cuda::with_element("gine_aggregate", x.scalar_type(), [&]<class S>(Element<S>) {
      cuda::Gine<S> a;
      a.edges = edges.view;
      a.width = static_cast<int>(x.size(1));
      a.x = data<const S>(x);
      a.edge = data<const S>(edge);
      a.dout = data<const S>(g);
      a.dx = data<S>(dx);
      a.dedge = data<S>(dedge);
      cuda::gine_backward<S>(a, launches.stream());
    });
    launches.check();
    return {dx, dedge, at::Tensor()};
  }
};

class GatedGcn : public torch::autograd::Function<GatedGcn> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& abde_in,
                               const at::Tensor& c_in, const variable_list& index) {
    const at::Tensor abde = abde_in.contiguous(), c = c_in.contiguous();
    const Index n = abde.size(0), d = c.size(1);
    const at::Tensor h = at::empty({n, d}, abde.options()), ehat = at::empty_like(c);
    const at::Tensor denominator = at::empty({n, d}, cuda::compute_options(abde));
    const at::Tensor mean = at::empty_like(denominator);
    const cuda::Launches launches(abde);
    const Edges edges(index, 0, abde, 2 * d, 0);
    cuda::with_element("gated_gcn", abde.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      cuda::GatedGcn<S> a;
      a.edges = edges.view;
      a.width = static_cast<int>(d);
      a.abde = data<const S>(abde);
      a.c = data<const S>(c);
      a.h = data<S>(h);
      a.ehat = data<S>(ehat);
      a.denominator = data<A>(denominator);
      a.mean = data<A>(mean);
      cuda::gated_gcn_forward<S>(a, launches.stream());
    });
    launches.check();
    variable_list saved{abde, c, h, ehat, denominator, mean};
    saved.insert(saved.end(), index.begin(), index.end());
    ctx->save_for_backward(saved);
    ctx->set_materialize_grads(false);  // where ê goes nowhere, no zeros [E, D] are made and read
    return {h, ehat};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gated_gcn");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &abde = saved[0], &c = saved[1];
    const Index d = c.size(1);
    const at::Tensor dh = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(saved[2]);
    const at::Tensor dehat = grads[1].defined() ? grads[1].contiguous() : at::Tensor();
    at::Tensor dabde = at::empty_like(abde), dc = at::empty_like(c);
    const cuda::Launches launches(abde);
    const Edges edges(saved, 6, abde, d, 2 * d);
    cuda::with_element("gated_gcn", abde.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      cuda::GatedGcn<S> a;
      a.edges = edges.view;
      a.width = static_cast<int>(d);
      a.abde = data<const S>(abde);
      a.c = data<const S>(c);
      a.h = data<S>(saved[2]);
      a.ehat = data<S>(saved[3]);
      a.denominator = data<A>(saved[4]);
      a.mean = data<A>(saved[5]);
      a.dh = data<const S>(dh);
      a.dehat_in = data<const S>(dehat);
      a.dabde = data<S>(dabde);
      a.dc = data<S>(dc);
      cuda::gated_gcn_backward<S>(a, launches.stream());
    });
    launches.check();
    return {dabde, dc, at::Tensor()};
  }
};

// start, other, edge: as cuda::WeightedAggregate has them for one direction.
at::Tensor sweep(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                 const at::Tensor& start, const at::Tensor& other, const at::Tensor& edge) {
  at::Tensor out = at::empty_like(x);
  const cuda::Launches launches(x);
  const auto work = cuda::work_on(start, x);
  const at::Tensor partial = work->partial(x.size(1), x);
  cuda::with_element("weighted_aggregate", x.scalar_type(), [&]<class S>(Element<S>) {
    cuda::WeightedAggregate<S> a;
    a.work = work->work(partial);
    a.other = data<const Index>(other);
    a.edge = data<const Index>(edge);
    a.width = static_cast<int>(x.size(1));
    a.x = data<const S>(x);
    a.self = data<const S>(self);
    a.weight = data<const S>(weight);
    a.out = data<S>(out);
    cuda::weighted_aggregate<S>(a, launches.stream());
  });
  launches.check();
  return out;
}

class WeightedAggregate : public torch::autograd::Function<WeightedAggregate> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& self,
                            const at::Tensor& weight, const variable_list& index) {
    variable_list saved{self, weight};
    saved.insert(saved.end(), index.begin(), index.end());
    ctx->save_for_backward(saved);
    return sweep(x.contiguous(), self, weight, index[3], index[0], at::Tensor());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("weighted_aggregate");
    const variable_list s = ctx->get_saved_variables();
    const at::Tensor none;
    return {sweep(grads[0].contiguous(), s[0], s[1], s[6], s[3], s[4]), none, none, none};
  }
};

}  // namespace

namespace device {

at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges) {
  return Gine::apply(x, edge, edges_on(edges, x));
}

std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges) {
  const variable_list out = GatedGcn::apply(abde, c, edges_on(edges, abde));
  return {out[0], out[1]};
}

at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges) {
  return WeightedAggregate::apply(x, self.detach().to(x.device()).contiguous(),
                                  weight.detach().to(x.device()).contiguous(), edges_on(edges, x));
}

}  // namespace device
}  // namespace gtrain::ops
