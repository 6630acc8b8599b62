#include "gtrain/models/message_network.h"

#include <ATen/ops/cat.h>
#include <fmt/format.h>

namespace gtrain::models {
namespace {

nn::MessageBlock::Options block_options(const MessageNetworkOptions& o, const NetworkInput& input,
                                        bool last) {
  nn::MessageBlock::Options b;
  b.local = {.width = o.width,
             .activation = nn::activation_named(o.activation),
             .dropout = o.dropout,
             .heads = o.heads.value_or(4),
             .bias = o.norm != "batch",  // GraphGym builds it so
             .gates = has_gate(input.encoders),
             .edges = makes_edge_vectors(input.edge)};
  b.norm = o.norm;
  b.dropout = o.dropout;
  b.residual = o.residual;
  b.activated = o.last_activation || !last;
  b.unit_rows = o.unit_rows;
  return b;
}

}  // namespace

std::shared_ptr<nn::Layer> MessageNetwork::VirtualPart::layer() const {
  if (classic) return classic;
  if (heterogeneous) return heterogeneous;
  return attention;
}

MessageNetwork::VirtualPart MessageNetwork::make_virtual(const MessageNetworkOptions& o,
                                                         bool last) {
  if (const auto* v = std::get_if<ClassicVirtualNodeOptions>(&o.virtual_node); v && !last) {
    const nn::ClassicNode::Shape shape{o.width, v->expansion * o.width};
    return {.classic = std::make_shared<nn::ClassicNode>(shape, o.dropout, v->residual)};
  }
  if (const auto* v = std::get_if<HeterogeneousVirtualNodeOptions>(&o.virtual_node)) {
    const nn::HeterogeneousNode::Options options{.width = o.width,
                                                 .pool = nn::pool_named(v->pool),
                                                 .dropout = o.dropout,
                                                 .residual = v->residual,
                                                 .updated = !last};
    return {.heterogeneous = std::make_shared<nn::HeterogeneousNode>(options)};
  }
  if (const auto* v = std::get_if<AttentionVirtualNodeOptions>(&o.virtual_node)) {
    const nn::AttentionNode::Options options{.width = o.width,
                                             .heads = v->heads,
                                             .features = v->features == "elu"
                                                             ? nn::AttentionNode::Features::kElu
                                                             : nn::AttentionNode::Features::kExp,
                                             .count = v->count};
    return {.attention = std::make_shared<nn::AttentionNode>(options)};
  }
  return {};
}

MessageNetwork::MessageNetwork(const MessageNetworkOptions& options, const NetworkInput& input,
                               const Signature& signature)
    : options_(options) {
  const bool own = options.edge_vectors == "own";
  features_ = register_module(
      "features",
      std::make_shared<FeatureEncoder>(input.node, own ? EdgeOptions(NoneOptions{}) : input.edge,
                                       input.encoders, options.width, signature,
                                       nn::edge_vector_width(options.local, options.width)));
  for (std::int64_t l = 0; l < options.layers; ++l) add_layer(l, input, signature);
  if (has_state()) state_ = parameter("virtual_node", {1, options.width});
}

void MessageNetwork::add_layer(std::int64_t l, const NetworkInput& input,
                               const Signature& signature) {
  const bool last = l + 1 == options_.layers;
  if (options_.edge_vectors == "own") {
    const std::int64_t width = nn::edge_vector_width(options_.local, options_.width);
    edges_.push_back(
        register_module(fmt::format("edges_{}", l),
                        std::make_shared<FeatureEncoder>(input.edge, width, signature)));
  }
  layers_.push_back(register_module(
      fmt::format("layer_{}", l),
      std::make_shared<nn::MessageBlock>(options_.local, block_options(options_, input, last))));
  virtual_.push_back(make_virtual(options_, last));
  if (const auto layer = virtual_.back().layer()) {
    register_module(fmt::format("virtual_{}", l), layer);
  }
}

at::Tensor MessageNetwork::node_vectors(const data::GraphBatch& batch, nn::Context& context) {
  at::Tensor x = features_->nodes(batch, context), e = features_->edges(batch);
  const at::Tensor positions = features_->positions(batch, context), first = x;
  const nn::Edges edges{batch.source, batch.target, batch.in_start, batch.out_start,
                        batch.out_edge};
  const ops::RowIndex graph = nn::by_graph(batch.graph, batch.graph_start);
  at::Tensor t = has_state() ? state_.expand({batch.graphs, -1}) : at::Tensor();
  at::Tensor kept;  // of the layers' inputs, what jump asks for
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const VirtualPart& node = virtual_[l];
    if (is_classic()) x = x + ops::gather(t, graph);
    if (options_.jump == "sum") kept = kept.defined() ? kept + x : x;
    if (options_.jump == "concat" && l == 0) kept = x;
    if (!edges_.empty()) e = edges_[l]->edges(batch);
    at::Tensor message;
    if (node.heterogeneous) message = ops::gather(node.heterogeneous->message(t), graph);
    if (node.attention) message = node.attention->forward(x, graph);
    const nn::BlockInput input{{x, e, edges, positions}, first, message, batch.graph_start};
    at::Tensor h;
    std::tie(h, e) = layers_[l]->forward(input, context);
    if (node.classic) {
      t = node.classic->forward(pools_output() ? h : x, t, batch.graph_start, context);
    }
    if (node.heterogeneous) t = node.heterogeneous->forward(x, t, batch.graph_start, context);
    x = h;
  }
  if (options_.jump == "sum") return kept + x;
  if (options_.jump == "concat") return at::cat({kept, x}, 1);
  return x;
}

