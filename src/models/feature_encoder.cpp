#include "gtrain/models/feature_encoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/base/error.h"
#include "gtrain/models/raw_encoder.h"
#include "gtrain/nn/eigen_transformer.h"
#include "gtrain/nn/embedding_encoder.h"
#include "gtrain/nn/sign_net.h"
#include "gtrain/ops/flop_count.h"

namespace gtrain::models {
namespace {

using base::RecipeError;

nn::SignFlip flip_named(const std::string& name) {
  if (name == "batch") return nn::SignFlip::kBatch;
  return name == "graph" ? nn::SignFlip::kGraph : nn::SignFlip::kNone;
}

template <class Options>
nn::EigenpairShape eigenpairs(const Options& o, std::int64_t inputs, std::int64_t width) {
  return {width, o.post_layers, o.norm == "batch" ? inputs : 0, flip_named(o.sign_flip)};
}

// The layer an encoder's options name; `inputs` columns wide, `width` channels out.
using Made = std::shared_ptr<nn::Encoder>;

Made make(const LinearEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::RowEncoder>(inputs, width, 0, o.norm == "batch");
}
Made make(const MlpEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::RowEncoder>(inputs, width, o.layers, o.norm == "batch");
}
Made make(const DeepSetEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::DeepSetEncoder>(eigenpairs(o, inputs, width), o.layers);
}
Made make(const TransformerEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::EigenTransformer>(
      eigenpairs(o, inputs, width),
      nn::EigenTransformer::Options{o.layers, o.heads, o.feed_width, o.dropout});
}
Made make(const EigenvectorEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::EigenvectorEncoder>(inputs, width, o.norm == "batch",
                                                  flip_named(o.sign_flip));
}
Made make(const StableEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::EigenvectorEncoder>(inputs, width, o.norm == "batch",
                                                  nn::SignFlip::kNone);
}
Made make(const SignNetEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  nn::SignNet::Shape shape;
  shape.model = o.model == "mlp" ? nn::SignNet::Model::kMlp : nn::SignNet::Model::kDeepSet;
  shape.vectors = inputs;
  shape.width = width;
  shape.phi_layers = o.phi_layers;
  shape.phi_width = o.phi_width;
  shape.phi_outputs = o.phi_outputs;
  shape.rho_layers = o.rho_layers;
  shape.padded_norm = !o.quirks.empty();
  return std::make_shared<nn::SignNet>(shape);
}

Made make(const EmbeddingEncoderOptions& o, std::int64_t inputs, std::int64_t width) {
  return std::make_shared<nn::EmbeddingEncoder>(inputs, o.count, width);
}

std::vector<std::string> columns_of(const EncoderOptions& options) {
  const std::string& of = encoding_of(options);
  if (std::holds_alternative<DeepSetEncoderOptions>(options) ||
      std::holds_alternative<TransformerEncoderOptions>(options)) {
    return {of + ".values", of + ".vectors"};
  }
  const bool rows = std::holds_alternative<LinearEncoderOptions>(options) ||
                    std::holds_alternative<MlpEncoderOptions>(options) ||
                    std::holds_alternative<EmbeddingEncoderOptions>(options);
  return {rows ? of : of + ".vectors"};
}

nn::EncoderGraph graph_of(const data::GraphBatch& b) {
  return {b.graph, b.graph_start, {b.source, b.target, b.in_start, b.out_start, b.out_edge}};
}

}  // namespace

FeatureEncoder::Encoder FeatureEncoder::make_encoder(std::size_t i, const EncoderOptions& options,
                                                     std::int64_t width,
                                                     const Signature& signature) const {
  const std::string& of = encoding_of(options);
  const auto found = signature.encodings.find(of);
  if (found == signature.encodings.end()) {
    throw RecipeError(fmt::format("model.encoders[{}].of: the encoding {} is not computed", i, of));
  }
  Encoder out;
  out.inputs = columns_of(options);
  std::visit(
      [&](const auto& o) {
        out.join = o.join == "concat" ? Encoder::Join::kConcat
                   : o.join == "add"  ? Encoder::Join::kAdd
                                      : Encoder::Join::kGate;
        out.dim = width;
        if constexpr (requires { o.dim; }) out.dim = o.dim;
        out.layer = make(o, found->second, out.dim);
      },
      options);
  if (out.join == Encoder::Join::kAdd && out.dim != width) {
    throw RecipeError(fmt::format("model.encoders[{}].dim: is {}; join: add needs the width {}", i,
                                  out.dim, width));
  }
  if (out.join == Encoder::Join::kGate && has_positions()) {
    throw RecipeError(fmt::format("model.encoders[{}]: a second encoder for gates", i));
  }
  return out;
}

FeatureEncoder::FeatureEncoder(const NodeOptions& node, const EdgeOptions& edge,
                               const std::vector<EncoderOptions>& encoders, std::int64_t width,
                               const Signature& signature, std::int64_t edge_width) {
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    encoders_.push_back(make_encoder(i, encoders[i], width, signature));
    const Encoder& encoder = encoders_.back();
    register_module(fmt::format("encoder_{}", i), encoder.layer);
    inputs_.insert(inputs_.end(), encoder.inputs.begin(), encoder.inputs.end());
  }
  const std::int64_t own = width - joined_width(encoders);
  if (own < 0) {
    throw RecipeError(
        fmt::format("model.encoders: concatenated dims exceed the width {} by {}", width, -own));
  }
  if (own == 0 && !std::holds_alternative<ConstantOptions>(node)) {
    throw RecipeError(fmt::format(
        "model.encoders: concatenated dims take the whole width {}; nothing is left for the node "
        "columns (expected less, or node: {{name: constant}})",
        width));
  }
  if (own > 0) {
    node_ = make_raw_encoder(node, {"node", signature.node_width, signature.node_categories}, own);
    register_module("node", node_);
  }
  register_edge(edge, edge_width > 0 ? edge_width : width, signature);
}

