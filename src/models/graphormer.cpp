#include "gtrain/models/graphormer.h"

#include <fmt/format.h>

#include <cmath>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/models/graph_encoding.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/embedding.h"
#include "gtrain/nn/form.h"
#include "gtrain/nn/graphormer_layer.h"
#include "gtrain/nn/head.h"

namespace gtrain::models {
namespace {

void dropout_field(base::FieldVisitor& f, std::string_view key, std::string_view doc,
                   double& value) {
  f({.key = key, .doc = doc, .min = 0, .max = 0.999}, value);
}

}  // namespace

void GraphormerOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels d of nodes", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "layers L", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "hidden", .doc = "channels inside the feed-forward block", .min = 1, .max = 65536},
    hidden);
  f({.key = "norm",
     .doc = "layer norm before each block of a layer or after it",
     .one_of = {"before", "after"}},
    norm);
  f({.key = "input_norm", .doc = "layer norm of the node vectors before the first layer"},
    input_norm);
  f({.key = "final_norm", .doc = "layer norm after the last layer"}, final_norm);
  dropout_field(f, "dropout", "after attention and after the feed-forward block", dropout);
  dropout_field(f, "input_dropout", "on the node vectors before the first layer", input_dropout);
  dropout_field(f, "attention_dropout", "on the softmax weights", attention_dropout);
  dropout_field(f, "activation_dropout", "inside the feed-forward block", activation_dropout);
  f({.key = "init",
     .doc = "scaled_normal: linear weights N(0, 0.02² / L), tables N(0, 0.02²), biases 0; normal: "
            "all N(0, 0.02²); own: each layer's usual distribution",
     .one_of = {"scaled_normal", "normal", "own"}},
    init);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "bias", .doc = "degrees, distances, path edges and the graph token"}, bias);
  f({.key = "head", .doc = "prediction head"}, head);

  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  const std::int64_t joined = joined_width(encoders);
  f.require(joined < width, "encoders",
            fmt::format("concatenated dims make {}; the width is {}", joined, width));
  f.require(!has_gate(encoders), "encoders", "join: gate needs messages; graphormer has none");
  f.require(bias.token || !pools_graph_token(head), "head",
            "pools the graph token, but bias.token is false");
}

namespace {

class Graphormer final : public Model, public nn::Narrowing {
 public:
  Graphormer(const GraphormerOptions& o, const Signature& signature)
      : options_(o), level_(signature.level) {
    features_ = register_module(
        "features",
        std::make_shared<FeatureEncoder>(o.node, NoneOptions{}, o.encoders, o.width, signature));
    encoding_ = register_module(
        "encoding",
        std::make_shared<GraphEncoding>(
            o.bias, EncodingWidths{o.width - joined_width(o.encoders), o.width, o.heads}, signature,
            "bias"));
    encoding_->set_first_input(features_->encoding_inputs().size());
    if (o.input_norm) {
      norm_in_ = register_module("norm_in", std::make_shared<nn::LayerNorm>(o.width));
    }
    for (std::int64_t l = 0; l < o.layers; ++l) {
      layers_.push_back(
          register_module(fmt::format("layer_{}", l),
                          std::make_shared<nn::GraphormerLayer>(nn::GraphormerLayerShape{
                              o.width, o.hidden, o.heads, o.norm == "before", o.dropout,
                              o.attention_dropout, o.activation_dropout})));
    }
    if (o.final_norm) {
      norm_out_ = register_module("norm_out", std::make_shared<nn::LayerNorm>(o.width));
    }
    head_ = register_module("head", make_head(o.head, o.width, "gelu", signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    const auto encoded = encoding_->forward(features_->nodes(batch, context), batch);
    const at::Tensor& start = encoded.pairs.graph_start;
    at::Tensor x = encoded.x;
    if (norm_in_) x = norm_in_->forward(x, {}, start, 0.0, context);
    x = nn::drop(x, options_.input_dropout, context);
    nn::Leaving leaving(start);
    nn::GlobalInput rows{x, start, encoded.pairs.bias};
    for (const auto& layer : layers_) {
      if (const auto kept = layer->choose(rows, leaving, context)) {
        rows = nn::restricted(rows, *kept);
      }
      rows.x = layer->forward(rows, context);
    }
    x = leaving.all(rows.x);
    if (norm_out_) x = norm_out_->forward(x, {}, start, 0.0, context);
    if (level_ == data::Level::kGraph) return head_->forward(x, {start, batch.pair, &context});
    return head_->forward(encoding_->without_tokens(x, batch),
                          {batch.graph_start, batch.pair, &context});
  }

  void initialise(base::Random& random) override {
    if (options_.init == "own") return;
    const bool scaled = options_.init == "scaled_normal";
    const double deviation = 0.02, linear = scaled ? deviation / std::sqrt(options_.layers) : 0.02;
    const at::NoGradGuard guard;
    for (const auto& entry : named_modules("", false)) {
      torch::nn::Module* module = entry.value().get();
      if (const auto* l = dynamic_cast<nn::Linear*>(module)) {
        nn::draw_normal(l->weight, linear, random);
        if (l->bias.defined()) l->bias.zero_();
      } else if (const auto* a = dynamic_cast<nn::Attention*>(module)) {
        nn::draw_normal(a->in_weight, linear, random);
        nn::draw_normal(a->out_weight, linear, random);
      } else if (const auto* table = dynamic_cast<nn::Embedding*>(module)) {
        for (const at::Tensor& t : table->tables) nn::draw_normal(t, deviation, random);
      }
    }
  }

  std::vector<std::string> encoding_inputs() const override {
    std::vector<std::string> out = features_->encoding_inputs();
    out.insert(out.end(), encoding_->encoding_inputs().begin(), encoding_->encoding_inputs().end());
    return out;
  }

  std::string script() const override { return text(nn::Form::kPortable); }

  std::string fused_script() const override { return text(nn::Form::kFused); }

 private:
  std::string text(nn::Form form) const {
    nn::LeavingScript layers{.blocks = {"blocks"}};
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const std::string name = fmt::format("layer_{}", l);
      layers.steps.push_back(
          {layers_[l]->choice(name, "blocks"),
           fmt::format("    h = self.{}.forward(h, rows, groups, blocks)\n", name)});
    }
    std::string text = nn::graph_groups_script() + layers.methods();
    text +=
        "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
        "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
        "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
        "    h, rows, bias = self.encoding.forward(h, edge_index, edge_attr, batch, encodings)\n"
        "    groups: List[Tensor] = " +
        nn::groups_script(form, "rows") +
        "\n"
        "    blocks = self.encoding.bias.blocks(bias, rows, groups)\n";
    if (norm_in_) text += "    h = self.norm_in.forward(h, rows)\n";
    text += layers.statements();
    if (norm_out_) text += "    h = self.norm_out.forward(h, rows)\n";
    if (level_ == data::Level::kGraph) return text + "    return self.head.forward(h, rows)\n";
    if (encoding_->has_token()) {
      text += "    h = h.index_select(0, torch.arange(x.size(0), device=x.device) + batch + 1)\n";
    }
    return text + "    return self.head.forward(h, batch)\n";
  }

  GraphormerOptions options_;
  data::Level level_;
  std::shared_ptr<FeatureEncoder> features_;
  std::shared_ptr<GraphEncoding> encoding_;
  std::shared_ptr<nn::LayerNorm> norm_in_, norm_out_;
  std::vector<std::shared_ptr<nn::GraphormerLayer>> layers_;
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const GraphormerOptions& options, const Signature& signature) {
  return std::make_shared<Graphormer>(options, signature);
}

}  // namespace gtrain::models
