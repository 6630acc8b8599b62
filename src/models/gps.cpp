#include "gtrain/models/gps.h"

#include <fmt/format.h>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/head.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/message.h"
#include "gtrain/nn/norm.h"

namespace gtrain::models {

void GpsOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels d of nodes and edges", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "GPS layers L", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "local",
     .doc = "message passing of the local branch",
     .one_of = {"gine", "gated_gcn", "gcn", "none"}},
    local);
  f({.key = "global",
     .doc = "global branch over all nodes of a graph",
     .one_of = {"attention", "none"}},
    global);
  f({.key = "norm",
     .doc = "batch: over all rows of the batch; layer: over all nodes and channels of a graph",
     .one_of = {"batch", "layer", "none"}},
    norm);
  f({.key = "activation",
     .doc = "activation of the layers and the head",
     .one_of = {"relu", "gelu"}},
    activation);
  f({.key = "dropout",
     .doc = "after each branch and inside the feed-forward block",
     .min = 0,
     .max = 0.999},
    dropout);
  f({.key = "attention_dropout", .doc = "on the softmax weights", .min = 0, .max = 0.999},
    attention_dropout);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);

  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  f.require(local != "none" || global != "none", "local", "both branches are none");
  const bool edges = !std::holds_alternative<NoneOptions>(edge);
  f.require(edges || (local != "gine" && local != "gated_gcn"), "edge",
            fmt::format("{} needs edge vectors; use constant where the data set has none", local));
  const std::int64_t joined = joined_width(encoders);
  f.require(joined <= width, "encoders",
            fmt::format("concatenated dims make {}; the width is {}", joined, width));
}

struct GpsLayer::Parts {
  GpsOptions options;
  nn::Activation activation;
  std::shared_ptr<nn::Gine> gine;
  std::shared_ptr<nn::GatedGcn> gated;
  std::shared_ptr<nn::Gcn> gcn;
  std::shared_ptr<nn::Attention> attention;
  std::shared_ptr<nn::Norm> norm_local, norm_global, norm_out;
  std::shared_ptr<nn::Linear> in, out;
};

GpsLayer::GpsLayer(const GpsOptions& o) : parts_(std::make_unique<Parts>()) {
  Parts& p = *parts_;
  p.options = o;
  p.activation = nn::activation_named(o.activation);
  const std::int64_t d = o.width;
  if (o.local == "gine") {
    p.gine = register_module("local", std::make_shared<nn::Gine>(d, p.activation));
  } else if (o.local == "gated_gcn") {
    p.gated = register_module("local", std::make_shared<nn::GatedGcn>(d, p.activation, o.dropout));
  } else if (o.local == "gcn") {
    p.gcn = register_module("local", std::make_shared<nn::Gcn>(d));
  }
  if (o.local != "none") p.norm_local = register_module("norm_local", nn::make_norm(o.norm, d));
  if (o.global != "none") {
    p.attention = register_module("attention",
                                  std::make_shared<nn::Attention>(d, o.heads, o.attention_dropout));
    p.norm_global = register_module("norm_attention", nn::make_norm(o.norm, d));
  }
  p.in = register_module("feed_0", std::make_shared<nn::Linear>(d, 2 * d));
  p.out = register_module("feed_1", std::make_shared<nn::Linear>(2 * d, d));
  p.norm_out = register_module("norm_out", nn::make_norm(o.norm, d));
}

GpsLayer::~GpsLayer() = default;

at::Tensor GpsLayer::local(const at::Tensor& x, at::Tensor& e, const nn::Edges& edges,
                           const at::Tensor& graph_start, nn::Context& context) {
  const Parts& p = *parts_;
  if (p.gated) {  // its own dropout and residual; the norm comes on top of its own
    const auto [h, updated] = p.gated->forward(x, e, edges, context);
    e = updated;
    return p.norm_local->forward(h, {}, graph_start, 0.0, context);
  }
  const at::Tensor h = p.gine ? p.gine->forward(x, e, edges) : p.gcn->forward(x, edges);
  return p.norm_local->forward(h, x, graph_start, p.options.dropout, context);
}

