#include "gtrain/nn/head.h"

#include <fmt/format.h>

#include "gtrain/nn/unit_mlp.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

at::Tensor pool_rows(const at::Tensor& x, const at::Tensor& start, Pool pool) {
  switch (pool) {
    case Pool::kSum:
      return ops::segment_sum(x, start);
    case Pool::kMean:
      return ops::segment_mean(x, start);
    case Pool::kMax:
      return ops::segment_max(x, start);
    case Pool::kMin:
      return -ops::segment_max(-x, start);
    case Pool::kGraphToken:
      return x.index_select(0, start.slice(0, 0, -1).to(x.device()));
    case Pool::kNone:
      break;
  }
  return x;
}

std::string pool_script(Pool pool) {
  if (pool == Pool::kNone) return "";
  std::string text = "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n";
  if (pool == Pool::kGraphToken) {
    return text +
           "    first = torch.searchsorted(batch, torch.arange(graphs, device=h.device))\n"
           "    h = h.index_select(0, first)\n";
  }
  text += "    zero = torch.zeros([graphs, h.size(1)], dtype=h.dtype, device=h.device)\n";
  if (pool == Pool::kMax || pool == Pool::kMin) {
    return text + "    index = batch.unsqueeze(1).expand_as(h)\n" +
           fmt::format(
               "    h = torch.scatter_reduce(zero, 0, index, h, \"{}\", include_self=False)\n",
               pool == Pool::kMax ? "amax" : "amin");
  }
  if (pool == Pool::kSum) return text + "    h = torch.index_add(zero, 0, batch, h)\n";
  return text +
         "    count = torch.bincount(batch, minlength=graphs).to(h.dtype).unsqueeze(1)\n"
         "    h = torch.index_add(zero, 0, batch, h) / torch.clamp(count, 1)\n";
}

// By an operator of libgtrain_ops; "": none has this pooling.
std::string fused_pool_script(Pool pool) {
  const char* kind = pool == Pool::kSum    ? "sum"
                     : pool == Pool::kMean ? "mean"
                     : pool == Pool::kMax  ? "max"
                     : pool == Pool::kMin  ? "min"
                                           : nullptr;
  if (kind == nullptr) return "";
  return fmt::format(
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
      "    h = gtrain.reduce(h, batch, graphs, \"{}\")\n",
      kind);
}

constexpr const char* kForward =
    "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
    "    h = x\n";

}  // namespace

Pool pool_named(const std::string& name) {
  if (name == "sum") return Pool::kSum;
  if (name == "mean") return Pool::kMean;
  if (name == "max") return Pool::kMax;
  if (name == "min") return Pool::kMin;
  if (name == "none") return Pool::kNone;
  TORCH_CHECK(name == "graph_token", "[pool] got ", name,
              "; expected sum, mean, max, min, graph_token or none");
  return Pool::kGraphToken;
}

Head::Head(Pool pool, Activation activation, bool unit_rows, double dropout)
    : pool_(pool), activation_(activation), unit_rows_(unit_rows), dropout_(dropout) {}

void Head::append(std::int64_t inputs, std::int64_t outputs) {
  linear_.push_back(register_module(fmt::format("linear_{}", linear_.size()),
                                    std::make_shared<Linear>(inputs, outputs)));
}

at::Tensor Head::layers(const at::Tensor& x, Context* context) const {
  const auto dropped = [&](const at::Tensor& h) {
    return context == nullptr ? h : drop(h, dropout_, *context);
  };
  at::Tensor h = x;
  for (std::size_t i = 0; i + 1 < linear_.size(); ++i) {
    h = activate(linear_[i]->forward(dropped(h)), activation_);
    if (unit_rows_) h = unit_rows(h);
  }
  return linear_.back()->forward(dropped(h));
}

std::string Head::layers_script() const {
  std::string text;
  for (std::size_t i = 0; i + 1 < linear_.size(); ++i) {
    text += fmt::format("    h = {}\n",
                        script_of(activation_, fmt::format("self.linear_{}.forward(h)", i)));
    if (unit_rows_) text += "    h = " + unit_rows_script("h") + "\n";
  }
  return text + fmt::format("    h = self.linear_{}.forward(h)\n", linear_.size() - 1);
}

at::Tensor Head::forward(const at::Tensor& x, const HeadInput& input) {
  const ops::FlopScope running(*this);
  return layers(pool_rows(x, input.graph_start, pool_), input.context);
}

std::string Head::script() const {
  return std::string(kForward) + pool_script(pool_) + layers_script() + "    return h\n";
}

// Also of the heads with another script: their pooling is the same text.
std::string Head::fused_script() const {
  std::string text = script();
  const std::string plain = pool_script(pool_), fused = fused_pool_script(pool_);
  if (!fused.empty()) text.replace(text.find(plain), plain.size(), fused);
  return text;
}

