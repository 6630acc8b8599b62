#include "gtrain/nn/encoder.h"

#include <fmt/format.h>

namespace gtrain::nn {
namespace {

// Widths inputs -> 2D -> … -> D of n linear layers; inputs -> D for one.
std::vector<std::shared_ptr<Linear>> chain(torch::nn::Module& parent, const std::string& name,
                                           std::int64_t inputs, std::int64_t width,
                                           std::int64_t layers) {
  std::vector<std::shared_ptr<Linear>> out;
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::int64_t to = i + 1 == layers ? width : 2 * width;
    out.push_back(parent.register_module(fmt::format("{}_{}", name, i),
                                         std::make_shared<Linear>(inputs, to)));
    inputs = to;
  }
  return out;
}

std::string chain_script(const std::string& name, std::size_t layers, bool relu) {
  std::string text;
  for (std::size_t i = 0; i < layers; ++i) {
    text += relu ? fmt::format("    h = torch.relu(self.{}_{}.forward(h))\n", name, i)
                 : fmt::format("    h = self.{}_{}.forward(h)\n", name, i);
  }
  return text;
}

}  // namespace

RowEncoder::RowEncoder(std::int64_t inputs, std::int64_t width, std::int64_t hidden, bool normalise)
    : relu_(hidden > 0) {
  if (normalise) norm_ = register_module("norm", std::make_shared<BatchNorm>(inputs));
  linear_ = chain(*this, "linear", inputs, width, relu_ ? hidden : 1);
}

at::Tensor RowEncoder::forward(const at::Tensor& x, Context& context) {
  at::Tensor h = norm_ ? norm_->forward(x, context) : x;
  for (const auto& linear : linear_) h = linear->forward(h, relu_);
  return h;
}

std::string RowEncoder::script() const {
  return "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n" +
         std::string(norm_ ? "    h = self.norm.forward(x, batch)\n" : "    h = x\n") +
         chain_script("linear", linear_.size(), relu_) + "    return h\n";
}

DeepSetEncoder::DeepSetEncoder(std::int64_t width, std::int64_t layers, std::int64_t post_layers,
                               SignFlip flip)
    : flip_(flip) {
  set_ = chain(*this, "set", 2, width, layers);
  post_ = chain(*this, "post", width, width, post_layers);
}

at::Tensor DeepSetEncoder::signs(const at::Tensor& vectors, const at::Tensor& graph,
                                 Context& context) const {
  if (context.signs.defined()) return context.signs.to(vectors.scalar_type()).unsqueeze(0);
  const std::int64_t rows =
      flip_ == SignFlip::kBatch || graph.numel() == 0 ? 1 : graph.max().item<std::int64_t>() + 1;
  base::Random random(context.next_key());
  const at::Tensor sign = at::empty({rows, vectors.size(1)}, at::kDouble);
  double* p = sign.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < sign.numel(); ++i) p[i] = random.uniform() < 0.5 ? -1.0 : 1.0;
  const at::Tensor typed = sign.to(vectors.scalar_type());
  return flip_ == SignFlip::kBatch ? typed : typed.index_select(0, graph);
}

at::Tensor DeepSetEncoder::forward(const at::Tensor& values, const at::Tensor& vectors,
                                   const at::Tensor& graph, Context& context) {
  at::Tensor v = vectors;
  if (context.training && flip_ != SignFlip::kNone) v = v * signs(vectors, graph, context);
  const std::int64_t n = v.size(0), k = v.size(1);
  const at::Tensor missing = at::isnan(v);
  at::Tensor h =
      at::stack({at::nan_to_num(v, 0.0), at::nan_to_num(values, 0.0)}, 2).view({n * k, 2});
  for (const auto& linear : set_) h = linear->forward(h, true);
  h = h.view({n, k, h.size(1)}).masked_fill(missing.unsqueeze(2), 0).sum(1);
  for (const auto& linear : post_) h = linear->forward(h, true);
  return h;
}

std::string DeepSetEncoder::script() const {
  return "def forward(self, values: Tensor, vectors: Tensor) -> Tensor:\n"
         "    missing = torch.isnan(vectors)\n"
         "    h = torch.stack([torch.nan_to_num(vectors, 0.0), torch.nan_to_num(values, 0.0)], "
         "2)\n" +
         chain_script("set", set_.size(), true) +
         "    h = torch.sum(torch.masked_fill(h, missing.unsqueeze(2), 0.0), 1)\n" +
         chain_script("post", post_.size(), true) + "    return h\n";
}

}  // namespace gtrain::nn
