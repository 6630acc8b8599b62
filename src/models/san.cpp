#include "gtrain/models/san.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/embedding.h"
#include "gtrain/nn/form.h"
#include "gtrain/nn/head.h"
#include "gtrain/nn/node_pair.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/flop_count.h"
#include "models/detail/pair_part.h"

namespace gtrain::models {
namespace {

constexpr double kClamp = 5;       // of a score, before the exponential
constexpr double kEpsilon = 1e-6;  // added to the sum of weights, after the division by 1 + γ
constexpr double kScale = 0x1p30;  // far above any sum of weights; see pair_sums

}  // namespace

void SanOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels D of nodes and edges", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "layers L", .min = 1, .max = 1024}, layers);
  f({.key = "heads", .doc = "attention heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "gamma",
     .doc = "weight of pairs without an edge; 0: edges alone, without the others' projections",
     .min = 0,
     .max = 1e6},
    gamma);
  f({.key = "norm",
     .doc = "batch: over all rows of the batch; layer: over each row's channels",
     .one_of = {"batch", "layer", "none"}},
    norm);
  f({.key = "residual", .doc = "add the input of attention and of feed-forward"}, residual);
  f({.key = "bias", .doc = "biases in the projections of queries, keys, values and edges"}, bias);
  f({.key = "dropout",
     .doc = "before the output projection and inside the feed-forward block",
     .min = 0,
     .max = 0.999},
    dropout);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors; not none", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  f.require(width % heads == 0, "heads",
            fmt::format("{} heads do not divide the width {}", heads, width));
  f.require(makes_edge_vectors(edge), "edge",
            "SAN multiplies edge vectors in; expected constant where edges have no columns");
  const std::int64_t joined = joined_width(encoders);
  f.require(joined <= width, "encoders",
            fmt::format("concatenated dims make {}; the width is {}", joined, width));
  f.require(!has_gate(encoders), "encoders",
            "SAN has no gates; expected no encoder of kind stable");
  f.require(!pools_graph_token(head), "head.pool", "SAN has no graph token");
}

SanPairs san_pairs(const at::Tensor& graph_start, const ops::EdgeIndex& edges, bool others) {
  SanPairs out{ops::neighbour_pattern(graph_start, edges), {}};
  if (!others) return out;
  const ops::AttentionPattern all =
      ops::union_pattern({out.edges, nn::other_node_pattern(graph_start)});
  const at::Tensor keep = all.type == 1;
  const at::Tensor kept = at::cumsum(keep, 0, at::kLong);
  const at::Tensor before = at::cat({at::zeros({1}, kept.options()), kept});
  out.others = ops::csr_pattern(graph_start, before.index_select(0, all.row_start),
                                all.column.masked_select(keep), all.columns());
  return out;
}

struct SanLayer::Parts final : PairParts {
  using PairParts::PairParts;
  double gamma = 0;
  std::shared_ptr<nn::Linear> q, k, e, v;
  std::shared_ptr<nn::Linear> q_other, k_other, e_other;  // none where γ = 0
  std::shared_ptr<nn::FeedBlock> node;
};

SanLayer::SanLayer(const SanOptions& o) : parts_(std::make_unique<Parts>(*this, o)) {
  Parts& p = *parts_;
  p.gamma = o.gamma;
  p.q = p.projection("q");
  p.k = p.projection("k");
  p.e = p.projection("e");
  p.v = p.projection("v");
  if (o.gamma > 0) {
    p.q_other = p.projection("q_other");
    p.k_other = p.projection("k_other");
    p.e_other = p.projection("e_other");
  }
  p.node = p.block("node");
}

SanLayer::~SanLayer() = default;

namespace {

struct Projected {
  at::Tensor q, k, v, edge;  // [N, D], [N, D], [N, D], [P, D] or undefined
};

// (sum of weighted values, sum of weights) / (sum of weights + kScale), [N, H, d+1]: a last channel
// of ones in v carries the second. kScale is so large that each is the sum itself to rounding, and
// so can be put together with that of other pairs.
at::Tensor pair_sums(const Projected& p, const ops::AttentionPattern& pattern, std::int64_t heads) {
  const std::int64_t d = p.q.size(1) / heads;
  const auto wider = [&](const at::Tensor& x, double last) {
    return x.defined() ? at::constant_pad_nd(x.view({x.size(0), heads, d}), {0, 1}, last) : x;
  };
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  return ops::edge_attention(wider(p.q, 0), wider(p.k, 0), wider(p.v, 1), wider(p.edge, 0), pattern,
                             {.scale = scale, .clamp = kClamp, .epsilon = kScale})
      .first;
}

}  // namespace

