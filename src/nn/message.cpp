#include "gtrain/nn/message.h"

#include <fmt/format.h>

#include <cmath>

#include "gtrain/ops/linear.h"
#include "gtrain/ops/message.h"

namespace gtrain::nn {

Gine::Gine(std::int64_t width, Activation activation) : activation_(activation) {
  first_ = register_module("mlp_0", std::make_shared<Linear>(width, width));
  second_ = register_module("mlp_1", std::make_shared<Linear>(width, width));
}

at::Tensor Gine::forward(const at::Tensor& x, const at::Tensor& e, const Edges& edges) {
  const at::Tensor sum = ops::gine_aggregate(x, e, edges);
  if (activation_ == Activation::kRelu) return second_->forward(first_->forward(sum, true));
  return second_->forward(activate(first_->forward(sum), activation_));
}

std::string Gine::script() const {
  return fmt::format(
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
      "    message = torch.relu(x.index_select(0, source) + e)\n"
      "    h = self.mlp_0.forward(torch.index_add(x, 0, target, message))\n"
      "    return self.mlp_1.forward({})\n",
      script_of(activation_, "h"));
}

GatedGcn::GatedGcn(std::int64_t width, Activation activation, double dropout)
    : activation_(activation), dropout_(dropout) {
  const auto linear = [&](const char* name) {
    return register_module(name, std::make_shared<Linear>(width, width));
  };
  a_ = linear("a");
  b_ = linear("b");
  c_ = linear("c");
  d_ = linear("d");
  e_ = linear("e");
  norm_x_ = register_module("norm_x", std::make_shared<BatchNorm>(width));
  norm_e_ = register_module("norm_e", std::make_shared<BatchNorm>(width));
}

std::pair<at::Tensor, at::Tensor> GatedGcn::forward(const at::Tensor& x, const at::Tensor& e,
                                                    const Edges& edges, Context& context) {
  // One product for the four projections of x: the weights are small beside the rows.
  const at::Tensor weight = at::cat({a_->weight, b_->weight, d_->weight, e_->weight});
  const at::Tensor bias = at::cat({a_->bias, b_->bias, d_->bias, e_->bias});
  const auto [h, ehat] = ops::gated_gcn(ops::linear(x, weight, bias), c_->forward(e), edges);
  const at::Tensor hx = norm_x_->forward(h, context), he = norm_e_->forward(ehat, context);
  const at::Tensor out_x = activate(hx, activation_, dropout_, context, x);
  return {out_x, activate(he, activation_, dropout_, context, e)};
}

std::string GatedGcn::script() const {
  return fmt::format(
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor) -> "
      "Tuple[Tensor, Tensor]:\n"
      "    ehat = self.d.forward(x).index_select(0, target) + "
      "self.e.forward(x).index_select(0, source) + self.c.forward(e)\n"
      "    gate = torch.sigmoid(ehat)\n"
      "    zero = torch.zeros_like(x)\n"
      "    total = torch.index_add(zero, 0, target, gate)\n"
      "    sum = torch.index_add(zero, 0, target, gate * self.b.forward(x).index_select(0, "
      "source))\n"
      "    h = self.a.forward(x) + sum / (total + 1e-06)\n"
      "    hx = self.norm_x.forward(h, target)\n"
      "    he = self.norm_e.forward(ehat, target)\n"
      "    return x + {}, e + {}\n",
      script_of(activation_, "hx"), script_of(activation_, "he"));
}

Gcn::Gcn(std::int64_t width) {
  weight = parameter("weight", {width, width});
  bias = parameter("bias", {width});
}

at::Tensor Gcn::forward(const at::Tensor& x, const Edges& edges) {
  const at::Tensor other = (edges.source != edges.target).to(x.scalar_type());
  const at::Tensor degree =
      at::ones({edges.nodes()}, x.options()).index_add(0, edges.target, other);
  const at::Tensor scale = degree.rsqrt();
  const at::Tensor w =
      other * scale.index_select(0, edges.source) * scale.index_select(0, edges.target);
  const at::Tensor h = ops::linear(x, weight, {});
  return ops::weighted_aggregate(h, degree.reciprocal(), w, edges) + bias;
}

std::string Gcn::script() const {
  return "def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
         "    other = (source != target).to(x.dtype)\n"
         "    degree = torch.index_add(torch.ones([x.size(0)], dtype=x.dtype, device=x.device), 0, "
         "target, other)\n"
         "    scale = torch.rsqrt(degree)\n"
         "    weight = other * scale.index_select(0, source) * scale.index_select(0, target)\n"
         "    h = torch.linear(x, self.weight)\n"
         "    own = h / degree.unsqueeze(1)\n"
         "    message = h.index_select(0, source) * weight.unsqueeze(1)\n"
         "    return torch.index_add(own, 0, target, message) + self.bias\n";
}

void Gcn::initialise(base::Random& random) {
  draw_uniform(weight, std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1))),
               random);
  const at::NoGradGuard guard;
  bias.zero_();
}

}  // namespace gtrain::nn
