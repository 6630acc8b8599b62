#include "gtrain/nn/pna.h"

#include <ATen/ops/cat.h>
#include <fmt/format.h>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {

Pna::Pna(std::int64_t width, std::int64_t edge_width) {
  edge_ = register_module("edge", std::make_shared<Linear>(edge_width, width));
  pre_ = register_module("pre", std::make_shared<Linear>(3 * width, width));
  post_ = register_module("post", std::make_shared<Linear>(4 * width, width));
  out_ = register_module("out", std::make_shared<Linear>(width, width));
}

std::pair<at::Tensor, at::Tensor> Pna::forward(const LocalInput& input, Context&) {
  const ops::FlopScope running(*this);
  const Edges& edges = input.edges;
  const std::int64_t d = input.x.size(1);
  // W_pre in three parts: those of the nodes are applied once a node, not once an edge.
  const at::Tensor& w = pre_->weight;
  const at::Tensor ends =
      ops::linear(input.x, at::cat({w.slice(1, 0, d), w.slice(1, d, 2 * d)}), {});
  const at::Tensor message =
      ops::linear(edge_->forward(input.e), w.slice(1, 2 * d, 3 * d), pre_->bias) +
      ops::gather(ends.slice(1, 0, d), by_target(edges)) +
      ops::gather(ends.slice(1, d, 2 * d), by_source(edges));
  const at::Tensor& start = edges.in_start;
  const at::Tensor sum = ops::segment_sum(message, start);
  const at::Tensor count = (start.slice(0, 1) - start.slice(0, 0, -1)).clamp_min(1).unsqueeze(1);
  const at::Tensor all = at::cat(
      {input.x, sum / count.to(sum.scalar_type()), ops::segment_max(message, start), sum}, 1);
  return {out_->forward(post_->forward(all)), input.e};
}

std::string Pna::script() const {
  return "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: "
         "Tensor) -> Tuple[Tensor, Tensor]:\n"
         "    ends = torch.cat([x.index_select(0, target), x.index_select(0, source), "
         "self.edge.forward(e)], 1)\n"
         "    message = self.pre.forward(ends)\n"
         "    zero = torch.zeros_like(x)\n"
         "    count = torch.bincount(target, minlength=x.size(0)).to(x.dtype).unsqueeze(1)\n"
         "    index = target.unsqueeze(1).expand_as(message)\n"
         "    sum = torch.index_add(zero, 0, target, message)\n"
         "    most = torch.scatter_reduce(zero, 0, index, message, \"amax\", include_self=False)\n"
         "    all = torch.cat([x, sum / torch.clamp(count, 1), most, sum], 1)\n"
         "    return self.out.forward(self.post.forward(all)), e\n";
}

std::string Pna::fused_script() const {
  return fmt::format(
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor) "
      "-> Tuple[Tensor, Tensor]:\n"
      "    own = torch.cat([self.pre.weight[:, :{0}], self.pre.weight[:, {0}:{1}]])\n"
      "    ends = gtrain.linear(x, own, None)\n"
      "    message = gtrain.linear(self.edge.forward(e), self.pre.weight[:, {1}:], self.pre.bias)\n"
      "    message = message + ends[:, :{0}].index_select(0, target)\n"
      "    message = message + ends[:, {0}:].index_select(0, source)\n"
      "    sum = gtrain.reduce(message, target, x.size(0), \"sum\")\n"
      "    count = torch.clamp(torch.bincount(target, minlength=x.size(0)), 1).unsqueeze(1)\n"
      "    most = gtrain.reduce(message, target, x.size(0), \"max\")\n"
      "    all = torch.cat([x, sum / count.to(x.dtype), most, sum], 1)\n"
      "    return gtrain.feed_forward(all, self.post.weight, self.post.bias, \"none\", "
      "self.out.weight, self.out.bias, [], []), e\n",
      out_->weight.size(0), 2 * out_->weight.size(0));
}

}  // namespace gtrain::nn
