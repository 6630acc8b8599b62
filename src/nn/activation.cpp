#include "gtrain/nn/activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>

#include "gtrain/ops/row.h"

namespace gtrain::nn {

Activation activation_named(const std::string& name) {
  TORCH_CHECK(name == "relu" || name == "gelu", "[activation] got ", name,
              "; expected relu or gelu");
  return name == "relu" ? Activation::kRelu : Activation::kGelu;
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  return activation == Activation::kRelu ? at::relu(x) : at::gelu(x);
}

const char* name_of(Activation activation) {
  return activation == Activation::kRelu ? "relu" : "gelu";
}

at::Tensor activate(const at::Tensor& x, Activation activation, double dropout, Context& context,
                    const at::Tensor& residual) {
  const bool dropping = context.training && dropout > 0;
  if (dropping && context.masks != nullptr) {
    return drop(activate(x, activation), dropout, context, residual);
  }
  const bool relu = activation == Activation::kRelu;
  return ops::activate_rows(x, {},
                            {relu ? ops::RowActivation::kRelu : ops::RowActivation::kGelu,
                             dropping ? dropout : 0.0, dropping ? context.next_key() : 0},
                            residual);
}

std::string script_of(Activation activation, const std::string& argument) {
  return (activation == Activation::kRelu ? "torch.relu(" : "torch.gelu(") + argument + ")";
}

}  // namespace gtrain::nn