std::pair<at::Tensor, at::Tensor> GpsLayer::forward(const at::Tensor& x, const at::Tensor& e_in,
                                                    const nn::Edges& edges,
                                                    const at::Tensor& graph_start,
                                                    nn::Context& context) {
  const Parts& p = *parts_;
  at::Tensor e = e_in, y;
  if (p.norm_local) y = local(x, e, edges, graph_start, context);
  if (p.attention) {
    const at::Tensor h = p.attention->forward(x, graph_start, context);
    const at::Tensor global = p.norm_global->forward(h, x, graph_start, p.options.dropout, context);
    y = y.defined() ? y + global : global;
  }
  const double dropout = context.training ? p.options.dropout : 0.0;
  const bool rectified = p.activation == nn::Activation::kRelu && dropout == 0;
  at::Tensor h = p.in->forward(y, rectified);
  if (!rectified) h = nn::activate(h, p.activation, dropout, context);
  h = p.out->forward(h);
  return {p.norm_out->forward(h, y, graph_start, p.options.dropout, context), e};
}

std::string GpsLayer::script() const {
  const Parts& p = *parts_;
  std::string text =
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, batch: Tensor, "
      "groups: List[Tensor]) -> Tuple[Tensor, Tensor]:\n";
  if (p.gated) {
    text +=
        "    local, e = self.local.forward(x, e, source, target)\n"
        "    y = self.norm_local.forward(local, batch)\n";
  } else if (p.gine) {
    text +=
        "    y = self.norm_local.forward(x + self.local.forward(x, e, source, target), batch)\n";
  } else if (p.gcn) {
    text += "    y = self.norm_local.forward(x + self.local.forward(x, source, target), batch)\n";
  }
  if (p.attention) {
    text += "    a = self.norm_attention.forward(x + self.attention.forward(x, groups), batch)\n";
    text += p.norm_local ? "    y = y + a\n" : "    y = a\n";
  }
  return text + fmt::format(
                    "    h = self.feed_1.forward({})\n"
                    "    return self.norm_out.forward(y + h, batch), e\n",
                    nn::script_of(p.activation, "self.feed_0.forward(y)"));
}

namespace {

class Gps final : public Model {
 public:
  Gps(const GpsOptions& options, const Signature& signature) : options_(options) {
    features_ = register_module(
        "features", std::make_shared<FeatureEncoder>(options.node, options.edge, options.encoders,
                                                     options.width, signature));
    for (std::int64_t l = 0; l < options.layers; ++l) {
      layers_.push_back(
          register_module(fmt::format("layer_{}", l), std::make_shared<GpsLayer>(options)));
    }
    head_ = register_module(
        "head", make_head(options.head, options.width, options.activation, signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    at::Tensor x = features_->nodes(batch, context);
    at::Tensor e = features_->edges(batch);
    const nn::Edges edges{batch.source, batch.target, batch.in_start, batch.out_start,
                          batch.out_edge};
    for (const auto& layer : layers_) {
      std::tie(x, e) = layer->forward(x, e, edges, batch.graph_start, context);
    }
    return head_->forward(x, {batch.graph_start, batch.pair});
  }

  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }

  double forward_flops(std::int64_t nodes, std::int64_t edges, double pairs) const override {
    const double n = static_cast<double>(nodes), m = static_cast<double>(edges);
    const double d = static_cast<double>(options_.width);
    double layer = 8 * n * d * d;  // feed-forward d -> 2d -> d
    if (options_.local == "gine") layer += 4 * n * d * d + 3 * m * d;
    if (options_.local == "gated_gcn") layer += 8 * n * d * d + 2 * m * d * d + 8 * m * d;
    if (options_.local == "gcn") layer += 2 * n * d * d + 2 * m * d;
    if (options_.global != "none") layer += 8 * n * d * d + 4 * pairs * d;
    return layer * static_cast<double>(options_.layers);
  }

  std::string script() const override {
    std::string text = nn::graph_groups_script();
    text +=
        "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
        "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
        "    groups = self.graph_groups(batch)\n"
        "    source = edge_index[0]\n"
        "    target = edge_index[1]\n"
        "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
        "    e = self.features.edges(edge_attr)\n";
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      text +=
          fmt::format("    h, e = self.layer_{}.forward(h, e, source, target, batch, groups)\n", l);
    }
    return text + "    return self.head.forward(h, batch)\n";
  }

 private:
  GpsOptions options_;
  std::shared_ptr<FeatureEncoder> features_;
  std::vector<std::shared_ptr<GpsLayer>> layers_;
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const GpsOptions& options, const Signature& signature) {
  return std::make_shared<Gps>(options, signature);
}

}  // namespace gtrain::models
