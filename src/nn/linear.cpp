#include "gtrain/nn/linear.h"

#include <cmath>

#include "gtrain/ops/linear.h"

namespace gtrain::nn {

Linear::Linear(std::int64_t inputs, std::int64_t outputs, bool with_bias) {
  weight = parameter("weight", {outputs, inputs});
  if (with_bias) bias = parameter("bias", {outputs});
}

at::Tensor Linear::forward(const at::Tensor& x, bool relu) {
  return ops::linear(x, weight, bias, relu);
}

std::string Linear::script() const {
  return bias.defined() ? "def forward(self, x: Tensor) -> Tensor:\n"
                          "    return torch.linear(x, self.weight, self.bias)\n"
                        : "def forward(self, x: Tensor) -> Tensor:\n"
                          "    return torch.linear(x, self.weight)\n";
}

std::string Linear::fused_script() const {
  const std::string call = std::string("    return gtrain.linear(x, self.weight, ") +
                           (bias.defined() ? "self.bias" : "None");
  return "def forward(self, x: Tensor) -> Tensor:\n" + call + ", \"none\")\n" +
         "def activated(self, x: Tensor, activation: str) -> Tensor:\n" + call + ", activation)\n";
}

void Linear::initialise(base::Random& random) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.size(1)));
  draw_uniform(weight, bound, random);
  if (bias.defined()) draw_uniform(bias, bound, random);
}

}  // namespace gtrain::nn
