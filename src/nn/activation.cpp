#include "gtrain/nn/activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>

namespace gtrain::nn {

Activation activation_named(const std::string& name) {
  TORCH_CHECK(name == "relu" || name == "gelu", "[activation] got ", name,
              "; expected relu or gelu");
  return name == "relu" ? Activation::kRelu : Activation::kGelu;
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  return activation == Activation::kRelu ? at::relu(x) : at::gelu(x);
}

std::string script_of(Activation activation, const std::string& argument) {
  return (activation == Activation::kRelu ? "torch.relu(" : "torch.gelu(") + argument + ")";
}

}  // namespace gtrain::nn
