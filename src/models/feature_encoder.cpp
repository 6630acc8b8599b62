#include "gtrain/models/feature_encoder.h"

#include <fmt/format.h>

#include "gtrain/base/error.h"
#include "gtrain/nn/embedding.h"
#include "gtrain/nn/encoder.h"
#include "gtrain/nn/head.h"
#include "gtrain/nn/linear.h"

namespace gtrain::models {
namespace {

using base::RecipeError;

// Raw columns of nodes or edges and what the data says of them.
struct Raw {
  const char* what;  // "node", "edge"
  std::int64_t width;
  const std::vector<std::int64_t>& categories;
};

std::shared_ptr<nn::Layer> make_raw(const TypeOptions& o, const Raw& raw, std::int64_t width) {
  if (raw.categories.empty() && (o.count == 0 || raw.width == 0)) {
    throw RecipeError(fmt::format("model.{}: type needs a categorical column; the data set has {}",
                                  raw.what, raw.width == 0 ? "none" : "float columns"));
  }
  const std::int64_t count = o.count > 0 ? o.count : raw.categories[0];
  if (!raw.categories.empty() && count < raw.categories[0]) {
    throw RecipeError(fmt::format("model.{}.count: is {}; the data set has {} categories", raw.what,
                                  count, raw.categories[0]));
  }
  return std::make_shared<nn::Embedding>(std::vector<std::int64_t>{count}, width,
                                         nn::EmbeddingInit::kNormal);
}

std::shared_ptr<nn::Layer> make_raw(const CategoricalOptions&, const Raw& raw, std::int64_t width) {
  if (raw.categories.empty()) {
    throw RecipeError(
        fmt::format("model.{}: categorical needs categorical columns; the data set has {}",
                    raw.what, raw.width == 0 ? "none" : "float columns"));
  }
  return std::make_shared<nn::Embedding>(raw.categories, width, nn::EmbeddingInit::kXavier);
}

std::shared_ptr<nn::Layer> make_raw(const LinearOptions&, const Raw& raw, std::int64_t width) {
  if (raw.width == 0) {
    throw RecipeError(
        fmt::format("model.{}: linear needs columns; the data set has none", raw.what));
  }
  return std::make_shared<nn::Linear>(raw.width, width);
}

std::shared_ptr<nn::Layer> make_raw(const ConstantOptions&, const Raw&, std::int64_t width) {
  return std::make_shared<nn::Constant>(width);
}

std::shared_ptr<nn::Layer> make_raw(const NoneOptions&, const Raw&, std::int64_t) {
  return nullptr;
}

at::Tensor encode_raw(nn::Layer& layer, const at::Tensor& raw, std::int64_t rows,
                      at::ScalarType type) {
  if (auto* table = dynamic_cast<nn::Embedding*>(&layer)) {
    return table->forward(raw.dim() == 1 ? raw.unsqueeze(1) : raw);
  }
  if (auto* linear = dynamic_cast<nn::Linear*>(&layer)) return linear->forward(raw.to(type));
  return static_cast<nn::Constant&>(layer).forward(rows);
}

// How the scripted raw encoder `self.<name>` is called on the input `argument`.
std::string raw_call(const nn::Layer& layer, const std::string& name, const std::string& argument) {
  if (dynamic_cast<const nn::Constant*>(&layer) != nullptr) {
    return fmt::format("self.{}.forward({}.size(0))", name, argument);
  }
  if (dynamic_cast<const nn::Linear*>(&layer) != nullptr) {
    return fmt::format("self.{0}.forward({1}.to(self.{0}.weight.dtype))", name, argument);
  }
  return fmt::format("self.{}.forward({})", name, argument);
}

// Statement that refuses values outside the tables of a categorical raw encoder.
std::string raw_check(const nn::Layer& layer, const std::string& argument) {
  const auto* table = dynamic_cast<const nn::Embedding*>(&layer);
  if (table == nullptr) return "";
  std::string counts;
  for (const at::Tensor& t : table->tables) {
    counts += fmt::format("{}{}", counts.empty() ? "" : ", ", t.size(0));
  }
  return fmt::format("    self.check_categories({0}, [{1}], \"{0}\")\n", argument, counts);
}

constexpr const char* kCheckCategories =
    "def check_categories(self, columns: Tensor, counts: List[int], name: str):\n"
    "    assert columns.numel() == 0 or not columns.is_floating_point(), "
    "\"{}: has a floating type; expected integer categories\".format(name)\n"
    "    used = columns[:, :len(counts)]\n"
    "    limit = torch.tensor(counts, device=columns.device)\n"
    "    wrong = torch.nonzero((used < 0) | (used >= limit))\n"
    "    if wrong.size(0) > 0:\n"
    "        row = int(wrong[0][0])\n"
    "        c = int(wrong[0][1])\n"
    "        assert False, \"{}: row {} column {} holds {}; expected a category from 0 to {}\""
    ".format(name, row, c, int(used[row][c]), counts[c] - 1)\n";

nn::SignFlip flip_named(const std::string& name) {
  if (name == "batch") return nn::SignFlip::kBatch;
  return name == "graph" ? nn::SignFlip::kGraph : nn::SignFlip::kNone;
}

}  // namespace

// A learned encoder with the columns it takes.
struct FeatureEncoder::Encoder {
  std::shared_ptr<nn::RowEncoder> rows;
  std::shared_ptr<nn::DeepSetEncoder> set;
  std::vector<std::string> inputs;
  bool add = false;

