#include "gtrain/nn/norm.h"

#include <fmt/format.h>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/layer_norm.h"

namespace gtrain::nn {
namespace {

constexpr double kEpsilon = 1e-5;

void set_affine(const at::Tensor& weight, const at::Tensor& bias) {
  const at::NoGradGuard guard;
  weight.fill_(1);
  bias.fill_(0);
}

// forward and added of a fused norm; `rest`: what its operator takes after x and the residual.
std::string fused_text(const std::string& op, const std::string& rest) {
  return fmt::format(
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
      "    return gtrain.{0}(x, None, {1})\n"
      "def added(self, x: Tensor, residual: Tensor, batch: Tensor) -> Tensor:\n"
      "    return gtrain.{0}(x, residual, {1})\n",
      op, rest);
}

}  // namespace

BatchNorm::BatchNorm(std::int64_t width) {
  weight = parameter("weight", {width});
  bias = parameter("bias", {width});
  running_mean = buffer("running_mean", at::zeros({width}, at::kFloat));
  running_var = buffer("running_var", at::ones({width}, at::kFloat));
}

at::Tensor BatchNorm::forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor&,
                              double dropout, Context& context) {
  const ops::BatchNormState state{weight, bias, running_mean, running_var, 0.1, kEpsilon};
  const bool dropping = context.training && dropout > 0;
  if (dropping && context.masks != nullptr) {
    return ops::batch_norm(drop(x, dropout, context, residual), {}, state, true);
  }
  return ops::batch_norm(x, residual, state, context.training, dropping ? dropout : 0.0,
                         dropping ? context.next_key() : 0);
}

at::Tensor BatchNorm::forward(const at::Tensor& x, Context& context) {
  return forward(x, {}, {}, 0.0, context);
}

std::string BatchNorm::script() const {
  return "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
         "    return torch.batch_norm(x, self.weight, self.bias, self.running_mean, "
         "self.running_var, False, 0.1, 1e-05, False)\n";
}

std::string BatchNorm::fused_script() const {
  return fused_text("batch_norm", "self.weight, self.bias, self.running_mean, self.running_var");
}

void BatchNorm::initialise(base::Random&) {
  set_affine(weight, bias);
  running_mean.zero_();
  running_var.fill_(1);
}

GraphNorm::GraphNorm(std::int64_t width) {
  weight = parameter("weight", {width});
  bias = parameter("bias", {width});
}

at::Tensor GraphNorm::forward(const at::Tensor& x, const at::Tensor& residual,
                              const at::Tensor& graph_start, double dropout, Context& context) {
  const bool dropping = context.training && dropout > 0;
  if (dropping && context.masks != nullptr) {
    return ops::graph_norm(drop(x, dropout, context, residual), {}, weight, bias, graph_start,
                           {kEpsilon, 0.0, 0});
  }
  return ops::graph_norm(x, residual, weight, bias, graph_start,
                         {kEpsilon, dropping ? dropout : 0.0, dropping ? context.next_key() : 0});
}

std::string GraphNorm::script() const {
  return "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
         "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
         "    zero = torch.zeros([graphs], dtype=x.dtype, device=x.device)\n"
         "    count = torch.clamp(torch.index_add(zero, 0, batch, torch.ones_like(x[:, 0])), 1)\n"
         "    mean = torch.index_add(zero, 0, batch, x.mean(1)) / count\n"
         "    centred = x - mean.index_select(0, batch).unsqueeze(1)\n"
         "    variance = torch.index_add(zero, 0, batch, (centred * centred).mean(1)) / count\n"
         "    scale = torch.sqrt(variance + 1e-05).index_select(0, batch).unsqueeze(1)\n"
         "    return centred / scale * self.weight + self.bias\n";
}

std::string GraphNorm::fused_script() const {
  return fused_text("graph_norm", "self.weight, self.bias, batch");
}

void GraphNorm::initialise(base::Random&) { set_affine(weight, bias); }

LayerNorm::LayerNorm(std::int64_t width) {
  weight = parameter("weight", {width});
  bias = parameter("bias", {width});
}

at::Tensor LayerNorm::forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor&,
                              double dropout, Context& context) {
  const bool dropping = context.training && dropout > 0;
  if (dropping && context.masks != nullptr) {
    return ops::layer_norm(drop(x, dropout, context, residual), {}, weight, bias,
                           {kEpsilon, 0.0, 0});
  }
  return ops::layer_norm(x, residual, weight, bias,
                         {kEpsilon, dropping ? dropout : 0.0, dropping ? context.next_key() : 0});
}

std::string LayerNorm::script() const {
  return fmt::format(
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
      "    return torch.layer_norm(x, [{}], self.weight, self.bias, 1e-05, False)\n",
      weight.size(0));
}

std::string LayerNorm::fused_script() const {
  return fused_text("layer_norm", "self.weight, self.bias");
}

void LayerNorm::initialise(base::Random&) { set_affine(weight, bias); }

at::Tensor NoNorm::forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor&,
                           double dropout, Context& context) {
  return drop(x, dropout, context, residual);
}

std::string NoNorm::script() const {
  return "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
         "    return x\n";
}

std::string NoNorm::fused_script() const {
  return script() +
         "def added(self, x: Tensor, residual: Tensor, batch: Tensor) -> Tensor:\n"
         "    return gtrain.activate(x, \"none\", residual)\n";
}

std::shared_ptr<Norm> make_norm(const std::string& kind, std::int64_t width) {
  if (kind == "batch") return std::make_shared<BatchNorm>(width);
  if (kind == "layer") return std::make_shared<GraphNorm>(width);
  if (kind == "row") return std::make_shared<LayerNorm>(width);
  TORCH_CHECK(kind == "none", "[norm] got ", kind, "; expected batch, layer, row or none");
  return std::make_shared<NoNorm>();
}

}  // namespace gtrain::nn
