#include "gtrain/nn/virtual_node.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gtrain/nn/activation.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {

ops::RowIndex by_graph(const at::Tensor& graph, const at::Tensor& graph_start) {
  return {graph, graph_start, at::arange(graph.size(0), graph.options())};
}

ClassicNode::ClassicNode(const Shape& shape, double dropout, bool residual)
    : dropout_(dropout), residual_(residual) {
  first_ = register_module("mlp_0", std::make_shared<Linear>(shape.width, shape.hidden));
  norm_in_ = register_module("norm_0", std::make_shared<BatchNorm>(shape.hidden));
  second_ = register_module("mlp_1", std::make_shared<Linear>(shape.hidden, shape.width));
  norm_out_ = register_module("norm_1", std::make_shared<BatchNorm>(shape.width));
}

at::Tensor ClassicNode::forward(const at::Tensor& x, const at::Tensor& t,
                                const at::Tensor& graph_start, Context& context) {
  const ops::FlopScope running(*this);
  const at::Tensor sum = ops::segment_sum(x, graph_start) + t;
  const at::Tensor hidden = at::relu(norm_in_->forward(first_->forward(sum), context));
  const at::Tensor out = norm_out_->forward(second_->forward(hidden), context);
  return activate(out, Activation::kRelu, dropout_, context, residual_ ? t : at::Tensor());
}

std::string ClassicNode::script() const {
  return std::string(
             "def forward(self, x: Tensor, t: Tensor, batch: Tensor) -> Tensor:\n"
             "    sum = torch.index_add(t, 0, batch, x)\n"
             "    h = torch.relu(self.norm_0.forward(self.mlp_0.forward(sum), batch))\n"
             "    out = torch.relu(self.norm_1.forward(self.mlp_1.forward(h), batch))\n") +
         (residual_ ? "    return t + out\n" : "    return out\n");
}

std::string ClassicNode::fused_script() const {
  return std::string(
             "def forward(self, x: Tensor, t: Tensor, batch: Tensor) -> Tensor:\n"
             "    sum = gtrain.reduce(x, batch, t.size(0), \"sum\") + t\n"
             "    h = gtrain.activate(self.norm_0.forward(self.mlp_0.forward(sum), batch), "
             "\"relu\")\n"
             "    out = self.norm_1.forward(self.mlp_1.forward(h), batch)\n") +
         (residual_ ? "    return gtrain.activate(out, \"relu\", t)\n"
                    : "    return gtrain.activate(out, \"relu\")\n");
}

HeterogeneousNode::HeterogeneousNode(const Options& options) : options_(options) {
  const std::int64_t d = options.width;
  to_node_ = register_module("to_node", std::make_shared<Linear>(d, d));
  if (!options.updated) return;
  own_ = register_module("own", std::make_shared<Linear>(d, d));
  from_node_ = register_module("from_node", std::make_shared<Linear>(d, d, /*bias=*/false));
  norm_ = register_module("norm", std::make_shared<BatchNorm>(d));
}

at::Tensor HeterogeneousNode::message(const at::Tensor& t) { return to_node_->forward(t); }

at::Tensor HeterogeneousNode::forward(const at::Tensor& x, const at::Tensor& t,
                                      const at::Tensor& graph_start, Context& context) {
  const ops::FlopScope running(*this);
  if (!options_.updated) return t;
  const at::Tensor pooled = options_.pool == Pool::kSum ? ops::segment_sum(x, graph_start)
                                                        : ops::segment_mean(x, graph_start);
  const at::Tensor out = norm_->forward(own_->forward(t) + from_node_->forward(pooled), context);
  return activate(out, Activation::kRelu, options_.dropout, context,
                  options_.residual ? t : at::Tensor());
}

namespace {

constexpr const char* kHeterogeneous =
    "def message(self, t: Tensor) -> Tensor:\n"
    "    return self.to_node.forward(t)\n"
    "def forward(self, x: Tensor, t: Tensor, batch: Tensor) -> Tensor:\n";

}  // namespace

std::string HeterogeneousNode::script() const {
  std::string text = kHeterogeneous;
  if (!options_.updated) return text + "    return t\n";
  text += "    pooled = torch.index_add(torch.zeros_like(t), 0, batch, x)\n";
  if (options_.pool != Pool::kSum) {
    text +=
        "    count = torch.bincount(batch, minlength=t.size(0)).to(x.dtype)\n"
        "    pooled = pooled / torch.clamp(count, 1).unsqueeze(1)\n";
  }
  return text +
         "    h = self.own.forward(t) + self.from_node.forward(pooled)\n"
         "    out = torch.relu(self.norm.forward(h, batch))\n" +
         (options_.residual ? "    return t + out\n" : "    return out\n");
}

std::string HeterogeneousNode::fused_script() const {
  if (!options_.updated) return script();
  return std::string(kHeterogeneous) +
         fmt::format(
             "    pooled = gtrain.reduce(x, batch, t.size(0), \"{}\")\n"
             "    h = self.norm.added(self.from_node.forward(pooled), self.own.forward(t), batch)\n"
             "    return gtrain.activate(h, \"relu\"{})\n",
             options_.pool == Pool::kSum ? "sum" : "mean", options_.residual ? ", t" : "");
}

}  // namespace gtrain::nn
