#include "gtrain/nn/gen_conv.h"

#include <ATen/ops/relu.h>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {

GenConv::GenConv(std::int64_t width) {
  first_ = register_module("mlp_0", std::make_shared<Linear>(width, 2 * width, false));
  norm_ = register_module("norm", std::make_shared<BatchNorm>(2 * width));
  second_ = register_module("mlp_1", std::make_shared<Linear>(2 * width, width, false));
}

std::pair<at::Tensor, at::Tensor> GenConv::forward(const LocalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  const at::Tensor& start = input.edges.in_start;
  const at::Tensor message =
      at::relu(ops::gather(input.x, by_source(input.edges)) + input.e) + 1e-7;
  const at::Tensor weight = ops::segment_softmax(message, start);
  const at::Tensor sum = input.x + ops::segment_sum(weight * message, start);
  const at::Tensor hidden = at::relu(norm_->forward(first_->forward(sum), context));
  return {second_->forward(hidden), input.e};
}

std::string GenConv::script() const {
  return "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: "
         "Tensor) -> Tuple[Tensor, Tensor]:\n"
         "    message = torch.relu(x.index_select(0, source) + e) + 1e-07\n"
         "    index = target.unsqueeze(1).expand_as(message)\n"
         "    zero = torch.zeros_like(x)\n"
         "    largest = torch.scatter_reduce(zero, 0, index, message, \"amax\", "
         "include_self=False)\n"
         "    weight = torch.exp(message - largest.index_select(0, target))\n"
         "    total = torch.clamp(torch.index_add(zero, 0, target, weight), 1)\n"
         "    sum = torch.index_add(zero, 0, target, weight * message)\n"
         "    hidden = self.norm.forward(self.mlp_0.forward(x + sum / total), target)\n"
         "    return self.mlp_1.forward(torch.relu(hidden)), e\n";
}

std::string GenConv::fused_script() const {
  return "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: "
         "Tensor) -> Tuple[Tensor, Tensor]:\n"
         "    message = torch.relu(x.index_select(0, source) + e) + 1e-07\n"
         "    weight = gtrain.softmax(message, target, x.size(0))\n"
         "    sum = x + gtrain.reduce(weight * message, target, x.size(0), \"sum\")\n"
         "    hidden = self.norm.forward(self.mlp_0.forward(sum), target)\n"
         "    return self.mlp_1.forward(torch.relu(hidden)), e\n";
}

}  // namespace gtrain::nn
