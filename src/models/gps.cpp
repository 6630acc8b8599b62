#include "gtrain/models/gps.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/models/graph_encoding.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/bigbird.h"
#include "gtrain/nn/head.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/gather.h"

namespace gtrain::models {
namespace {

std::vector<std::string_view> with_none(std::vector<std::string_view> names) {
  names.push_back("none");
  return names;
}

nn::GlobalOptions global_options(const GpsOptions& o) {
  nn::GlobalOptions g;
  g.width = o.width;
  g.heads = o.heads;
  g.dropout = o.attention_dropout;
  g.performer = o.performer.value_or(g.performer);
  g.performer.padded = o.quirk("performer_padded_length");
  g.bigbird = o.bigbird.value_or(g.bigbird);
  g.deep_sets = o.deep_sets.value_or(g.deep_sets);
  g.deep_sets.padded = o.quirk("dsvn_padded_norm");
  return g;
}

// Keys of one global branch beside another one.
void require_global(base::FieldVisitor& f, bool given, std::string_view key,
                    const std::string& global, std::string_view name) {
  f.require(!given || global == name, key,
            fmt::format("belongs to global: {}; global is {}", name, global));
}

}  // namespace

void GpsOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels d of nodes and edges", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "GPS layers L", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "local",
     .doc = "message passing of the local branch",
     .one_of = with_none(nn::local_names())},
    local);
  f({.key = "global",
     .doc = "global branch over all nodes of a graph",
     .one_of = with_none(nn::global_names())},
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
  f({.key = "attention_dropout",
     .doc = "on the softmax weights; on the output of performer",
     .min = 0,
     .max = 0.999},
    attention_dropout);
  f({.key = "performer", .doc = "of global: performer"}, performer);
  f({.key = "bigbird", .doc = "of global: bigbird"}, bigbird);
  f({.key = "deep_sets", .doc = "of global: deep_sets"}, deep_sets);
  f({.key = "bias", .doc = "of global: biased: Graphormer's degrees, distances, path edges, token"},
    bias);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  f({.key = "quirks",
     .doc = "what the authors' code does besides: performer_padded_length: each graph also attends "
            "to keys of zeros up to the batch's largest graph; dsvn_padded_norm: batch norm in "
            "deep_sets counts rows of zeros up to the batch's largest graph; token_shifted_edges: "
            "edges keep their node numbers although graph tokens have moved the rows of nodes",
     .one_of = {"performer_padded_length", "dsvn_padded_norm", "token_shifted_edges"}},
    quirks);

  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  f.require(local != "none" || global != "none", "local", "both branches are none");
  const bool edges = makes_edge_vectors(edge);
  f.require(edges || !nn::reads_edge_vectors(local), "edge",
            fmt::format("{} needs edge vectors; use constant where the data set has none", local));
  const std::int64_t joined = joined_width(encoders);
  f.require(joined <= width, "encoders",
            fmt::format("concatenated dims make {}; the width is {}", joined, width));
  f.require(!has_gate(encoders) || nn::supports_gates(local), "encoders",
            fmt::format("join: gate needs local: gine or gated_gcn; local is {}", local));
  require_global(f, performer.has_value(), "performer", global, "performer");
  require_global(f, bigbird.has_value(), "bigbird", global, "bigbird");
  require_global(f, deep_sets.has_value(), "deep_sets", global, "deep_sets");
  require_global(f, bias.has_value(), "bias", global, "biased");
  f.require(global != "biased" || bias, "bias", "is missing; global: biased needs it");
  const bool token = bias && bias->token;
  f.require(token || !pools_graph_token(head), "head", "pools a graph token; there is none");
  f.require(token || !quirk("token_shifted_edges"), "quirks", "token_shifted_edges needs tokens");
  f.require(!token || !has_gate(encoders), "encoders", "join: gate does not go with graph tokens");
  require_global(f, quirk("performer_padded_length"), "quirks", global, "performer");
  require_global(f, quirk("dsvn_padded_norm"), "quirks", global, "deep_sets");
}

bool GpsOptions::quirk(std::string_view name) const {
  return std::find(quirks.begin(), quirks.end(), name) != quirks.end();
}

GpsLayer::GpsLayer(const GpsOptions& o)
    : activation_(nn::activation_named(o.activation)), dropout_(o.dropout) {
  const std::int64_t d = o.width;
  if (o.local != "none") {
    const nn::LocalOptions local{.width = d,
                                 .activation = activation_,
                                 .dropout = o.dropout,
                                 .heads = o.heads,
                                 .gates = has_gate(o.encoders)};
    local_ = register_module("local", nn::make_local(o.local, local));
    norm_local_ = register_module("norm_local", nn::make_norm(o.norm, d));
  }
  if (o.global != "none") {
    global_name_ = o.global == "deep_sets" ? "deep_sets" : "attention";
    global_ = register_module(global_name_, nn::make_global(o.global, global_options(o)));
    norm_global_ = register_module("norm_attention", nn::make_norm(o.norm, d));
  }
  in_ = register_module("feed_0", std::make_shared<nn::Linear>(d, 2 * d));
  out_ = register_module("feed_1", std::make_shared<nn::Linear>(2 * d, d));
  norm_out_ = register_module("norm_out", nn::make_norm(o.norm, d));
}