  at::Tensor forward(const data::GraphBatch& batch, at::ScalarType type,
                     nn::Context& context) const {
    const auto column = [&](std::size_t i) {
      const auto it = batch.encoding.find(inputs[i]);
      TORCH_CHECK(it != batch.encoding.end(), "[encoder] the batch has no encoding ", inputs[i]);
      return it->second.to(type);
    };
    return set ? set->forward(column(0), column(1), batch.graph, context)
               : rows->forward(column(0), context);
  }
};

FeatureEncoder::FeatureEncoder(const NodeOptions& node, const EdgeOptions& edge,
                               const std::vector<EncoderOptions>& encoders, std::int64_t width,
                               const Signature& signature) {
  std::int64_t own = width;
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    auto encoder = std::make_shared<Encoder>();
    const std::string& of = encoding_of(encoders[i]);
    const auto found = signature.encodings.find(of);
    if (found == signature.encodings.end()) {
      throw RecipeError(
          fmt::format("model.encoders[{}].of: the encoding {} is not computed", i, of));
    }
    const std::string name = fmt::format("encoder_{}", i);
    const auto common = [&](std::int64_t dim, const std::string& join) {
      encoder->add = join == "add";
      if (encoder->add && dim != width) {
        throw RecipeError(fmt::format("model.encoders[{}].dim: is {}; join: add needs the width {}",
                                      i, dim, width));
      }
      if (!encoder->add) own -= dim;
    };
    if (const auto* o = std::get_if<DeepSetEncoderOptions>(&encoders[i])) {
      common(o->dim, o->join);
      encoder->inputs = {of + ".values", of + ".vectors"};
      encoder->set =
          register_module(name, std::make_shared<nn::DeepSetEncoder>(
                                    o->dim, o->layers, o->post_layers, flip_named(o->sign_flip)));
    } else {
      const auto* linear = std::get_if<LinearEncoderOptions>(&encoders[i]);
      const auto* mlp = std::get_if<MlpEncoderOptions>(&encoders[i]);
      const std::int64_t dim = linear != nullptr ? linear->dim : mlp->dim;
      common(dim, linear != nullptr ? linear->join : mlp->join);
      encoder->inputs = {of};
      encoder->rows =
          register_module(name, std::make_shared<nn::RowEncoder>(
                                    found->second, dim, linear != nullptr ? 0 : mlp->layers,
                                    (linear != nullptr ? linear->norm : mlp->norm) == "batch"));
    }
    inputs_.insert(inputs_.end(), encoder->inputs.begin(), encoder->inputs.end());
    encoders_.push_back(std::move(encoder));
  }
  if (own < 0) {
    throw RecipeError(
        fmt::format("model.encoders: concatenated dims exceed the width {} by {}", width, -own));
  }
  if (own > 0) {
    const Raw raw{"node", signature.node_width, signature.node_categories};
    node_ = std::visit([&](const auto& o) { return make_raw(o, raw, own); }, node);
    register_module("node", node_);
  }
  register_edge(edge, width, signature);
}

