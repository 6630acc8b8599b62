#include "gtrain/nn/ogb_message.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr const char* kForward =
    "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor) -> "
    "Tuple[Tensor, Tensor]:\n";

// sum_j w_ji relu(h_j)
at::Tensor rectified_sum(const at::Tensor& h, const at::Tensor& weight, const Edges& edges) {
  const at::Tensor none = at::zeros({edges.nodes()}, weight.options());
  return ops::weighted_aggregate(at::relu(h), none, weight, edges);
}

// TorchScript of relu(h_j + e_ji).
std::string message_script(const char* h, bool edges) {
  return fmt::format("    message = torch.relu({}.index_select(0, source){})\n", h,
                     edges ? " + e" : "");
}

}  // namespace

OgbGin::OgbGin(std::int64_t width, bool edges) : edges_(edges) {
  eps = parameter("eps", {1});
  first_ = register_module("mlp_0", std::make_shared<Linear>(width, 2 * width));
  norm_ = register_module("mlp_norm", std::make_shared<BatchNorm>(2 * width));
  second_ = register_module("mlp_1", std::make_shared<Linear>(2 * width, width));
}

std::pair<at::Tensor, at::Tensor> OgbGin::forward(const LocalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  const at::Tensor& x = input.x;
  const at::Tensor sum =
      edges_ ? ops::gine_aggregate(x, input.e, input.edges) + eps * x
             : rectified_sum(x, at::ones({input.edges.count()}, x.options()), input.edges) +
                   (1 + eps) * x;
  const at::Tensor hidden = at::relu(norm_->forward(first_->forward(sum), context));
  return {second_->forward(hidden), input.e};
}

std::string OgbGin::script() const {
  return kForward + message_script("x", edges_) +
         "    sum = torch.index_add((1 + self.eps) * x, 0, target, message)\n"
         "    h = torch.relu(self.mlp_norm.forward(self.mlp_0.forward(sum), target))\n"
         "    return self.mlp_1.forward(h), e\n";
}

std::string OgbGin::fused_script() const {
  if (!edges_) return script();
  return std::string(kForward) +
         "    sum = gtrain.gine(x, e, source, target) + self.eps * x\n"
         "    h = torch.relu(self.mlp_norm.forward(self.mlp_0.forward(sum), target))\n"
         "    return self.mlp_1.forward(h), e\n";
}

void OgbGin::initialise(base::Random&) {
  const at::NoGradGuard guard;
  eps.zero_();
}

OgbGcn::OgbGcn(std::int64_t width, bool edges) : edges_(edges) {
  root = parameter("root", {1, width});
  linear_ = register_module("linear", std::make_shared<Linear>(width, width));
}

std::pair<at::Tensor, at::Tensor> OgbGcn::forward(const LocalInput& input, Context&) {
  const ops::FlopScope running(*this);
  const Edges& edges = input.edges;
  const at::Tensor h = linear_->forward(input.x);
  const at::Tensor count =
      (edges.out_start.slice(0, 1) - edges.out_start.slice(0, 0, -1) + 1).to(h.scalar_type());
  const at::Tensor scale = count.rsqrt(), degree = count.to(h.device());
  const at::Tensor weight =
      (scale.index_select(0, edges.source) * scale.index_select(0, edges.target)).to(h.device());
  const at::Tensor own = at::relu(h + root) / degree.unsqueeze(1);
  if (!edges_) return {rectified_sum(h, weight, edges) + own, input.e};
  const at::Tensor message =
      at::relu(ops::gather(h, by_source(edges)) + input.e) * weight.unsqueeze(1);
  return {ops::segment_sum(message, edges.in_start) + own, input.e};
}

std::string OgbGcn::text(const std::string& sum) const {
  return std::string(kForward) +
         "    h = self.linear.forward(x)\n"
         "    degree = torch.bincount(source, minlength=x.size(0)).to(x.dtype) + 1\n"
         "    scale = torch.rsqrt(degree)\n"
         "    weight = scale.index_select(0, source) * scale.index_select(0, target)\n"
         "    own = torch.relu(h + self.root) / degree.unsqueeze(1)\n" +
         message_script("h", edges_) +
         "    message = message * weight.unsqueeze(1)\n"
         "    return " +
         sum + ", e\n";
}

std::string OgbGcn::script() const { return text("torch.index_add(own, 0, target, message)"); }

std::string OgbGcn::fused_script() const {
  return text("own + gtrain.reduce(message, target, x.size(0), \"sum\")");
}

void OgbGcn::initialise(base::Random& random) { draw_normal(root, 1.0, random); }

}  // namespace gtrain::nn
