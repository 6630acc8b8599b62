#include "gtrain/nn/gate.h"

#include <fmt/format.h>

#include "gtrain/nn/local.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

Gate::Gate(std::int64_t width, Activation activation) : activation_(activation) {
  first_ = register_module("linear_0", std::make_shared<Linear>(1, width));
  second_ = register_module("linear_1", std::make_shared<Linear>(width, 1));
}

at::Tensor Gate::forward(const at::Tensor& positions, const Edges& edges) {
  TORCH_CHECK(positions.defined() && positions.size(0) == edges.nodes(),
              "[gate] got no position for each of ", edges.nodes(), " nodes");
  const at::Tensor apart =
      ops::gather(positions, by_target(edges)) - ops::gather(positions, by_source(edges));
  const at::Tensor square = (apart * apart).sum(1, true);  // [E, 1]
  return at::sigmoid(second_->forward(activate(first_->forward(square), activation_)));
}

std::string Gate::script() const {
  return fmt::format(
      "def forward(self, positions: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
      "    apart = positions.index_select(0, target) - positions.index_select(0, source)\n"
      "    h = self.linear_0.forward(torch.sum(apart * apart, 1, True))\n"
      "    return torch.sigmoid(self.linear_1.forward({}))\n",
      script_of(activation_, "h"));
}

}  // namespace gtrain::nn