std::pair<at::Tensor, at::Tensor> GpsLayer::forward(const GpsInput& in, nn::Context& context) {
  const ops::FlopScope running(*this);
  at::Tensor e = in.e, y;
  if (local_) {
    at::Tensor h;
    std::tie(h, e) = local_->forward({in.x, in.e, in.edges, in.positions}, context);
    const bool own = local_->residual();
    y = norm_local_->forward(h, own ? at::Tensor() : in.x, in.graph_start, own ? 0.0 : dropout_,
                             context);
  }
  if (global_) {
    const at::Tensor h = global_->forward({in.x, in.graph_start, in.bias, in.pattern}, context);
    const at::Tensor global = norm_global_->forward(h, in.x, in.graph_start, dropout_, context);
    y = y.defined() ? y + global : global;
  }
  return {feed_forward(y, in.graph_start, context), e};
}

nn::TokenGate* GpsLayer::leave_gate() const {
  const auto* gated = dynamic_cast<const nn::Gated*>(global_.get());
  return gated != nullptr ? gated->leave_gate.get() : nullptr;
}

bool GpsLayer::narrow(GpsInput& in, nn::Leaving& leaving, nn::Context& context) {
  nn::TokenGate* gate = leave_gate();
  if (gate == nullptr) return false;
  const ops::FlopScope running(*this);
  const nn::GlobalInput rows{in.x, in.graph_start, in.bias};
  const auto kept = leaving.choose(*gate, rows, in.x, context);
  if (!kept) return false;
  const nn::GlobalInput left = nn::restricted(rows, *kept);
  in.x = left.x;
  in.graph_start = left.graph_start;
  in.bias = left.bias;
  const nn::KeptEdges edges = nn::restricted(in.edges, *kept);
  in.edges = edges.edges;
  if (in.e.defined()) in.e = ops::gather(in.e, edges.which);
  if (in.positions.defined()) in.positions = ops::gather(in.positions, kept->rows);
  return true;
}

std::string GpsLayer::choice(const std::string& name) const {
  if (leave_gate() == nullptr) return "";
  return fmt::format("self.{}.{}.leaving(h, h, groups, sizes, bias)", name, global_name_);
}

at::Tensor GpsLayer::feed_forward(const at::Tensor& y, const at::Tensor& graph_start,
                                  nn::Context& context) {
  const double dropout = context.training ? dropout_ : 0.0;
  const bool rectified = activation_ == nn::Activation::kRelu && dropout == 0;
  const at::Tensor fed = gate_feed(y, graph_start, context, [&](const at::Tensor& rows) {
    const ops::FlopScope hidden(*in_);  // an activation is work of its units
    at::Tensor h = in_->forward(rows, rectified);
    if (!rectified) h = nn::activate(h, activation_, dropout, context);
    return out_->forward(h);
  });
  return norm_out_->forward(fed, y, graph_start, dropout_, context);
}

std::string GpsLayer::text(nn::Form form) const {
  std::string text =
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, batch: Tensor, "
      "groups: List[Tensor], positions: Tensor, bias: List[Tensor]) -> Tuple[Tensor, Tensor]:\n";
  if (local_) {
    text += fmt::format(
        "    h, e_out = self.local.forward(x, e, source, target, positions)\n"
        "    y = {}\n",
        nn::norm_script(form, "norm_local", "h", local_->residual() ? "" : "x", "batch"));
  }
  if (global_) {
    text += fmt::format(
        "    a = self.{}.forward(x, batch, groups, bias)\n"
        "    a = {}\n"
        "    y = {}\n",
        global_name_, nn::norm_script(form, "norm_attention", "a", "x", "batch"),
        local_ ? nn::sum_script(form, "y", "a") : "a");
  }
  return text + fmt::format(
                    "    h = {}\n"
                    "{}"
                    "    return {}, {}\n",
                    nn::feed_script(form, "feed_0", "feed_1", activation_, "y"),
                    feed_gate ? "    h = self.feed_gate.forward(h)\n" : "",
                    nn::norm_script(form, "norm_out", "h", "y", "batch"), local_ ? "e_out" : "e");
}

std::string GpsLayer::script() const { return text(nn::Form::kPortable); }

std::string GpsLayer::fused_script() const { return text(nn::Form::kFused); }

