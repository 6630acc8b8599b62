#include "gtrain/nn/sign_net.h"

#include <fmt/format.h>

#include "gtrain/ops/gather.h"
#include "gtrain/ops/message.h"

namespace gtrain::nn {

NormMlp::NormMlp(const Shape& shape) {
  std::int64_t inputs = shape.inputs;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const std::int64_t to = i + 1 == shape.layers ? shape.outputs : shape.hidden;
    linear_.push_back(
        register_module(fmt::format("linear_{}", i), std::make_shared<Linear>(inputs, to)));
    if (i + 1 < shape.layers) {
      norm_.push_back(register_module(fmt::format("norm_{}", i), std::make_shared<BatchNorm>(to)));
    }
    inputs = to;
  }
}

at::Tensor NormMlp::forward(const at::Tensor& x, Context& context) {
  at::Tensor h = x;
  for (std::size_t i = 0; i < norm_.size(); ++i) {
    h = norm_[i]->forward(linear_[i]->forward(h, /*relu=*/true), context);
  }
  return linear_.back()->forward(h);
}

std::string NormMlp::script() const {
  std::string text =
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
      "    h = x\n";
  for (std::size_t i = 0; i < norm_.size(); ++i) {
    text += fmt::format(
        "    h = self.norm_{0}.forward(torch.relu(self.linear_{0}.forward(h)), batch)\n", i);
  }
  return text + fmt::format("    return self.linear_{}.forward(h)\n", linear_.size() - 1);
}

// The (node, eigenvector) pairs that count, as rows of the [N K, C] view; undefined index: all.
struct SignNet::Rows {
  std::int64_t nodes = 0, vectors = 0;
  ops::RowIndex index;

  at::Tensor take(const at::Tensor& all) const {
    return index.index.defined() ? ops::gather(all, index) : all;
  }
  at::Tensor put(const at::Tensor& rows) const {
    return index.index.defined() ? ops::scatter_add(rows, index) : rows;
  }
};

SignNet::SignNet(const Shape& shape) : shape_(shape) {
  const std::int64_t hidden = shape.phi_width;
  for (std::int64_t i = 0; i < shape.phi_layers; ++i) {
    if (i > 0) {
      norm_.push_back(
          register_module(fmt::format("norm_{}", i - 1), std::make_shared<BatchNorm>(hidden)));
    }
    const std::int64_t to = i + 1 == shape.phi_layers ? shape.phi_outputs : hidden;
    phi_.push_back(register_module(
        fmt::format("phi_{}", i),
        std::make_shared<NormMlp>(NormMlp::Shape{i == 0 ? 1 : hidden, hidden, to, 2})));
  }
  const bool side_by_side = shape.model == Model::kMlp;
  rho_ = register_module(
      "rho", std::make_shared<NormMlp>(NormMlp::Shape{
                 side_by_side ? shape.vectors * shape.phi_outputs : shape.phi_outputs, hidden,
                 shape.width, shape.rho_layers}));
}

at::Tensor SignNet::phi(const at::Tensor& v, const Rows& rows, const Edges& edges,
                        Context& context) {
  const std::int64_t n = rows.nodes, k = rows.vectors;
  const at::Tensor self = at::ones({n}, v.options());
  const at::Tensor weight = at::ones({edges.count()}, v.options());
  at::Tensor h = rows.take(v.reshape({n * k, 1}));
  for (std::size_t i = 0; i < phi_.size(); ++i) {
    if (i > 0) h = norm_[i - 1]->forward(h, context);
    const std::int64_t channels = h.size(1);
    // One aggregation for all K eigenvectors: they stand side by side in a node's row.
    h = ops::weighted_aggregate(rows.put(h).view({n, k * channels}), self, weight, edges);
    h = phi_[i]->forward(rows.take(h.view({n * k, channels})), context);
  }
  return rows.put(h);
}

at::Tensor SignNet::encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                           Context& context) {
  const at::Tensor& raw = columns.at(0);
  const at::Tensor missing = at::isnan(raw);
  const at::Tensor v = at::nan_to_num(raw, 0.0);
  Rows rows{v.size(0), v.size(1), {}};
  const bool masked = shape_.model == Model::kDeepSet;
  if (masked && !shape_.padded_norm) {
    rows.index = ops::row_index(at::nonzero(missing.reshape({-1}).logical_not()).squeeze(1),
                                rows.nodes * rows.vectors);
  }
  at::Tensor h = phi(v, rows, graph.edges, context);
  h = h + phi(-v, rows, graph.edges, context);
  const std::int64_t outputs = shape_.phi_outputs;
  if (!masked) return rho_->forward(h.view({rows.nodes, rows.vectors * outputs}), context);
  h = h.view({rows.nodes, rows.vectors, outputs}).masked_fill(missing.unsqueeze(2), 0);
  return rho_->forward(h.sum(1), context);
}

std::string SignNet::script() const {
  std::string text =
      "def phi(self, v: Tensor, source: Tensor, target: Tensor, batch: Tensor) -> Tensor:\n"
      "    h = v.unsqueeze(2)\n";
  for (std::size_t i = 0; i < phi_.size(); ++i) {
    const std::string flat = "h.reshape(-1, h.size(2))";
    if (i > 0) {
      text +=
          fmt::format("    h = self.norm_{}.forward({}, batch).reshape(h.size())\n", i - 1, flat);
    }
    text += fmt::format(
        "    h = torch.index_add(h, 0, target, h.index_select(0, source))\n"
        "    h = self.phi_{}.forward({}, batch).reshape(h.size(0), h.size(1), {})\n",
        i, flat, i + 1 == phi_.size() ? shape_.phi_outputs : shape_.phi_width);
  }
  text +=
      "    return h\n"
      "def forward(self, columns: List[Tensor], edge_index: Tensor, batch: Tensor) -> Tensor:\n"
      "    v = torch.nan_to_num(columns[0], 0.0)\n"
      "    source = edge_index[0]\n"
      "    target = edge_index[1]\n"
      "    h = self.phi(v, source, target, batch) + self.phi(-v, source, target, batch)\n";
  text +=
      shape_.model == Model::kMlp
          ? fmt::format("    h = h.reshape(v.size(0), {})\n", shape_.vectors * shape_.phi_outputs)
          : "    h = torch.sum(torch.masked_fill(h, torch.isnan(columns[0]).unsqueeze(2), "
            "0.0), 1)\n";
  return text + "    return self.rho.forward(h, batch)\n";
}

}  // namespace gtrain::nn