at::Tensor SanLayer::attend(const at::Tensor& x, const at::Tensor& e, const at::Tensor& other,
                            const SanPairs& pairs) const {
  const Parts& p = *parts_;
  const at::Tensor v = p.v->forward(x);
  const Projected near{p.q->forward(x), p.k->forward(x), v, p.e->forward(e)};
  if (p.gamma == 0) {
    return ops::edge_attention(near.q, near.k, near.v, near.edge, pairs.edges,
                               {.heads = p.heads, .clamp = kClamp, .epsilon = kEpsilon})
        .first;
  }
  const Projected far{
      p.q_other->forward(x) * p.e_other->forward(other), p.k_other->forward(x), v, {}};
  const std::int64_t d = p.channels;
  // Undoes the division: sums / kScale, weighed.
  const auto weighed = [&](const at::Tensor& sums, double weight) {
    return sums * (weight / (1 - sums.slice(2, d)));
  };
  const at::Tensor both = weighed(pair_sums(near, pairs.edges, p.heads), 1 / (1 + p.gamma)) +
                          weighed(pair_sums(far, pairs.others, p.heads), p.gamma / (1 + p.gamma));
  return (both.slice(2, 0, d) / (both.slice(2, d) + kEpsilon / kScale)).reshape({-1, p.heads * d});
}

at::Tensor SanLayer::forward(const at::Tensor& x, const at::Tensor& e, const at::Tensor& other,
                             const SanPairs& pairs, nn::Context& context) {
  const ops::FlopScope running(*this);
  if (parts_->heads == 0 || shut(context)) return parts_->node->forward(x, {}, context);
  nn::PairRows rows{x, e, {pairs.edges}};
  if (parts_->gamma > 0) rows.patterns.push_back(pairs.others);
  const at::Tensor& start = pairs.edges.graph_start;
  const auto kept = keep_rows(rows, start, context);
  const SanPairs inner{rows.patterns[0],
                       parts_->gamma > 0 ? rows.patterns[1] : ops::AttentionPattern{}};
  const at::Tensor attended = attend(rows.x, rows.edge, other, inner);
  return parts_->node->forward(x, gate_attended(attended, kept, start, context), context);
}

void SanLayer::narrow(nn::PairRows& rows, nn::Leaving& leaving, nn::Context& context) const {
  const ops::FlopScope running(*this);
  leave_rows(rows, leaving, context);
}

nn::Gated::Parts SanLayer::parts() const { return {parts_->width, parts_->heads, true}; }

std::vector<nn::Gated::HeadSlices> SanLayer::head_slices() const { return parts_->head_slices(); }

void SanLayer::heads_kept(const std::vector<std::int64_t>& heads) {
  parts_->heads = static_cast<std::int64_t>(heads.size());
}

namespace {

constexpr const char* kForward =
    "def forward(self, x: Tensor, e: Tensor, other: Tensor, source: Tensor, target: Tensor, "
    "groups: List[Tensor], free: List[Tensor]) -> Tensor:\n";

}  // namespace

std::string SanLayer::script() const {
  const Parts& p = *parts_;
  const std::string methods = choice_script() + (token_gate ? nn::leaving_methods() : "");
  if (p.heads == 0) {  // it lost its attention
    return methods + kForward + "    return self.node.forward(x, x[:, :0])\n";
  }
  const std::int64_t d = p.channels;
  std::string text =
      methods + kForward + taken_script({"free"}) +
      fmt::format(
          "    q = self.q.forward(u).reshape(-1, {0}, {1}).index_select(0, target)\n"
          "    k = self.k.forward(u).reshape(-1, {0}, {1}).index_select(0, source)\n"
          "    v = self.v.forward(u).reshape(-1, {0}, {1})\n"
          "    w = q * k * self.e.forward(f).reshape(-1, {0}, {1}) * {2:.17g}\n"
          "    s = torch.exp(torch.clamp(torch.sum(w, -1, True), -{3}, {3})) * {4:.17g}\n"
          "    total = torch.zeros_like(v[:, :, :1]).index_add(0, target, s)\n"
          "    mixed = torch.zeros_like(v).index_add(0, target, v.index_select(0, source) * s)\n",
          p.heads, d, 1 / std::sqrt(static_cast<double>(d)), kClamp, 1 / (1 + p.gamma));
  if (p.gamma > 0) {
    text += fmt::format(
        "    q = (self.q_other.forward(u) * self.e_other.forward(other)).reshape(-1, {0}, {1}) * "
        "{2:.17g}\n"
        "    k = self.k_other.forward(u).reshape(-1, {0}, {1})\n"
        "    for i in range(len(groups)):\n"
        "        n = groups[i].size(1)\n"
        "        flat = groups[i].reshape(-1)\n"
        "        own = q.index_select(0, flat).reshape(-1, n, {0}, {1}).transpose(1, 2)\n"
        "        key = k.index_select(0, flat).reshape(-1, n, {0}, {1}).permute(0, 2, 3, 1)\n"
        "        value = v.index_select(0, flat).reshape(-1, n, {0}, {1}).transpose(1, 2)\n"
        "        t = torch.exp(torch.clamp(torch.matmul(own, key), -{3}, {3})) * {4:.17g}\n"
        "        t = t * free[i].to(t.dtype)\n"
        "        far = torch.matmul(t, value).transpose(1, 2).reshape(-1, {0}, {1})\n"
        "        mixed.index_add_(0, flat, far)\n"
        "        share = torch.sum(t, -1, True).transpose(1, 2).reshape(-1, {0}, 1)\n"
        "        total.index_add_(0, flat, share)\n",
        p.heads, d, 1 / std::sqrt(static_cast<double>(d)), kClamp, p.gamma / (1 + p.gamma));
  }
  return text + fmt::format(
                    "    mixed = (mixed / (total + {:g})).reshape(-1, {})\n"
                    "{}"
                    "    return self.node.forward(x, mixed)\n",
                    kEpsilon, p.heads * d, gated_script({"mixed", "kept", "x"}));
}

