#include "gtrain/nn/standardised_linear.h"

#include <ATen/ops/tensor.h>

namespace gtrain::nn {

StandardisedLinear::StandardisedLinear(const std::vector<double>& column_means,
                                       const std::vector<double>& deviations,
                                       std::int64_t outputs) {
  TORCH_CHECK(column_means.size() == deviations.size(), "[standardised_linear] got ",
              deviations.size(), " deviations; expected ", column_means.size());
  mean = buffer("mean", at::tensor(column_means, at::kFloat));
  deviation = buffer("deviation", at::tensor(deviations, at::kFloat));
  linear_ = register_module(
      "linear", std::make_shared<Linear>(static_cast<std::int64_t>(column_means.size()), outputs));
}

at::Tensor StandardisedLinear::forward(const at::Tensor& x) {
  return linear_->forward((x - mean) / deviation);
}

std::string StandardisedLinear::script() const {
  return "def forward(self, x: Tensor) -> Tensor:\n"
         "    return self.linear.forward((x - self.mean) / self.deviation)\n";
}

}  // namespace gtrain::nn