namespace {

class Gps final : public Model, public nn::Narrowing {
 public:
  Gps(const GpsOptions& options, const Signature& signature) : options_(options) {
    features_ = register_module(
        "features", std::make_shared<FeatureEncoder>(
                        options.node, options.edge, options.encoders, options.width, signature,
                        nn::edge_vector_width(options.local, options.width)));
    if (options.bias) {
      const std::int64_t own = options.width - joined_width(options.encoders);
      encoding_ = register_module(
          "encoding",
          std::make_shared<GraphEncoding>(
              *options.bias, EncodingWidths{own, options.width, options.heads}, signature, "bias"));
      encoding_->set_first_input(features_->encoding_inputs().size());
    }
    level_ = signature.level;
    for (std::int64_t l = 0; l < options.layers; ++l) {
      layers_.push_back(
          register_module(fmt::format("layer_{}", l), std::make_shared<GpsLayer>(options)));
    }
    head_ = register_module("head",
                            make_head(options.head, options.width, options.activation, signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    const bool shifted = encoding_ && encoding_->has_token();
    const nn::Edges edges = shifted ? encoding_->edges(batch, options_.quirk("token_shifted_edges"))
                                    : nn::Edges{batch.source, batch.target, batch.in_start,
                                                batch.out_start, batch.out_edge};
    const at::Tensor x = features_->nodes(batch, context);
    GpsInput input{.x = x,
                   .e = features_->edges(batch),
                   .edges = edges,
                   .graph_start = batch.graph_start,
                   .positions = features_->positions(batch, context)};
    if (encoding_) {
      const auto encoded = encoding_->forward(x, batch);
      input.x = encoded.x;
      input.graph_start = encoded.pairs.graph_start;
      input.bias = encoded.pairs.bias;
    }
    std::optional<ops::AttentionPattern> pattern;
    const auto draw_pattern = [&] {
      if (options_.global != "bigbird") return;
      pattern = nn::bigbird_pattern(input.graph_start, global_options(options_).bigbird);
      input.pattern = &*pattern;
    };
    draw_pattern();
    nn::Leaving leaving(input.graph_start);
    for (const auto& layer : layers_) {
      if (layer->narrow(input, leaving, context)) draw_pattern();
      std::tie(input.x, input.e) = layer->forward(input, context);
    }
    input.x = leaving.all(input.x);
    input.graph_start = leaving.whole_start();
    if (shifted && level_ != data::Level::kGraph) {
      input.x = encoding_->without_tokens(input.x, batch);
      input.graph_start = batch.graph_start;
    }
    return head_->forward(input.x, {input.graph_start, batch.pair, &context});
  }

  std::vector<std::string> encoding_inputs() const override {
    std::vector<std::string> out = features_->encoding_inputs();
    if (encoding_) {
      const std::vector<std::string>& more = encoding_->encoding_inputs();
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  }

  std::string script() const override { return text(nn::Form::kPortable); }

  std::string fused_script() const override { return text(nn::Form::kFused); }

 private:
  std::string text(nn::Form form) const {
    const nn::LeavingScript layers = layer_scripts();
    std::string text = nn::graph_groups_script() + layers.methods();
    text +=
        "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
        "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
        "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
        "    e = self.features.edges(edge_attr)\n"
        "    rows = batch\n"
        "    shift = torch.zeros_like(edge_index[0])\n";
    text += features_->has_positions()
                ? "    positions = self.features.positions(edge_index, batch, encodings)\n"
                : "    positions = torch.zeros([0, 0], dtype=h.dtype, device=h.device)\n";
    const bool token = encoding_ && encoding_->has_token();
    if (encoding_) {
      text +=
          "    h, rows, pairs = self.encoding.forward(h, edge_index, edge_attr, batch, "
          "encodings)\n";
    }
    if (token && !options_.quirk("token_shifted_edges")) {
      text += "    shift = batch.index_select(0, edge_index[0]) + 1\n";
    }
    text +=
        "    source = edge_index[0] + shift\n"
        "    target = edge_index[1] + shift\n";
    text += "    groups: List[Tensor] = " +
            (options_.global == "bigbird"
                 ? nn::bigbird_groups_script(form, global_options(options_).bigbird)
                 : nn::groups_script(form, "rows")) +
            "\n";
    text += encoding_ ? "    bias = self.encoding.bias.blocks(pairs, rows, groups)\n"
                      : "    bias: List[Tensor] = []\n";
    text += layers.statements();
    if (!token || level_ == data::Level::kGraph) {
      return text + "    return self.head.forward(h, rows)\n";
    }
    return text +
           "    h = h.index_select(0, torch.arange(x.size(0), device=x.device) + batch + 1)\n"
           "    return self.head.forward(h, batch)\n";
  }

  nn::LeavingScript layer_scripts() const {
    nn::LeavingScript out{
        .blocks = {"bias"}, .edges = true, .positions = features_->has_positions()};
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const std::string name = fmt::format("layer_{}", l);
      out.steps.push_back({layers_[l]->choice(name),
                           fmt::format("    h, e = self.{}.forward(h, e, source, target, rows, "
                                       "groups, positions, bias)\n",
                                       name)});
    }
    return out;
  }

  GpsOptions options_;
  data::Level level_ = data::Level::kGraph;
  std::shared_ptr<FeatureEncoder> features_;
  std::shared_ptr<GraphEncoding> encoding_;  // "encoding", where attention is biased
  std::vector<std::shared_ptr<GpsLayer>> layers_;
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const GpsOptions& options, const Signature& signature) {
  return std::make_shared<Gps>(options, signature);
}

}  // namespace gtrain::models