FeatureEncoder::FeatureEncoder(const EdgeOptions& edge, std::int64_t width,
                               const Signature& signature) {
  register_edge(edge, width, signature);
}

void FeatureEncoder::register_edge(const EdgeOptions& edge, std::int64_t width,
                                   const Signature& signature) {
  edge_ = make_raw_encoder(edge, {"edge", signature.edge_width, signature.edge_categories}, width);
  if (!edge_) return;
  const bool idle = std::holds_alternative<IdleOptions>(edge);
  register_module(idle ? "idle_edge" : "edge", edge_);
  if (idle) edge_.reset();
}

at::Tensor FeatureEncoder::encode(const Encoder& encoder, const data::GraphBatch& batch,
                                  nn::Context& context) const {
  const at::TensorOptions as_weights = parameters().front().options();
  std::vector<at::Tensor> columns;
  for (const std::string& name : encoder.inputs) {
    const auto it = batch.encoding.find(name);
    TORCH_CHECK(it != batch.encoding.end(), "[encoder] the batch has no encoding ", name);
    columns.push_back(it->second.to(as_weights));
  }
  return encoder.layer->encode(columns, graph_of(batch), context);
}

at::Tensor FeatureEncoder::nodes(const data::GraphBatch& batch, nn::Context& context,
                                 double dropout) {
  const ops::FlopScope running(*this);
  const at::ScalarType type = parameters().front().scalar_type();
  std::vector<at::Tensor> parts, added;
  if (node_) parts.push_back(encode_raw(*node_, batch.node, batch.graph.size(0), type, context));
  for (const Encoder& encoder : encoders_) {
    if (encoder.join == Encoder::Join::kGate) continue;
    (encoder.join == Encoder::Join::kAdd ? added : parts)
        .push_back(encode(encoder, batch, context));
  }
  at::Tensor x = nn::drop(parts.size() == 1 ? parts[0] : at::cat(parts, 1), dropout, context);
  for (const at::Tensor& a : added) x = x + a;
  return context.perturbation.defined() ? x + context.perturbation : x;
}

at::Tensor FeatureEncoder::positions(const data::GraphBatch& batch, nn::Context& context) {
  const ops::FlopScope running(*this);
  for (const Encoder& encoder : encoders_) {
    if (encoder.join == Encoder::Join::kGate) return encode(encoder, batch, context);
  }
  return {};
}

bool FeatureEncoder::has_positions() const {
  return std::any_of(encoders_.begin(), encoders_.end(),
                     [](const Encoder& e) { return e.join == Encoder::Join::kGate; });
}

at::Tensor FeatureEncoder::edges(const data::GraphBatch& batch) {
  const ops::FlopScope running(*this);
  if (!edge_) return {};
  nn::Context none;  // no encoder of edges asks for one
  return encode_raw(*edge_, batch.edge, batch.edges(), parameters().front().scalar_type(), none);
}

std::string FeatureEncoder::call_script(std::size_t i) const {
  std::size_t first = 0;
  for (std::size_t j = 0; j < i; ++j) first += encoders_[j].inputs.size();
  return fmt::format("self.encoder_{}.forward(encodings[{}:{}], edge_index, batch)", i, first,
                     first + encoders_[i].inputs.size());
}

