#include "gtrain/nn/message.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <fmt/format.h>

#include <cmath>

#include "gtrain/nn/adjacency.h"
#include "gtrain/nn/form.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr double kDenominator = 1e-6;  // GatedGCN's

constexpr const char* kForward =
    "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor) -> "
    "Tuple[Tensor, Tensor]:\n";

// mlp_1(act(mlp_0(x)))
at::Tensor two_layers(Linear& first, Linear& second, Activation activation, const at::Tensor& x) {
  if (activation == Activation::kRelu) return second.forward(first.forward(x, true));
  return second.forward(activate(first.forward(x), activation));
}

}  // namespace

Gin::Gin(std::int64_t width, Activation activation) : activation_(activation) {
  first_ = register_module("mlp_0", std::make_shared<Linear>(width, width));
  second_ = register_module("mlp_1", std::make_shared<Linear>(width, width));
}

std::pair<at::Tensor, at::Tensor> Gin::forward(const LocalInput& input, Context&) {
  const ops::FlopScope running(*this);
  const at::Tensor one = at::ones({input.edges.nodes()}, input.x.options());
  const at::Tensor weight = at::ones({input.edges.count()}, input.x.options());
  const at::Tensor sum = ops::weighted_aggregate(input.x, one, weight, input.edges);
  return {two_layers(*first_, *second_, activation_, sum), input.e};
}

std::string Gin::script() const {
  return kForward + fmt::format(
                        "    message = x.index_select(0, source)\n"
                        "    h = self.mlp_0.forward(torch.index_add(x, 0, target, message))\n"
                        "    return self.mlp_1.forward({}), e\n",
                        script_of(activation_, "h"));
}

std::string Gin::fused_script() const {
  return kForward + fmt::format(
                        "    one = torch.ones([x.size(0)], dtype=x.dtype)\n"
                        "    weight = torch.ones([source.size(0)], dtype=x.dtype)\n"
                        "    sum = gtrain.aggregate(x, one, weight, source, target)\n"
                        "    return {}, e\n",
                        feed_script(Form::kFused, "mlp_0", "mlp_1", activation_, "sum"));
}

Gine::Gine(std::int64_t width, Activation activation, bool gates, std::optional<double> dropout)
    : activation_(activation), dropout_(dropout) {
  first_ = register_module("mlp_0", std::make_shared<Linear>(width, width));
  second_ = register_module("mlp_1", std::make_shared<Linear>(width, width));
  if (gates) gate_ = register_module("gate", std::make_shared<Gate>(width, Activation::kRelu));
}

std::pair<at::Tensor, at::Tensor> Gine::forward(const LocalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  at::Tensor sum;
  if (gate_) {
    const at::Tensor message = at::relu(ops::gather(input.x, by_source(input.edges)) + input.e) *
                               gate_->forward(input.positions, input.edges);
    sum = input.x + ops::segment_sum(message, input.edges.in_start);
  } else {
    sum = ops::gine_aggregate(input.x, input.e, input.edges);
  }
  if (dropout_) {
    const at::Tensor h = activate(first_->forward(sum), activation_, *dropout_, context);
    return {drop(second_->forward(h), *dropout_, context, input.x), input.e};
  }
  return {two_layers(*first_, *second_, activation_, sum), input.e};
}

std::string Gine::script() const {
  return kForward + fmt::format(
                        "    message = torch.relu(x.index_select(0, source) + e){}\n"
                        "    h = self.mlp_0.forward(torch.index_add(x, 0, target, message))\n"
                        "    return {}self.mlp_1.forward({}), e\n",
                        gate_ ? " * self.gate.forward(positions, source, target)" : "",
                        dropout_ ? "x + " : "", script_of(activation_, "h"));
}

std::string Gine::fused_script() const {
  const char* gated =
      "    message = torch.relu(x.index_select(0, source) + e) * "
      "self.gate.forward(positions, source, target)\n"
      "    sum = x + gtrain.reduce(message, target, x.size(0), \"sum\")\n";
  const char* plain = "    sum = gtrain.gine(x, e, source, target)\n";
  return std::string(kForward) + (gate_ ? gated : plain) +
         fmt::format("    return {}{}, e\n", dropout_ ? "x + " : "",
                     feed_script(Form::kFused, "mlp_0", "mlp_1", activation_, "sum"));
}

GatedGcn::GatedGcn(std::int64_t width, Activation activation, double dropout, bool gates)
    : activation_(activation), dropout_(dropout) {
  const auto linear = [&](const char* name) {
    return register_module(name, std::make_shared<Linear>(width, width));
  };
  a_ = linear("a");
  b_ = linear("b");
  c_ = linear("c");
  d_ = linear("d");
  e_ = linear("e");
  if (gates) gate_ = register_module("gate", std::make_shared<Gate>(width, activation));
  norm_x_ = register_module("norm_x", std::make_shared<BatchNorm>(width));
  norm_e_ = register_module("norm_e", std::make_shared<BatchNorm>(width));
}

// (x', ê) with gated messages.
std::pair<at::Tensor, at::Tensor> GatedGcn::gated(const LocalInput& input, const at::Tensor& abde) {
  const Edges& edges = input.edges;
  const std::int64_t d = abde.size(1) / 4;
  const at::Tensor from = ops::gather(
      at::cat({abde.slice(1, d, 2 * d), abde.slice(1, 3 * d, 4 * d)}, 1), by_source(edges));
  const at::Tensor ehat = ops::gather(abde.slice(1, 2 * d, 3 * d), by_target(edges)) +
                          from.slice(1, d, 2 * d) + c_->forward(input.e);
  const at::Tensor s = at::sigmoid(ehat) * gate_->forward(input.positions, edges);
  const at::Tensor sum = ops::segment_sum(s * from.slice(1, 0, d), edges.in_start);
  const at::Tensor total = ops::segment_sum(s, edges.in_start);
  return {abde.slice(1, 0, d) + sum / (total + kDenominator), ehat};
}

