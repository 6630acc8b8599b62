#include "gtrain/models/gt.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <cmath>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/head.h"
#include "gtrain/nn/node_pair.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/flop_count.h"
#include "models/detail/pair_part.h"

namespace gtrain::models {
namespace {

constexpr double kClamp = 5;           // of a score, before the exponential
constexpr double kEdgeEpsilon = 1e-6;  // added to the sum of weights, with edge vectors only

}  // namespace

void GtOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels D of nodes and edges", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "layers L", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "pattern",
     .doc = "neighbours: sources of the edges into a node; full: all other nodes of its graph, "
            "edge columns zero",
     .one_of = {"neighbours", "full"}},
    pattern);
  f({.key = "norm",
     .doc = "batch: over all rows of the batch; layer: over the channels of each row",
     .one_of = {"batch", "layer", "none"}},
    norm);
  f({.key = "residual", .doc = "add the input of attention and feed-forward to their output"},
    residual);
  f({.key = "bias", .doc = "biases in Q, K, V and E"}, bias);
  f({.key = "input_dropout",
     .doc = "on the node vectors, before encodings are added",
     .min = 0,
     .max = 0.999},
    input_dropout);
  f({.key = "dropout",
     .doc = "before the output projection and inside the feed-forward block",
     .min = 0,
     .max = 0.999},
    dropout);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge",
     .doc = "raw edge columns to vectors; none: attention without edge vectors",
     .required = true},
    edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  const std::int64_t joined = joined_width(encoders);
  f.require(joined <= width, "encoders",
            fmt::format("concatenated dims make {}; the width is {}", joined, width));
  f.require(!has_gate(encoders), "encoders", "GT has no gates; expected no encoder of kind stable");
  f.require(!pools_graph_token(head), "head.pool", "GT has no graph token");
}

struct GtLayer::Parts final : PairParts {
  using PairParts::PairParts;
  std::shared_ptr<nn::Linear> q, k, v, e;     // e: undefined without edge vectors
  std::shared_ptr<nn::FeedBlock> node, edge;  // edge: as e
};

GtLayer::GtLayer(const GtOptions& o) : parts_(std::make_unique<Parts>(*this, o)) {
  Parts& p = *parts_;
  p.q = p.projection("q");
  p.k = p.projection("k");
  p.v = p.projection("v");
  p.node = p.block("node");
  if (!makes_edge_vectors(o.edge)) return;
  p.e = p.projection("e");
  p.edge = p.block("edge");
}

GtLayer::~GtLayer() = default;

std::pair<at::Tensor, at::Tensor> GtLayer::forward(const at::Tensor& x, const at::Tensor& e,
                                                   const ops::AttentionPattern& pattern,
                                                   nn::Context& context, bool edge_output) {
  const ops::FlopScope running(*this);
  const Parts& p = *parts_;
  const bool edges = p.e && edge_output;
  at::Tensor attended, w;  // where nothing attends, undefined
  if (p.heads > 0 && !shut(context)) {
    std::tie(attended, w) = attend(x, e, pattern, context, edges);
  }
  const at::Tensor nodes = p.node->forward(x, attended, context);
  return {nodes, edges ? p.edge->forward(e, w, context) : at::Tensor()};
}

std::pair<at::Tensor, at::Tensor> GtLayer::attend(const at::Tensor& x, const at::Tensor& e,
                                                  const ops::AttentionPattern& pattern,
                                                  nn::Context& context, bool edge_output) const {
  const Parts& p = *parts_;
  ops::EdgeAttentionOptions options;
  options.heads = p.heads;
  options.clamp = kClamp;
  options.epsilon = p.e ? kEdgeEpsilon : 0.0;
  options.edge_output = edge_output;
  nn::PairRows rows{x, e, {pattern}};
  const auto kept = keep_rows(rows, pattern.graph_start, context);
  const auto [attended, w] =
      ops::edge_attention(p.q->forward(rows.x), p.k->forward(rows.x), p.v->forward(rows.x),
                          p.e ? p.e->forward(rows.edge) : at::Tensor(), rows.patterns[0], options);
  return {gate_attended(attended, kept, pattern.graph_start, context),
          w.defined() ? gate_pairs(w, kept, pattern, context) : w};
}

