#include "gtrain/nn/graphormer_layer.h"

#include <fmt/format.h>

#include "gtrain/ops/flop_count.h"

namespace gtrain::nn {

GraphormerLayer::GraphormerLayer(const GraphormerLayerShape& s) : shape_(s) {
  norm_attention_ = register_module("norm_attention", std::make_shared<LayerNorm>(s.width));
  attention_ = register_module(
      "attention", std::make_shared<Attention>(s.width, s.heads, s.attention_dropout, s.biased));
  norm_feed_ = register_module("norm_feed", std::make_shared<LayerNorm>(s.width));
  in_ = register_module("feed_0", std::make_shared<Linear>(s.width, s.hidden));
  out_ = register_module("feed_1", std::make_shared<Linear>(s.hidden, s.width));
}

at::Tensor GraphormerLayer::feed(const at::Tensor& x, const at::Tensor& graph_start,
                                 Context& context) {
  return gate_feed(x, graph_start, context, [&](const at::Tensor& rows) {
    const ops::FlopScope hidden(*in_);  // an activation is work of its units
    return out_->forward(
        activate(in_->forward(rows), shape_.activation, shape_.activation_dropout, context));
  });
}

at::Tensor GraphormerLayer::forward(const GlobalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  const at::Tensor& start = input.graph_start;
  const double p = shape_.dropout;
  GlobalInput inner = input;
  if (!shape_.norm_first) {
    const at::Tensor mixed = attention_->forward(inner, context);
    const at::Tensor h = norm_attention_->forward(mixed, input.x, start, p, context);
    return norm_feed_->forward(feed(h, start, context), h, start, p, context);
  }
  inner.x = norm_attention_->forward(input.x, {}, start, 0.0, context);
  const at::Tensor h = drop(attention_->forward(inner, context), p, context, input.x);
  const at::Tensor fed = feed(norm_feed_->forward(h, {}, start, 0.0, context), start, context);
  return drop(fed, p, context, h);
}

std::optional<KeptRows> GraphormerLayer::choose(const GlobalInput& input, Leaving& leaving,
                                                Context& context) {
  if (!attention_->leave_gate) return std::nullopt;
  const ops::FlopScope running(*this);
  GlobalInput read = input;
  if (shape_.norm_first) {
    read.x = norm_attention_->forward(input.x, {}, input.graph_start, 0.0, context);
  }
  return leaving.choose(*attention_->leave_gate, read, input.x, context);
}

std::string GraphormerLayer::choice(const std::string& name, const std::string& bias) const {
  if (!attention_->leave_gate) return "";
  const std::string read =
      shape_.norm_first ? fmt::format("self.{}.norm_attention.forward(h, rows)", name) : "h";
  return fmt::format("self.{}.attention.leaving({}, h, groups, sizes, {})", name, read, bias);
}

std::string GraphormerLayer::text(Form form) const {
  std::string feed =
      "    h = " + feed_script(form, "feed_0", "feed_1", shape_.activation, "y") + "\n";
  if (feed_gate) feed += "    h = self.feed_gate.forward(h)\n";
  const std::string head =
      "def forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> "
      "Tensor:\n";
  if (!shape_.norm_first) {
    return head +
           "    a = self.attention.forward(x, batch, groups, bias)\n"
           "    y = " +
           norm_script(form, "norm_attention", "a", "x", "batch") + "\n" + feed + "    return " +
           norm_script(form, "norm_feed", "h", "y", "batch") + "\n";
  }
  return head +
         "    y = self.norm_attention.forward(x, batch)\n"
         "    a = self.attention.forward(y, batch, groups, bias)\n"
         "    z = " +
         sum_script(form, "x", "a") +
         "\n"
         "    y = self.norm_feed.forward(z, batch)\n" +
         feed + "    return " + sum_script(form, "z", "h") + "\n";
}

std::string GraphormerLayer::script() const { return text(Form::kPortable); }

std::string GraphormerLayer::fused_script() const { return text(Form::kFused); }

}  // namespace gtrain::nn
