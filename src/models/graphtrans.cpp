#include "gtrain/models/graphtrans.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/nn/form.h"
#include "gtrain/nn/graph_token.h"
#include "gtrain/nn/graphormer_layer.h"
#include "gtrain/ops/gather.h"

namespace gtrain::models {

GraphTransOptions::Network::Network() {
  width = 300;
  layers = 5;
  local = "ogb_gin";
  norm = "batch";
  last_activation = false;
  residual = false;
  edge_vectors = "own";
}

void GraphTransOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels d of the transformer", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "layers L of the transformer", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "hidden", .doc = "channels inside the feed-forward blocks", .min = 1, .max = 65536},
    hidden);
  f({.key = "norm",
     .doc = "layer norm before each block of a layer or after it",
     .one_of = {"before", "after"}},
    norm);
  f({.key = "input_norm", .doc = "layer norm of nodes and token before the first layer"},
    input_norm);
  f({.key = "final_norm", .doc = "layer norm after the last layer"}, final_norm);
  f({.key = "activation",
     .doc = "of the feed-forward blocks and the head",
     .one_of = {"relu", "gelu"}},
    activation);
  f({.key = "dropout",
     .doc = "on the softmax weights, after each block and inside the feed-forward blocks",
     .min = 0,
     .max = 0.999},
    dropout);
  f({.key = "token", .doc = "a learned row in front of each graph, which attends and is read"},
    token);
  f({.key = "max_nodes",
     .doc = "of a larger graph the transformer reads this many, its last ones; 0: all",
     .min = 0,
     .max = 1e9},
    max_nodes);
  f({.key = "gnn", .doc = "the message-passing network before the transformer"}, gnn);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head"}, head);

  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  require_fit(f, gnn, {node, edge, encoders}, "gnn.");
  f.require(token || !pools_graph_token(head), "head", "pools the graph token, but token is false");
}

namespace {

// A packed batch's rows that a transformer reads, and where each graph's begin.
struct Rows {
  at::Tensor x, start;
};

// The last `most` rows of each graph.
Rows last_rows(const at::Tensor& x, const at::Tensor& graph_start, std::int64_t most) {
  const std::int64_t graphs = graph_start.size(0) - 1;
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  const at::Tensor kept_start = at::empty_like(graph_start);
  std::int64_t* kept = kept_start.mutable_data_ptr<std::int64_t>();
  kept[0] = 0;
  for (std::int64_t g = 0; g < graphs; ++g) {
    kept[g + 1] = kept[g] + std::min(most, start[g + 1] - start[g]);
  }
  if (kept[graphs] == x.size(0)) return {x, graph_start};
  const at::Tensor index = at::empty({kept[graphs]}, at::kLong);
  std::int64_t* to = index.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t end = start[g + 1];
    for (std::int64_t i = end - (kept[g + 1] - kept[g]); i < end; ++i) *to++ = i;
  }
  return {ops::gather(x, ops::row_index(index, x.size(0))), kept_start};
}