void GtLayer::narrow(nn::PairRows& rows, nn::Leaving& leaving, nn::Context& context) const {
  const ops::FlopScope running(*this);
  leave_rows(rows, leaving, context);
}

nn::Gated::Parts GtLayer::parts() const { return {parts_->width, parts_->heads, true}; }

std::vector<nn::Gated::HeadSlices> GtLayer::head_slices() const { return parts_->head_slices(); }

void GtLayer::heads_kept(const std::vector<std::int64_t>& heads) {
  parts_->heads = static_cast<std::int64_t>(heads.size());
}

namespace {

constexpr const char* kHead =
    "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, groups: "
    "List[Tensor]) -> Tuple[Tensor, Tensor]:\n";
constexpr const char* kResult = "    return h, e\n";

}  // namespace

std::string GtLayer::script() const {
  const Parts& p = *parts_;
  const std::string methods = choice_script() + (token_gate ? nn::leaving_methods() : "");
  if (p.heads == 0) {  // it lost its attention
    return methods + kHead + "    h = self.node.forward(x, x[:, :0])\n" +
           (p.e ? "    e = self.edge.forward(e, e[:, :0])\n" : "") + kResult;
  }
  const std::string sums =
      p.e ? fmt::format("(total + {:g})", kEdgeEpsilon)
          : std::string("torch.clamp(total, 1e-3)");  // without pairs 0, else at least e^-5
  std::string text =
      methods + kHead + taken_script() +
      fmt::format(
          "    q = self.q.forward(u).reshape(-1, {0}, {1}).index_select(0, target)\n"
          "    k = self.k.forward(u).reshape(-1, {0}, {1}).index_select(0, source)\n"
          "    v = self.v.forward(u).reshape(-1, {0}, {1})\n"
          "    w = q * k * {2:.17g}\n"
          "{3}"
          "    s = torch.exp(torch.clamp(torch.sum(w, -1, True), -{4}, {4}))\n"
          "    total = torch.zeros_like(v[:, :, :1]).index_add(0, target, s)\n"
          "    mixed = torch.zeros_like(v).index_add(0, target, v.index_select(0, source) * s)\n"
          "    mixed = (mixed / {5}).reshape(-1, {6})\n"
          "    w = w.reshape(-1, {6})\n",
          p.heads, p.channels, 1 / std::sqrt(static_cast<double>(p.channels)),
          p.e ? fmt::format("    w = w * self.e.forward(f).reshape(-1, {}, {})\n", p.heads,
                            p.channels)
              : std::string(),
          kClamp, sums, p.heads * p.channels) +
      gated_script({"mixed", "kept", "x"}) + "    h = self.node.forward(x, mixed)\n";
  if (p.e) text += gated_script({"w", "which", "e"}) + "    e = self.edge.forward(e, w)\n";
  return text + kResult;
}

std::string GtLayer::fused_script() const {
  if (parts_->heads == 0 || leave_gate || !gated_script({}).empty()) return script();
  const Parts& p = *parts_;
  const char* edges = p.e ? "True" : "False";
  std::string text =
      kHead + fmt::format(
                  "    mixed, w = gtrain.edge_attention(self.q.forward(x), self.k.forward(x), "
                  "self.v.forward(x), {}, source, target, {}, {:.17e}, {:.17e}, {})\n"
                  "    h = self.node.forward(x, mixed)\n",
                  p.e ? "self.e.forward(e)" : "None", p.heads, kClamp, p.e ? kEdgeEpsilon : 0.0,
                  edges);
  if (p.e) text += "    e = self.edge.forward(e, w)\n";
  return text + kResult;
}