std::string FeatureEncoder::node_script() const {
  std::string text =
      "def nodes(self, x: Tensor, edge_index: Tensor, batch: Tensor, encodings: List[Tensor]) -> "
      "Tensor:\n"
      "    parts: List[Tensor] = []\n"
      "    added: List[Tensor] = []\n";
  if (node_) {
    text += raw_check(*node_, "x");
    text += fmt::format("    parts.append({})\n", raw_call(*node_, "node", "x"));
  }
  std::string positions;
  for (std::size_t i = 0; i < encoders_.size(); ++i) {
    if (encoders_[i].join == Encoder::Join::kGate) {
      positions =
          "def positions(self, edge_index: Tensor, batch: Tensor, encodings: List[Tensor]) -> "
          "Tensor:\n    return " +
          call_script(i) + "\n";
      continue;
    }
    const bool add = encoders_[i].join == Encoder::Join::kAdd;
    text += fmt::format("    {}.append({})\n", add ? "added" : "parts", call_script(i));
  }
  return text +
         "    h = torch.cat(parts, 1)\n"
         "    for a in added:\n"
         "        h = h + a\n"
         "    return h\n" +
         positions;
}

std::string FeatureEncoder::script() const {
  const std::string edge =
      edge_ ? raw_call(*edge_, "edge", "edge_attr")
            : std::string("torch.zeros([edge_attr.size(0), 0], device=edge_attr.device)");
  return check_categories_script() + node_script() +
         "def edges(self, edge_attr: Tensor) -> Tensor:\n" +
         (edge_ ? raw_check(*edge_, "edge_attr") : "") + "    return " + edge + "\n";
}

namespace {

data::Level level_of(const HeadOptions& options) {
  const auto* halving = std::get_if<HalvingHeadOptions>(&options);
  if (std::holds_alternative<NodeHeadOptions>(options) || (halving && halving->pool == "none")) {
    return data::Level::kNode;
  }
  return std::holds_alternative<EdgeHeadOptions>(options) ? data::Level::kEdge
                                                          : data::Level::kGraph;
}

const char* name_of(data::Level level) {
  if (level == data::Level::kGraph) return "graph";
  return level == data::Level::kNode ? "node" : "edge";
}

// GraphGym builds the hidden layers of its heads so, whatever activation the model has.
constexpr auto kGraphGym = nn::Activation::kRelu;

// What a head's maker needs beside its options.
struct HeadShape {
  std::int64_t width, outputs;
  nn::Activation activation;
};

std::shared_ptr<nn::Head> make(const HalvingHeadOptions& o, const HeadShape& s) {
  if (s.width >> o.layers == 0) {
    throw RecipeError(fmt::format("model.head.layers: the width {} cannot be halved {} times",
                                  s.width, o.layers));
  }
  return std::make_shared<nn::HalvingHead>(s.width, s.outputs, o.layers, nn::pool_named(o.pool),
                                           s.activation);
}
std::shared_ptr<nn::Head> make(const MlpHeadOptions& o, const HeadShape& s) {
  return std::make_shared<nn::MlpHead>(s.width, s.outputs, o.layers, nn::pool_named(o.pool),
                                       kGraphGym);
}
std::shared_ptr<nn::Head> make(const GraphormerHeadOptions& o, const HeadShape& s) {
  return std::make_shared<nn::GraphormerHead>(s.width, s.outputs, nn::pool_named(o.pool));
}
std::shared_ptr<nn::Head> make(const TransformHeadOptions& o, const HeadShape& s) {
  return std::make_shared<nn::TransformHead>(s.width, s.outputs, nn::pool_named(o.pool),
                                             s.activation, !o.quirks.empty());
}
std::shared_ptr<nn::Head> make(const NodeHeadOptions& o, const HeadShape& s) {
  return std::make_shared<nn::MlpHead>(s.width, s.outputs, o.layers, nn::Pool::kNone, kGraphGym);
}
std::shared_ptr<nn::Head> make(const EdgeHeadOptions& o, const HeadShape& s) {
  if (o.decode == "dot" && s.outputs != 1) {
    throw RecipeError(fmt::format(
        "model.head.decode: dot gives one column; the task has {} (use concat)", s.outputs));
  }
  return std::make_shared<nn::EdgeHead>(
      nn::EdgeHead::Shape{s.width, s.outputs, o.layers},
      o.decode == "dot" ? nn::EdgeHead::Decode::kDot : nn::EdgeHead::Decode::kConcat, kGraphGym);
}
std::shared_ptr<nn::Head> make(const WideHeadOptions& o, const HeadShape& s) {
  return std::make_shared<nn::WideHead>(nn::WideHead::Shape{s.width, s.outputs, o.layers},
                                        nn::pool_named(o.pool), s.activation, o.dropout);
}

}  // namespace

std::shared_ptr<nn::Head> make_head(const HeadOptions& options, std::int64_t width,
                                    const std::string& activation, const Signature& signature) {
  if (level_of(options) != signature.level) {
    throw RecipeError(fmt::format(
        "model.head.name: {} does not fit a {} task",
        std::visit([](const auto& o) { return std::decay_t<decltype(o)>::kName; }, options),
        name_of(signature.level)));
  }
  const HeadShape shape{width, signature.outputs, nn::activation_named(activation)};
  return std::visit([&](const auto& o) { return make(o, shape); }, options);
}

}  // namespace gtrain::models