HalvingHead::HalvingHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
                         Activation activation)
    : Head(pool, activation, false) {
  for (std::int64_t i = 0; i < layers; ++i, width /= 2) append(width, width / 2);
  append(width, outputs);
}

MlpHead::MlpHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
                 Activation activation)
    : Head(pool, activation, true) {
  for (std::int64_t i = 0; i + 1 < layers; ++i) append(width, width);
  append(width, outputs);
}

WideHead::WideHead(const Shape& shape, Pool pool, Activation activation, double dropout)
    : Head(pool, activation, false, dropout) {
  for (std::int64_t i = 0; i + 1 < shape.layers; ++i) append(shape.width, shape.width);
  append(shape.width, shape.outputs);
}

GraphormerHead::GraphormerHead(std::int64_t width, std::int64_t outputs, Pool pool)
    : Head(pool, Activation::kRelu, false) {
  norm_ = register_module("norm", std::make_shared<LayerNorm>(width));
  append(width, outputs);
}

at::Tensor GraphormerHead::forward(const at::Tensor& x, const HeadInput& input) {
  const ops::FlopScope running(*this);
  Context evaluation;  // layer norm is the same in training
  return Head::forward(norm_->forward(x, {}, input.graph_start, 0.0, evaluation), input);
}

std::string GraphormerHead::script() const {
  return fmt::format("{}    h = self.norm.forward(h, batch)\n{}{}    return h\n", kForward,
                     pool_script(pool_), layers_script());
}

TransformHead::TransformHead(std::int64_t width, std::int64_t outputs, Pool pool,
                             Activation activation, bool idle)
    : Head(pool, activation, false), activation_(activation) {
  if (idle) register_module("idle", std::make_shared<Linear>(width, width));
  transform_ = register_module("transform", std::make_shared<Linear>(width, width));
  norm_ = register_module("norm", std::make_shared<LayerNorm>(width));
  out_ = register_module("out", std::make_shared<Linear>(width, outputs, false));
  offset_ = parameter("offset", {1});
}

at::Tensor TransformHead::forward(const at::Tensor& x, const HeadInput& input) {
  const ops::FlopScope running(*this);
  Context evaluation;  // layer norm is the same in training
  const at::Tensor h = activate(transform_->forward(pool_rows(x, input.graph_start, pool_)),
                                activation_);  // [G, D]
  return out_->forward(norm_->forward(h, {}, {}, 0.0, evaluation)) + offset_;
}

std::string TransformHead::script() const {
  return fmt::format(
      "{}{}    h = {}\n"
      "    return self.out.forward(self.norm.forward(h, batch)) + self.offset\n",
      kForward, pool_script(pool_), script_of(activation_, "self.transform.forward(h)"));
}

void TransformHead::initialise(base::Random&) {
  const at::NoGradGuard guard;
  offset_.zero_();
}

EdgeHead::EdgeHead(const Shape& shape, Decode decode, Activation activation)
    : Head(Pool::kNone, activation, true), decode_(decode) {
  const bool dot = decode == Decode::kDot;
  const std::int64_t width = dot ? shape.width : 2 * shape.width;
  for (std::int64_t i = 0; i + 1 < shape.layers; ++i) append(width, width);
  append(width, dot ? width : shape.outputs);
}

at::Tensor EdgeHead::forward(const at::Tensor& x, const HeadInput& input) {
  const ops::FlopScope running(*this);
  TORCH_CHECK(input.pair.defined() && input.pair.dim() == 2 && input.pair.size(1) == 2,
              "[edge_head] the batch has no pairs; expected int64 [P, 2]");
  const auto end = [&](const at::Tensor& h, std::int64_t i) {
    return ops::gather(h, ops::row_index(input.pair.select(1, i).contiguous(), h.size(0)));
  };
  if (decode_ == Decode::kConcat) return layers(at::cat({end(x, 0), end(x, 1)}, 1), input.context);
  const at::Tensor h = layers(x, input.context);
  return (end(h, 0) * end(h, 1)).sum(1, true);
}

std::string EdgeHead::script() const {
  const bool dot = decode_ == Decode::kDot;
  const char* text = dot ? "{0}{1}    return h\n{2}    return (u * v).sum(1, True)\n"
                         : "{0}    return h\n{2}    h = torch.cat([u, v], 1)\n{1}    return h\n";
  const char* decode =
      "def decode(self, rows: Tensor, pairs: Tensor) -> Tensor:\n"
      "    u = rows.index_select(0, pairs[0])\n"
      "    v = rows.index_select(0, pairs[1])\n";
  return fmt::format(fmt::runtime(text), kForward, layers_script(), decode);
}

}  // namespace gtrain::nn
