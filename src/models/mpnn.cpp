#include "gtrain/models/mpnn.h"

#include <fmt/format.h>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/nn/attention_node.h"
#include "gtrain/nn/message_block.h"
#include "gtrain/nn/virtual_node.h"

namespace gtrain::models {
namespace {

nn::MessageBlock::Options block_options(const MpnnOptions& o, bool last) {
  nn::MessageBlock::Options b;
  b.local = {.width = o.width,
             .activation = nn::activation_named(o.activation),
             .dropout = o.dropout,
             .heads = o.heads.value_or(4),
             .bias = o.norm != "batch",  // GraphGym builds it so
             .gates = has_gate(o.encoders)};
  b.norm = o.norm;
  b.dropout = o.dropout;
  b.residual = o.residual;
  b.activated = o.last_activation || !last;
  b.unit_rows = o.unit_rows;
  return b;
}

// What stands at layer l of the virtual node's form; at most one is there.
struct VirtualPart {
  std::shared_ptr<nn::ClassicNode> classic = nullptr;
  std::shared_ptr<nn::HeterogeneousNode> heterogeneous = nullptr;
  std::shared_ptr<nn::AttentionNode> attention = nullptr;

  std::shared_ptr<nn::Layer> layer() const {
    if (classic) return classic;
    if (heterogeneous) return heterogeneous;
    return attention;
  }
};

VirtualPart make_virtual(const NoVirtualNodeOptions&, const MpnnOptions&, bool) { return {}; }

VirtualPart make_virtual(const ClassicVirtualNodeOptions& v, const MpnnOptions& o, bool last) {
  if (last) return {};
  const nn::ClassicNode::Shape shape{o.width, v.expansion * o.width};
  return {.classic = std::make_shared<nn::ClassicNode>(shape, o.dropout, v.residual)};
}

VirtualPart make_virtual(const HeterogeneousVirtualNodeOptions& v, const MpnnOptions& o,
                         bool last) {
  const nn::HeterogeneousNode::Options options{.width = o.width,
                                               .pool = nn::pool_named(v.pool),
                                               .dropout = o.dropout,
                                               .residual = v.residual,
                                               .updated = !last};
  return {.heterogeneous = std::make_shared<nn::HeterogeneousNode>(options)};
}

VirtualPart make_virtual(const AttentionVirtualNodeOptions& v, const MpnnOptions& o, bool) {
  const nn::AttentionNode::Options options{.width = o.width,
                                           .heads = v.heads,
                                           .features = v.features == "elu"
                                                           ? nn::AttentionNode::Features::kElu
                                                           : nn::AttentionNode::Features::kExp,
                                           .count = v.count};
  return {.attention = std::make_shared<nn::AttentionNode>(options)};
}

class Mpnn final : public Model {
 public:
  Mpnn(const MpnnOptions& options, const Signature& signature) : options_(options) {
    const bool own = options.edge_vectors == "own";
    const std::int64_t edge_width = nn::edge_vector_width(options.local, options.width);
    features_ = register_module("features",
                                std::make_shared<FeatureEncoder>(
                                    options.node, own ? EdgeOptions(NoneOptions{}) : options.edge,
                                    options.encoders, options.width, signature, edge_width));
    for (std::int64_t l = 0; l < options.layers; ++l) {
      const bool last = l + 1 == options.layers;
      if (own) {
        edges_.push_back(
            register_module(fmt::format("edges_{}", l),
                            std::make_shared<FeatureEncoder>(options.edge, edge_width, signature)));
      }
      layers_.push_back(register_module(
          fmt::format("layer_{}", l),
          std::make_shared<nn::MessageBlock>(options.local, block_options(options, last))));
      virtual_.push_back(std::visit([&](const auto& v) { return make_virtual(v, options, last); },
                                    options.virtual_node));
      if (const auto layer = virtual_.back().layer()) {
        register_module(fmt::format("virtual_{}", l), layer);
      }
    }
    if (has_state()) state_ = parameter("virtual_node", {1, options.width});
    head_ = make_head(options.head, options.width, options.activation, signature);
    register_module("head", head_);
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    at::Tensor x = features_->nodes(batch, context), e = features_->edges(batch);
    const at::Tensor positions = features_->positions(batch, context), first = x;
    const nn::Edges edges{batch.source, batch.target, batch.in_start, batch.out_start,
                          batch.out_edge};
    const ops::RowIndex graph = nn::by_graph(batch.graph, batch.graph_start);
    at::Tensor t = has_state() ? state_.expand({batch.graphs, -1}) : at::Tensor();
    at::Tensor sum;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const VirtualPart& node = virtual_[l];
      if (is_classic()) x = x + ops::gather(t, graph);
      if (options_.jump == "sum") sum = sum.defined() ? sum + x : x;
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
    if (sum.defined()) x = sum + x;
    return head_->forward(x, {batch.graph_start, batch.pair});
  }

  void initialise(base::Random&) override {
    const at::NoGradGuard guard;
    if (state_.defined()) state_.zero_();
  }

  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }

  double forward_flops(std::int64_t nodes, std::int64_t edges, double) const override {
    const double n = static_cast<double>(nodes);
    double flops = 0;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      flops += layers_[l]->forward_flops(n, static_cast<double>(edges));
      if (virtual_[l].attention) flops += virtual_[l].attention->forward_flops(n);
      if (has_state()) flops += n * static_cast<double>(options_.width);
    }
    return flops;
  }

  std::string script() const override;

 private:
  bool is_classic() const {
    return std::holds_alternative<ClassicVirtualNodeOptions>(options_.virtual_node);
  }
  bool has_state() const {
    return is_classic() ||
           std::holds_alternative<HeterogeneousVirtualNodeOptions>(options_.virtual_node);
  }
  bool pools_output() const {
    const auto* v = std::get_if<ClassicVirtualNodeOptions>(&options_.virtual_node);
    return v != nullptr && v->pool == "output";
  }
  std::string layer_script(std::size_t l) const;

  MpnnOptions options_;
  std::shared_ptr<FeatureEncoder> features_;
  std::vector<std::shared_ptr<FeatureEncoder>> edges_;
  std::vector<std::shared_ptr<nn::MessageBlock>> layers_;
  std::vector<VirtualPart> virtual_;
  at::Tensor state_;  // "virtual_node" [1, D]
  std::shared_ptr<nn::Head> head_;
};

std::string Mpnn::layer_script(std::size_t l) const {
  const VirtualPart& node = virtual_[l];
  std::string text, message = "none";
  if (is_classic()) text += "    h = h + t.index_select(0, batch)\n";
  if (options_.jump == "sum") text += l == 0 ? "    sum = h\n" : "    sum = sum + h\n";
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

std::string Mpnn::script() const {
  std::string text =
      "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
      "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
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
  if (options_.jump == "sum") text += "    h = sum + h\n";
  return text + "    return self.head.forward(h, batch)\n";
}

}  // namespace

std::shared_ptr<Model> build_model(const MpnnOptions& options, const Signature& signature) {
  return std::make_shared<Mpnn>(options, signature);
}

}  // namespace gtrain::models