std::int64_t MessageNetwork::node_width() const {
  return options_.jump == "concat" ? 2 * options_.width : options_.width;
}

void MessageNetwork::initialise(base::Random&) {
  const at::NoGradGuard guard;
  if (state_.defined()) state_.zero_();
}

bool MessageNetwork::is_classic() const {
  return std::holds_alternative<ClassicVirtualNodeOptions>(options_.virtual_node);
}

bool MessageNetwork::has_state() const {
  return is_classic() ||
         std::holds_alternative<HeterogeneousVirtualNodeOptions>(options_.virtual_node);
}

bool MessageNetwork::pools_output() const {
  const auto* v = std::get_if<ClassicVirtualNodeOptions>(&options_.virtual_node);
  return v != nullptr && v->pool == "output";
}

std::string MessageNetwork::layer_script(std::size_t l) const {
  const VirtualPart& node = virtual_[l];
  std::string text, message = "none";
  if (is_classic()) text += "    h = h + t.index_select(0, batch)\n";
  if (options_.jump == "sum") text += l == 0 ? "    kept = h\n" : "    kept = kept + h\n";
  if (options_.jump == "concat" && l == 0) text += "    kept = h\n";
  if (!edges_.empty()) text += fmt::format("    e = self.edges_{}.edges(edge_attr)\n", l);
  if (node.heterogeneous) {
    message = fmt::format("self.virtual_{}.message(t).index_select(0, batch)", l);
  }
  if (node.attention) message = fmt::format("self.virtual_{}.forward(h, batch)", l);
  text += fmt::format(
      "    u, e = self.layer_{}.forward(h, first, e, source, target, batch, positions, {})\n", l,
      message);
  if (node.classic || node.heterogeneous) {
    text += fmt::format("    t = self.virtual_{}.forward({}, t, batch)\n", l,
                        pools_output() ? "u" : "h");
  }
  return text + "    h = u\n";
}

std::string MessageNetwork::node_vectors_script() const {
  std::string text =
      "    source = edge_index[0]\n"
      "    target = edge_index[1]\n"
      "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
      "    e = self.features.edges(edge_attr)\n"
      "    first = h\n"
      "    none = torch.zeros([0, 0], dtype=h.dtype, device=h.device)\n";
  text += features_->has_positions()
              ? "    positions = self.features.positions(edge_index, batch, encodings)\n"
              : "    positions = none\n";
  if (has_state()) {
    text +=
        "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
        "    t = self.virtual_node.expand(graphs, -1)\n";
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) text += layer_script(l);
  if (options_.jump == "sum") text += "    h = kept + h\n";
  if (options_.jump == "concat") text += "    h = torch.cat([kept, h], 1)\n";
  return text;
}

}  // namespace gtrain::models