namespace {

class Gt final : public Model, public nn::Narrowing {
 public:
  Gt(const GtOptions& options, const Signature& signature) : options_(options) {
    features_ = register_module(
        "features", std::make_shared<FeatureEncoder>(options.node, options.edge, options.encoders,
                                                     options.width, signature));
    for (std::int64_t l = 0; l < options.layers; ++l) {
      layers_.push_back(
          register_module(fmt::format("layer_{}", l), std::make_shared<GtLayer>(options)));
    }
    head_ = register_module("head", make_head(options.head, options.width, "relu", signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    const at::Tensor x = features_->nodes(batch, context, options_.input_dropout);
    const ops::AttentionPattern pattern = pattern_of(batch);
    nn::PairRows rows{
        x,
        full() ? features_->edges(zero_edges(batch, pattern)) : features_->edges(batch),
        {pattern}};
    nn::Leaving leaving(batch.graph_start);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const bool read = context.training || l + 1 < layers_.size();
      layers_[l]->narrow(rows, leaving, context);
      std::tie(rows.x, rows.edge) =
          layers_[l]->forward(rows.x, rows.edge, rows.patterns[0], context, read);
    }
    return head_->forward(leaving.all(rows.x), {batch.graph_start, batch.pair, &context});
  }

  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }

  std::string script() const override {
    nn::LeavingScript layers{.edges = true};
    bool choosing = false;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const GtLayer& layer = *layers_[l];
      choosing = choosing || layer.token_gate || layer.leave_gate;
      layers.steps.push_back(
          {layer.leave_gate ? fmt::format("self.layer_{}.leaving(h, h, groups, sizes, none)", l)
                            : "",
           fmt::format("    h, e = self.layer_{}.forward(h, e, source, target, groups)\n", l)});
    }
    // Encodings inside the module ask for the groups, too.
    std::string text = nn::graph_groups_script() + layers.methods();
    if (full()) text += nn::other_node_script();
    text +=
        "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
        "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
        "    h = self.features.nodes(x, edge_index, batch, encodings)\n";
    if (full()) {
      text +=
          "    edge_index = self.other_nodes(batch)\n"
          "    edge_attr = torch.zeros([edge_index.size(1), edge_attr.size(1)], "
          "dtype=edge_attr.dtype, device=edge_attr.device)\n";
    }
    text +=
        "    e = self.features.edges(edge_attr)\n"
        "    source = edge_index[0]\n"
        "    target = edge_index[1]\n"
        "    rows = batch\n"
        "    none: List[Tensor] = []\n";
    text += fmt::format("    groups: List[Tensor] = {}\n",
                        choosing ? "self.graph_groups(batch)" : "[]");
    return text + layers.statements() + "    return self.head.forward(h, rows)\n";
  }

 private:
  bool full() const { return options_.pattern == "full"; }

  ops::AttentionPattern pattern_of(const data::GraphBatch& batch) const {
    if (!full()) {
      return ops::neighbour_pattern(batch.graph_start, {batch.source, batch.target, batch.in_start,
                                                        batch.out_start, batch.out_edge});
    }
    return nn::other_node_pattern(batch.graph_start);
  }

  // The batch with the pairs in the place of its edges and all their columns 0.
  static data::GraphBatch zero_edges(const data::GraphBatch& batch,
                                     const ops::AttentionPattern& pattern) {
    data::GraphBatch out = batch;
    out.source = pattern.column;
    if (batch.edge.defined()) {
      std::vector<std::int64_t> shape = batch.edge.sizes().vec();
      shape[0] = pattern.pairs();
      out.edge = at::zeros(shape, batch.edge.options());
    }
    return out;
  }

  GtOptions options_;
  std::shared_ptr<FeatureEncoder> features_;
  std::vector<std::shared_ptr<GtLayer>> layers_;
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const GtOptions& options, const Signature& signature) {
  return std::make_shared<Gt>(options, signature);
}

}  // namespace gtrain::models
