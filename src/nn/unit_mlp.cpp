#include "gtrain/nn/unit_mlp.h"

#include <ATen/ops/relu.h>
#include <fmt/format.h>

namespace gtrain::nn {

UnitMlp::UnitMlp(std::int64_t inputs, std::int64_t width, std::int64_t layers) {
  for (std::int64_t i = 0; i < layers; ++i, inputs = width) {
    linear_.push_back(register_module(fmt::format("linear_{}", i),
                                      std::make_shared<Linear>(inputs, width, /*bias=*/false)));
    norm_.push_back(register_module(fmt::format("norm_{}", i), std::make_shared<BatchNorm>(width)));
  }
}

at::Tensor UnitMlp::forward(const at::Tensor& x, Context& context) {
  at::Tensor h = x;
  for (std::size_t i = 0; i < linear_.size(); ++i) {
    h = unit_rows(at::relu(norm_[i]->forward(linear_[i]->forward(h), context)));
  }
  return h;
}

std::string UnitMlp::script() const {
  std::string text =
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
      "    h = x\n";
  for (std::size_t i = 0; i < linear_.size(); ++i) {
    text += fmt::format(
        "    h = torch.relu(self.norm_{0}.forward(self.linear_{0}.forward(h), batch))\n"
        "    h = {1}\n",
        i, unit_rows_script("h"));
  }
  return text + "    return h\n";
}

at::Tensor unit_rows(const at::Tensor& x) { return x / x.norm(2, -1, true).clamp_min(1e-12); }

std::string unit_rows_script(const std::string& argument) {
  return fmt::format("{0} / torch.clamp(torch.norm({0}, 2, -1, True), 1e-12)", argument);
}

}  // namespace gtrain::nn