class GraphTrans final : public MessageNetwork, public nn::Narrowing {
 public:
  GraphTrans(const GraphTransOptions& o, const Signature& signature)
      : MessageNetwork(o.gnn, {o.node, o.edge, o.encoders}, signature),
        options_(o),
        level_(signature.level) {
    if (o.max_nodes > 0 && level_ != data::Level::kGraph) {
      throw base::RecipeError("model.max_nodes: is for graph tasks; here every node has an output");
    }
    project_ = register_module("project", std::make_shared<nn::Linear>(node_width(), o.width));
    if (o.token) token_ = register_module("token", std::make_shared<nn::GraphToken>(o.width));
    if (o.input_norm) {
      norm_in_ = register_module("norm_in", std::make_shared<nn::LayerNorm>(o.width));
    }
    const nn::GraphormerLayerShape shape{.width = o.width,
                                         .hidden = o.hidden,
                                         .heads = o.heads,
                                         .norm_first = o.norm == "before",
                                         .dropout = o.dropout,
                                         .attention_dropout = o.dropout,
                                         .activation_dropout = o.dropout,
                                         .activation = nn::activation_named(o.activation),
                                         .biased = false};
    for (std::int64_t l = 0; l < o.layers; ++l) {
      blocks_.push_back(register_module(fmt::format("block_{}", l),
                                        std::make_shared<nn::GraphormerLayer>(shape)));
    }
    if (o.final_norm) {
      norm_out_ = register_module("norm_out", std::make_shared<nn::LayerNorm>(o.width));
    }
    head_ = register_module("head", make_head(o.head, o.width, o.activation, signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    Rows rows{project_->forward(node_vectors(batch, context)), batch.graph_start};
    if (options_.max_nodes > 0) rows = last_rows(rows.x, rows.start, options_.max_nodes);
    if (token_) rows = {token_->forward(rows.x, rows.start), nn::token_start(rows.start)};
    at::Tensor x = rows.x;
    if (norm_in_) x = norm_in_->forward(x, {}, rows.start, 0.0, context);
    nn::Leaving leaving(rows.start);
    nn::GlobalInput staying{.x = x, .graph_start = rows.start};
    for (const auto& block : blocks_) {
      if (const auto kept = block->choose(staying, leaving, context)) {
        staying = nn::restricted(staying, *kept);
      }
      staying.x = block->forward(staying, context);
    }
    x = leaving.all(staying.x);
    if (norm_out_) x = norm_out_->forward(x, {}, rows.start, 0.0, context);
    if (level_ == data::Level::kGraph) return head_->forward(x, {rows.start, batch.pair, &context});
    if (token_) x = ops::gather(x, ops::row_index(nn::node_rows(batch.graph_start), x.size(0)));
    return head_->forward(x, {batch.graph_start, batch.pair, &context});
  }

  void initialise(base::Random& random) override {
    MessageNetwork::initialise(random);
    if (token_) nn::draw_normal(token_->vector, 1.0, random);
  }

  std::string script() const override { return text(nn::Form::kPortable); }
  std::string fused_script() const override { return text(nn::Form::kFused); }

 private:
  std::string text(nn::Form form) const;

  GraphTransOptions options_;
  data::Level level_;
  std::shared_ptr<nn::Linear> project_;
  std::shared_ptr<nn::GraphToken> token_;
  std::shared_ptr<nn::LayerNorm> norm_in_, norm_out_;
  std::vector<std::shared_ptr<nn::GraphormerLayer>> blocks_;
  std::shared_ptr<nn::Head> head_;
};

// Of a graph's nodes, the last ones.
std::string last_rows_script(std::int64_t most) {
  return fmt::format(
      "    count = torch.bincount(batch)\n"
      "    end = torch.cumsum(count, 0).index_select(0, batch)\n"
      "    place = torch.arange(batch.size(0), device=batch.device)\n"
      "    last = torch.nonzero(place + {} >= end).reshape(-1)\n"
      "    h = h.index_select(0, last)\n"
      "    rows = batch.index_select(0, last)\n",
      most);
}

std::string GraphTrans::text(nn::Form form) const {
  nn::LeavingScript layers;
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    const std::string name = fmt::format("block_{}", l);
    layers.steps.push_back({blocks_[l]->choice(name, "bias"),
                            fmt::format("    h = self.{}.forward(h, rows, groups, bias)\n", name)});
  }
  std::string text = nn::graph_groups_script() + layers.methods();
  text +=
      "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
      "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n" +
      node_vectors_script() +
      "    h = self.project.forward(h)\n"
      "    rows = batch\n";
  if (options_.max_nodes > 0) text += last_rows_script(options_.max_nodes);
  if (token_) {
    text +=
        "    h = self.token.forward(h, rows)\n"
        "    rows = self.token.extended(rows)\n";
  }
  text += "    groups: List[Tensor] = " + nn::groups_script(form, "rows") +
          "\n"
          "    bias: List[Tensor] = []\n";
  if (norm_in_) text += "    h = self.norm_in.forward(h, rows)\n";
  text += layers.statements();
  if (norm_out_) text += "    h = self.norm_out.forward(h, rows)\n";
  if (level_ == data::Level::kGraph) return text + "    return self.head.forward(h, rows)\n";
  if (token_) {
    text += "    h = h.index_select(0, torch.arange(x.size(0), device=x.device) + batch + 1)\n";
  }
  return text + "    return self.head.forward(h, batch)\n";
}

}  // namespace

std::shared_ptr<Model> build_model(const GraphTransOptions& options, const Signature& signature) {
  return std::make_shared<GraphTrans>(options, signature);
}

}  // namespace gtrain::models
