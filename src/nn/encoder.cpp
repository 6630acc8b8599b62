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

constexpr const char* kForward =
    "def forward(self, columns: List[Tensor], edge_index: Tensor, batch: Tensor) -> Tensor:\n";

// [1, K] or [N, K].
at::Tensor draw_signs(SignFlip flip, const at::Tensor& vectors, const at::Tensor& graph,
                      Context& context) {
  if (context.signs.defined()) return context.signs.to(vectors.options()).unsqueeze(0);
  const std::int64_t rows =
      flip == SignFlip::kBatch || graph.numel() == 0 ? 1 : graph.max().item<std::int64_t>() + 1;
  base::Random random(context.next_key());
  const at::Tensor sign = at::empty({rows, vectors.size(1)}, at::kDouble);
  double* p = sign.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < sign.numel(); ++i) p[i] = random.uniform() < 0.5 ? -1.0 : 1.0;
  return (flip == SignFlip::kBatch ? sign : sign.index_select(0, graph.to(at::kCPU)))
      .to(vectors.options());
}

at::Tensor flipped(SignFlip flip, const at::Tensor& vectors, const at::Tensor& graph,
                   Context& context) {
  if (!context.training || flip == SignFlip::kNone) return vectors;
  return vectors * draw_signs(flip, vectors, graph, context);
}

}  // namespace

RowEncoder::RowEncoder(std::int64_t inputs, std::int64_t width, std::int64_t hidden, bool normalise)
    : relu_(hidden > 0) {
  if (normalise) norm_ = register_module("norm", std::make_shared<BatchNorm>(inputs));
  linear_ = chain(*this, "linear", inputs, width, relu_ ? hidden : 1);
}

at::Tensor RowEncoder::encode(const std::vector<at::Tensor>& columns, const EncoderGraph&,
                              Context& context) {
  return forward(columns.at(0), context);
}

at::Tensor RowEncoder::forward(const at::Tensor& x, Context& context) {
  at::Tensor h = norm_ ? norm_->forward(x, context) : x;
  for (const auto& linear : linear_) h = linear->forward(h, relu_);
  return h;
}

std::string RowEncoder::script() const {
  return std::string(kForward) +
         (norm_ ? "    h = self.norm.forward(columns[0], batch)\n" : "    h = columns[0]\n") +
         chain_script("linear", linear_.size(), relu_) + "    return h\n";
}

EigenvectorEncoder::EigenvectorEncoder(std::int64_t inputs, std::int64_t width, bool normalise,
                                       SignFlip flip)
    : flip_(flip) {
  if (normalise) norm_ = register_module("norm", std::make_shared<BatchNorm>(inputs));
  linear_ = register_module("linear_0", std::make_shared<Linear>(inputs, width));
}

at::Tensor EigenvectorEncoder::encode(const std::vector<at::Tensor>& columns,
                                      const EncoderGraph& graph, Context& context) {
  at::Tensor h = at::nan_to_num(flipped(flip_, columns.at(0), graph.graph, context), 0.0);
  if (norm_) h = norm_->forward(h, context);
  return linear_->forward(h);
}

std::string EigenvectorEncoder::script() const {
  return std::string(kForward) + "    h = torch.nan_to_num(columns[0], 0.0)\n" +
         (norm_ ? "    h = self.norm.forward(h, batch)\n" : "") +
         "    return self.linear_0.forward(h)\n";
}

EigenpairEncoder::EigenpairEncoder(const EigenpairShape& shape) : flip_(shape.flip) {
  if (shape.normalised > 0) {
    norm_ = register_module("norm", std::make_shared<BatchNorm>(shape.normalised));
  }
  post_ = chain(*this, "post", shape.width, shape.width, shape.post_layers);
}

at::Tensor EigenpairEncoder::encode(const std::vector<at::Tensor>& columns,
                                    const EncoderGraph& graph, Context& context) {
  return forward(columns.at(0), columns.at(1), graph.graph, context);
}

at::Tensor EigenpairEncoder::forward(const at::Tensor& values, const at::Tensor& vectors,
                                     const at::Tensor& graph, Context& context) {
  const at::Tensor v = flipped(flip_, vectors, graph, context);
  const std::int64_t n = v.size(0), k = v.size(1);
  const at::Tensor entry = at::nan_to_num(v, 0.0), value = at::nan_to_num(values, 0.0);
  at::Tensor pairs;
  if (norm_) {
    pairs = norm_->forward(at::stack({entry, value}, 1).view({2 * n, k}), context);
    pairs = pairs.view({n, 2, k}).transpose(1, 2).reshape({n * k, 2});
  } else {
    pairs = at::stack({entry, value}, 2).view({n * k, 2});
  }
  at::Tensor h = sum_pairs(pairs, at::isnan(v), context);
  for (const auto& linear : post_) h = linear->forward(h, true);
  return h;
}

std::string EigenpairEncoder::script() const {
  const std::string pairs =
      norm_ ? "    pairs = torch.stack([vectors, values], 1).reshape(-1, vectors.size(1))\n"
              "    pairs = self.norm.forward(pairs, batch).reshape(-1, 2, vectors.size(1))\n"
              "    pairs = pairs.transpose(1, 2)\n"
            : "    pairs = torch.stack([vectors, values], 2)\n";
  return sum_script() + kForward +
         "    values = torch.nan_to_num(columns[0], 0.0)\n"
         "    vectors = torch.nan_to_num(columns[1], 0.0)\n" +
         pairs + "    h = self.sum_pairs(pairs, torch.isnan(columns[1]))\n" +
         chain_script("post", post_.size(), true) + "    return h\n";
}

DeepSetEncoder::DeepSetEncoder(const EigenpairShape& shape, std::int64_t layers)
    : EigenpairEncoder(shape) {
  set_ = chain(*this, "set", 2, shape.width, layers);
}

at::Tensor DeepSetEncoder::sum_pairs(const at::Tensor& pairs, const at::Tensor& missing, Context&) {
  at::Tensor h = pairs;
  for (const auto& linear : set_) h = linear->forward(h, true);
  h = h.view({missing.size(0), missing.size(1), h.size(1)});
  return h.masked_fill(missing.unsqueeze(2), 0).sum(1);
}

std::string DeepSetEncoder::sum_script() const {
  return "def sum_pairs(self, pairs: Tensor, missing: Tensor) -> Tensor:\n    h = pairs\n" +
         chain_script("set", set_.size(), true) +
         "    return torch.sum(torch.masked_fill(h, missing.unsqueeze(2), 0.0), 1)\n";
}

}  // namespace gtrain::nn