namespace {

constexpr const char* kProjections =
    "    weight = torch.cat([self.a.weight, self.b.weight, self.d.weight, self.e.weight])\n"
    "    bias = torch.cat([self.a.bias, self.b.bias, self.d.bias, self.e.bias])\n";

// {0} width, {1} denominator, {2} activation
constexpr const char* kGated =
    "    abde = gtrain.linear(x, weight, bias)\n"
    "    ends = torch.cat([abde[:, {0}:2 * {0}], abde[:, 3 * {0}:]], 1).index_select(0, source)\n"
    "    ehat = abde[:, 2 * {0}:3 * {0}].index_select(0, target) + ends[:, {0}:]\n"
    "    ehat = ehat + self.c.forward(e)\n"
    "    s = torch.sigmoid(ehat) * self.gate.forward(positions, source, target)\n"
    "    sum = gtrain.reduce(s * ends[:, :{0}], target, x.size(0), \"sum\")\n"
    "    total = gtrain.reduce(s, target, x.size(0), \"sum\")\n"
    "    hx = self.norm_x.forward(abde[:, :{0}] + sum / (total + {1:g}), target)\n"
    "    he = self.norm_e.forward(ehat, target)\n"
    "    return gtrain.activate(hx, \"{2}\", x), gtrain.activate(he, \"{2}\", e)\n";

std::string norm_list(const char* name) {
  return fmt::format(
      "[self.{0}.weight, self.{0}.bias, self.{0}.running_mean, self.{0}.running_var]", name);
}

}  // namespace

std::string GatedGcn::fused_script() const {
  const std::string head = std::string(kForward) + kProjections;
  if (gate_) {
    return head + fmt::format(fmt::runtime(kGated), a_->weight.size(0), kDenominator,
                              name_of(activation_));
  }
  return head + fmt::format(
                    "    return gtrain.gated_layer(x, e, [weight, bias, self.c.weight, "
                    "self.c.bias], {}, {}, \"{}\", source, target)\n",
                    norm_list("norm_x"), norm_list("norm_e"), name_of(activation_));
}

std::pair<at::Tensor, at::Tensor> GatedGcn::forward(const LocalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  // One product for the four projections of x: the weights are small beside the rows.
  const at::Tensor weight = at::cat({a_->weight, b_->weight, d_->weight, e_->weight});
  const at::Tensor bias = at::cat({a_->bias, b_->bias, d_->bias, e_->bias});
  const at::Tensor abde = ops::linear(input.x, weight, bias);
  const auto [h, ehat] =
      gate_ ? gated(input, abde) : ops::gated_gcn(abde, c_->forward(input.e), input.edges);
  const at::Tensor hx = norm_x_->forward(h, context), he = norm_e_->forward(ehat, context);
  const at::Tensor out = activate(hx, activation_, dropout_, context, input.x);
  return {out, activate(he, activation_, dropout_, context, input.e)};
}

std::string GatedGcn::script() const {
  return kForward +
         fmt::format(
             "    ehat = self.d.forward(x).index_select(0, target) + "
             "self.e.forward(x).index_select(0, source) + self.c.forward(e)\n"
             "    gate = torch.sigmoid(ehat){}\n"
             "    zero = torch.zeros_like(x)\n"
             "    total = torch.index_add(zero, 0, target, gate)\n"
             "    sum = torch.index_add(zero, 0, target, gate * self.b.forward(x).index_select(0, "
             "source))\n"
             "    h = self.a.forward(x) + sum / (total + 1e-06)\n"
             "    hx = self.norm_x.forward(h, target)\n"
             "    he = self.norm_e.forward(ehat, target)\n"
             "    return x + {}, e + {}\n",
             gate_ ? " * self.gate.forward(positions, source, target)" : "",
             script_of(activation_, "hx"), script_of(activation_, "he"));
}

Gcn::Gcn(std::int64_t width, bool with_bias) {
  weight = parameter("weight", {width, width});
  if (with_bias) bias = parameter("bias", {width});
}

std::pair<at::Tensor, at::Tensor> Gcn::forward(const LocalInput& input, Context&) {
  const ops::FlopScope running(*this);
  const at::Tensor h = normalised_sum(ops::linear(input.x, weight, {}), input.edges);
  return {bias.defined() ? h + bias : h, input.e};
}

std::string Gcn::script() const {
  return normalised_sum_script() + kForward +
         "    h = self.normalised_sum(torch.linear(x, self.weight), source, target)\n" +
         (bias.defined() ? "    return h + self.bias, e\n" : "    return h, e\n");
}

std::string Gcn::fused_script() const {
  return fused_normalised_sum_script() + kForward +
         "    h = self.normalised_sum(gtrain.linear(x, self.weight, None), source, target)\n" +
         (bias.defined() ? "    return h + self.bias, e\n" : "    return h, e\n");
}

void Gcn::initialise(base::Random& random) {
  draw_uniform(weight, std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1))),
               random);
  const at::NoGradGuard guard;
  if (bias.defined()) bias.zero_();
}

}  // namespace gtrain::nn