namespace {

// {0} heads, {1} channels of a head, {2} d^-1/2, {3} clamp, {4} kScale, {5} and {6} weights of
// pairs with and without an edge, {7} added to the sum: attend() over `free`, the others' pairs.
constexpr const char* kFusedSums =
    "    q = torch.constant_pad_nd(self.q.forward(x).reshape(-1, {0}, {1}), [0, 1], 0.)\n"
    "    k = torch.constant_pad_nd(self.k.forward(x).reshape(-1, {0}, {1}), [0, 1], 0.)\n"
    "    v = torch.constant_pad_nd(self.v.forward(x).reshape(-1, {0}, {1}), [0, 1], 1.)\n"
    "    f = torch.constant_pad_nd(self.e.forward(e).reshape(-1, {0}, {1}), [0, 1], 0.)\n"
    "    near, w = gtrain.edge_attention(q, k, v, f, source, target, {0}, {3}, {4:.17e}, False, "
    "{2:.17e})\n"
    "    q = (self.q_other.forward(x) * self.e_other.forward(other)).reshape(-1, {0}, {1})\n"
    "    q = torch.constant_pad_nd(q, [0, 1], 0.)\n"
    "    k = torch.constant_pad_nd(self.k_other.forward(x).reshape(-1, {0}, {1}), [0, 1], 0.)\n"
    "    far, w = gtrain.edge_attention(q, k, v, None, free[0][0], free[0][1], {0}, {3}, {4:.17e}, "
    "False, {2:.17e})\n"
    "    near = near * ({5:.17e} / (1 - near[:, :, {1}:]))\n"
    "    both = near + far * ({6:.17e} / (1 - far[:, :, {1}:]))\n"
    "    mixed = (both[:, :, :{1}] / (both[:, :, {1}:] + {7:.17e})).reshape(-1, {0} * {1})\n";

}  // namespace

std::string SanLayer::fused_script() const {
  const Parts& p = *parts_;
  if (p.heads == 0 || leave_gate || !gated_script({}).empty()) return script();
  const double clamp = kClamp, gamma = p.gamma;
  const std::string mixed =
      gamma > 0 ? fmt::format(fmt::runtime(kFusedSums), p.heads, p.channels,
                              1 / std::sqrt(static_cast<double>(p.channels)),
                              fmt::format("{:.17e}", clamp), kScale, 1 / (1 + gamma),
                              gamma / (1 + gamma), kEpsilon / kScale)
                : fmt::format(
                      "    mixed, w = gtrain.edge_attention(self.q.forward(x), self.k.forward(x), "
                      "self.v.forward(x), self.e.forward(e), source, target, {}, {:.17e}, {:.17e}, "
                      "False)\n",
                      p.heads, clamp, kEpsilon);
  return kForward + mixed + "    return self.node.forward(x, mixed)\n";
}

