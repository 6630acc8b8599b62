#include "gtrain/nn/gcnii.h"

#include <fmt/format.h>

#include <cmath>

#include "gtrain/nn/adjacency.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"

namespace gtrain::nn {

Gcnii::Gcnii(std::int64_t width, double alpha, double beta) : alpha_(alpha), beta_(beta) {
  weight = parameter("weight", {width, width});
}

at::Tensor Gcnii::forward(const at::Tensor& x, const at::Tensor& x0, const Edges& edges) {
  const ops::FlopScope running(*this);
  const at::Tensor h = (1 - alpha_) * normalised_sum(x, edges) + alpha_ * x0;
  const at::Tensor mapped = ops::linear(h, weight, {});
  return beta_ == 1 ? mapped : (1 - beta_) * h + beta_ * mapped;
}

std::string Gcnii::forward_script() const {
  return fmt::format(
      "def forward(self, x: Tensor, x0: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
      "    h = {:.17g} * self.normalised_sum(x, source, target) + {:.17g} * x0\n"
      "    return {:.17g} * h + {:.17g} * torch.linear(h, self.weight)\n",
      1 - alpha_, alpha_, 1 - beta_, beta_);
}

std::string Gcnii::script() const { return normalised_sum_script() + forward_script(); }

std::string Gcnii::fused_script() const { return fused_normalised_sum_script() + forward_script(); }

void Gcnii::initialise(base::Random& random) {
  draw_uniform(weight, std::sqrt(3.0 / static_cast<double>(weight.size(0))), random);
}

}  // namespace gtrain::nn