FeatureEncoder::FeatureEncoder(const EdgeOptions& edge, std::int64_t width,
                               const Signature& signature) {
  register_edge(edge, width, signature);
}

void FeatureEncoder::register_edge(const EdgeOptions& edge, std::int64_t width,
                                   const Signature& signature) {
  const Raw raw{"edge", signature.edge_width, signature.edge_categories};
  edge_ = std::visit([&](const auto& o) { return make_raw(o, raw, width); }, edge);
  if (edge_) register_module("edge", edge_);
}

at::Tensor FeatureEncoder::nodes(const data::GraphBatch& batch, nn::Context& context) {
  const at::ScalarType type = parameters().front().scalar_type();
  std::vector<at::Tensor> parts;
  if (node_) parts.push_back(encode_raw(*node_, batch.node, batch.graph.size(0), type));
  std::vector<at::Tensor> added;
  for (const auto& encoder : encoders_) {
    (encoder->add ? added : parts).push_back(encoder->forward(batch, type, context));
  }
  at::Tensor x = parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  for (const at::Tensor& a : added) x = x + a;
  return x;
}

at::Tensor FeatureEncoder::edges(const data::GraphBatch& batch) {
  if (!edge_) return {};
  return encode_raw(*edge_, batch.edge, batch.edges(), parameters().front().scalar_type());
}

std::string FeatureEncoder::node_script() const {
  std::string text =
      "def nodes(self, x: Tensor, batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
      "    parts: List[Tensor] = []\n"
      "    added: List[Tensor] = []\n";
  if (node_) {
    text += raw_check(*node_, "x");
    text += fmt::format("    parts.append({})\n", raw_call(*node_, "node", "x"));
  }
  std::size_t input = 0;
  for (std::size_t i = 0; i < encoders_.size(); ++i) {
    const char* list = encoders_[i]->add ? "added" : "parts";
    text +=
        encoders_[i]->set
            ? fmt::format("    {}.append(self.encoder_{}.forward(encodings[{}], encodings[{}]))\n",
                          list, i, input, input + 1)
            : fmt::format("    {}.append(self.encoder_{}.forward(encodings[{}], batch))\n", list, i,
                          input);
    input += encoders_[i]->inputs.size();
  }
  return text +
         "    h = torch.cat(parts, 1)\n"
         "    for a in added:\n"
         "        h = h + a\n"
         "    return h\n";
}

std::string FeatureEncoder::script() const {
  const std::string edge =
      edge_ ? raw_call(*edge_, "edge", "edge_attr")
            : std::string("torch.zeros([edge_attr.size(0), 0], device=edge_attr.device)");
  const bool edges_alone = !node_ && encoders_.empty();
  return kCheckCategories + (edges_alone ? "" : node_script()) +
         "def edges(self, edge_attr: Tensor) -> Tensor:\n" +
         (edge_ ? raw_check(*edge_, "edge_attr") : "") + "    return " + edge + "\n";
}

std::shared_ptr<nn::Layer> make_head(const HeadOptions& options, std::int64_t width,
                                     const std::string& activation, const Signature& signature) {
  const nn::Activation act = nn::activation_named(activation);
  const bool node = std::holds_alternative<NodeHeadOptions>(options);
  if (node != (signature.level == data::Level::kNode) || signature.level == data::Level::kEdge) {
    throw RecipeError(fmt::format("model.head.name: {} does not fit a {} task",
                                  node ? "node" : "a pooled head",
                                  signature.level == data::Level::kGraph  ? "graph"
                                  : signature.level == data::Level::kNode ? "node"
                                                                          : "edge"));
  }
  if (const auto* o = std::get_if<HalvingHeadOptions>(&options)) {
    return std::make_shared<nn::HalvingHead>(width, signature.outputs, o->layers,
                                             nn::pool_named(o->pool), act);
  }
  if (const auto* o = std::get_if<MlpHeadOptions>(&options)) {
    return std::make_shared<nn::MlpHead>(width, signature.outputs, o->layers,
                                         nn::pool_named(o->pool), act);
  }
  return std::make_shared<nn::MlpHead>(
      width, signature.outputs, std::get<NodeHeadOptions>(options).layers, nn::Pool::kNone, act);
}

}  // namespace gtrain::models