namespace {

// For graphs of equal size [g, n] in `groups`: bool [g, 1, n, n], true where the node of the row
// and that of the column differ and no edge leads from the second to the first.
constexpr const char* kFreePairs =
    "def free_pairs(self, groups: List[Tensor], edge_index: Tensor, nodes: int) -> List[Tensor]:\n"
    "    out: List[Tensor] = []\n"
    "    for i in range(len(groups)):\n"
    "        n = groups[i].size(1)\n"
    "        flat = groups[i].reshape(-1)\n"
    "        row = torch.arange(flat.size(0), device=flat.device)\n"
    "        place = torch.full([nodes], -1, dtype=4, device=flat.device)\n"
    "        place.index_copy_(0, flat, row)\n"
    "        target = place.index_select(0, edge_index[1])\n"
    "        inside = torch.nonzero(target >= 0).reshape(-1)\n"
    "        target = target.index_select(0, inside)\n"
    "        source = place.index_select(0, edge_index[0]).index_select(0, inside)\n"
    "        free = torch.ones([flat.size(0) * n], dtype=11, device=flat.device)\n"
    "        free.index_fill_(0, target * n + source % n, 0)\n"
    "        free.index_fill_(0, row * n + row % n, 0)\n"
    "        out.append(free.reshape(-1, 1, n, n))\n"
    "    return out\n";

class San final : public Model, public nn::Narrowing {
 public:
  San(const SanOptions& options, const Signature& signature) : options_(options) {
    features_ = register_module(
        "features", std::make_shared<FeatureEncoder>(options.node, options.edge, options.encoders,
                                                     options.width, signature));
    if (dense()) {
      other_ = register_module("other_edge", std::make_shared<nn::Constant>(options.width));
    }
    for (std::int64_t l = 0; l < options.layers; ++l) {
      layers_.push_back(
          register_module(fmt::format("layer_{}", l), std::make_shared<SanLayer>(options)));
    }
    head_ = register_module("head", make_head(options.head, options.width, "relu", signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    nn::PairRows rows{features_->nodes(batch, context), features_->edges(batch), {}};
    const at::Tensor other = dense() ? other_->forward(1) : at::Tensor();
    const SanPairs pairs = san_pairs(
        batch.graph_start,
        {batch.source, batch.target, batch.in_start, batch.out_start, batch.out_edge}, dense());
    rows.patterns = {pairs.edges};
    if (dense()) rows.patterns.push_back(pairs.others);
    nn::Leaving leaving(batch.graph_start);
    for (const auto& layer : layers_) {
      layer->narrow(rows, leaving, context);
      const SanPairs left{rows.patterns[0], dense() ? rows.patterns[1] : ops::AttentionPattern{}};
      rows.x = layer->forward(rows.x, rows.edge, other, left, context);
    }
    return head_->forward(leaving.all(rows.x), {batch.graph_start, batch.pair, &context});
  }

  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }

  std::string script() const override { return text(nn::Form::kPortable); }

  std::string fused_script() const override { return text(nn::Form::kFused); }

 private:
  std::string text(nn::Form form) const {
    nn::LeavingScript layers{.blocks = {"free"}, .edges = true};
    bool grouped = dense();
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const SanLayer& layer = *layers_[l];
      grouped = grouped || layer.token_gate || layer.leave_gate;
      layers.steps.push_back(
          {layer.leave_gate ? fmt::format("self.layer_{}.leaving(h, h, groups, sizes, none)", l)
                            : "",
           fmt::format("    h = self.layer_{}.forward(h, e, other, source, target, groups, free)\n",
                       l)});
    }
    std::string text = nn::graph_groups_script() + layers.methods();
    if (dense()) text += kFreePairs;
    text +=
        "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
        "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
        "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
        "    e = self.features.edges(edge_attr)\n"
        "    source = edge_index[0]\n"
        "    target = edge_index[1]\n"
        "    rows = batch\n"
        "    none: List[Tensor] = []\n"
        "    free: List[Tensor] = []\n"
        "    other = h[:0]\n";
    text += fmt::format("    groups: List[Tensor] = {}\n",
                        grouped ? nn::groups_script(form, "batch") : "[]");
    if (dense()) {
      text += form == nn::Form::kPortable
                  ? "    free = self.free_pairs(groups, edge_index, h.size(0))\n"
                  : "    free = [gtrain.other_pairs(source, target, batch)]\n";
      text += "    other = self.other_edge.forward(1)\n";
    }
    return text + layers.statements() + "    return self.head.forward(h, rows)\n";
  }

  bool dense() const { return options_.gamma > 0; }

  SanOptions options_;
  std::shared_ptr<FeatureEncoder> features_;
  std::shared_ptr<nn::Constant> other_;
  std::vector<std::shared_ptr<SanLayer>> layers_;
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const SanOptions& options, const Signature& signature) {
  return std::make_shared<San>(options, signature);
}

}  // namespace gtrain::models
