#include "gtrain/models/graph_encoding.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gtrain/base/error.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/gather.h"

namespace gtrain::models {

GraphEncoding::GraphEncoding(const nn::GraphBiasOptions& options, const EncodingWidths& widths,
                             const Signature& signature, const std::string& key)
    : widths_(widths) {
  if (options.path != "none" && signature.edge_categories.empty()) {
    throw base::RecipeError(
        fmt::format("model.{}.path: {} needs categorical edge columns; the data set has {}", key,
                    options.path, signature.edge_width == 0 ? "none" : "float columns"));
  }
  if (options.quirk("port_token_sort") && signature.level != data::Level::kGraph) {
    throw base::RecipeError(fmt::format(
        "model.{}.quirks: port_token_sort mixes the rows of a graph, and the task is not one of "
        "graphs",
        key));
  }
  if (options.degrees > 0) {
    inputs_.push_back("degree");
    centrality_ = register_module(
        "centrality",
        std::make_shared<nn::Centrality>(
            widths.degrees, nn::CentralityShape{options.degrees, options.quirk("padding_rows"),
                                                options.quirk("out_degree_twice")}));
  }
  if (options.token) {
    token_ = register_module(
        "token", std::make_shared<nn::GraphToken>(widths.width, options.quirk("port_token_sort")));
  }
  inputs_.push_back("hop_distance");
  if (options.path == "multi_hop") inputs_.push_back("shortest_path");
  for (const std::string& column : inputs_) {
    if (signature.encodings.contains(column)) continue;
    throw base::RecipeError(fmt::format("model.{}: {} is not computed; add encode: [{{name: {}}}]",
                                        key, column, column));
  }
  bias_ = register_module(
      "bias", std::make_shared<nn::GraphBias>(widths.heads, options, signature.edge_categories));
}

GraphEncoding::Encoded GraphEncoding::forward(const at::Tensor& x_in,
                                              const data::GraphBatch& batch) {
  const ops::FlopScope running(*this);
  const auto column = [&](const char* name) {
    const auto it = batch.encoding.find(name);
    TORCH_CHECK(it != batch.encoding.end(), "[graph_encoding] the batch has no encoding ", name);
    return it->second;
  };
  at::Tensor x = x_in;
  if (centrality_) {
    const at::Tensor z = centrality_->forward(column("degree"));
    const std::int64_t rest = widths_.width - widths_.degrees;
    x = x + (rest > 0 ? at::constant_pad_nd(z, {0, rest}) : z);
  }
  nn::PairInput input{.graph_start = batch.graph_start,
                      .hops = column("hop_distance").reshape({-1}).contiguous(),
                      .inner = {},
                      .source = batch.source,
                      .target = batch.target,
                      .edge = batch.edge};
  if (inputs_.back() == "shortest_path") {
    input.inner = column("shortest_path").reshape({-1}).contiguous();
  }
  if (batch.edge.defined() && batch.edge.dim() == 1) input.edge = batch.edge.unsqueeze(1);
  if (token_) x = token_->forward(x, batch.graph_start);
  return {x, bias_->forward(input)};
}

nn::Edges GraphEncoding::edges(const data::GraphBatch& batch, bool keep) const {
  data::GraphBatch rows;
  rows.source = batch.source;
  rows.target = batch.target;
  if (!keep) {
    const at::Tensor shift = batch.graph.index_select(0, batch.source) + 1;
    rows.source = batch.source + shift;
    rows.target = batch.target + shift;
  }
  const at::Tensor own = at::arange(batch.graphs, batch.graph.options());
  rows.graph = std::get<0>(at::cat({own, batch.graph}).sort());
  data::finish(rows, rows.graph.size(0), batch.graphs);  // in this order already: edges stay
  return {rows.source, rows.target, rows.in_start, rows.out_start, rows.out_edge};
}

at::Tensor GraphEncoding::without_tokens(const at::Tensor& x, const data::GraphBatch& batch) const {
  if (!token_) return x;
  const at::Tensor rows = nn::node_rows(batch.graph_start);
  return ops::gather(x, ops::row_index(rows, x.size(0)));
}

std::string GraphEncoding::script() const {
  std::string text =
      "def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, "
      "encodings: List[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:\n";
  std::size_t next = first_;
  if (centrality_) {
    text += fmt::format(
        "    z = self.centrality.forward(encodings[{}])\n"
        "    x = x + torch.constant_pad_nd(z, [0, {}], 0)\n",
        next++, widths_.width - widths_.degrees);
  }
  const std::size_t hops = next, inner = inputs_.back() == "shortest_path" ? next + 1 : next;
  text += fmt::format(
      "    bias = self.bias.forward(encodings[{}], encodings[{}], edge_index, edge_attr, batch)\n",
      hops, inner);
  return text + (token_ ? "    return self.token.forward(x, batch), self.token.extended(batch), "
                          "bias\n"
                        : "    return x, batch, bias\n");
}

}  // namespace gtrain::models
