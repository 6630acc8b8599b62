#include "gtrain/models/graphtrans.h"

#include <cmath>

#include "gtrain/base/error.h"
#include "models/sample.h"

namespace gtrain::models {
namespace {

GraphTransOptions small() {
  GraphTransOptions o;
  o.width = 16;
  o.layers = 2;
  o.heads = 4;
  o.hidden = 24;
  o.dropout = 0;
  o.gnn.width = 12;
  o.gnn.layers = 3;
  o.gnn.jump = "concat";
  o.node = CategoricalOptions{};
  o.edge = TypeOptions{};
  return o;
}

std::shared_ptr<Model> made(const GraphTransOptions& o, const Signature& s = sample::signature()) {
  auto m = build_model(o, s);
  initialise(*m, 11);
  m->to(at::kDouble);
  return m;
}

at::Tensor run(Model& m, const data::GraphBatch& b) {
  nn::Context c = support::context(false);
  const at::NoGradGuard guard;
  return m.forward(b, c);
}

// The authors' equations in evaluation on one graph, in plain ATen.
struct Plain {
  explicit Plain(const Model& model) : p(model.named_parameters()) {}

  at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    return at::matmul(x, p[name + ".weight"].t()) + p[name + ".bias"];
  }
  at::Tensor layer_norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean(1, true);
    const at::Tensor variance = centred.square().mean(1, true);
    return centred / at::sqrt(variance + 1e-5) * p[name + ".weight"] + p[name + ".bias"];
  }
  // Fresh statistics: mean 0, variance 1.
  at::Tensor batch_norm(const at::Tensor& x, const std::string& name) const {
    return x / std::sqrt(1 + 1e-5) * p[name + ".weight"] + p[name + ".bias"];
  }

  at::Tensor gin(const at::Tensor& x, const data::GraphBatch& b, std::int64_t l, bool last) const {
    const std::string at = "layer_" + std::to_string(l), edges = "edges_" + std::to_string(l);
    const at::Tensor e = p[edges + ".edge.column_0"].index_select(0, b.edge.flatten());
    at::Tensor sum = (1 + p[at + ".local.eps"]) * x;
    sum = sum.index_add(0, b.target, at::relu(x.index_select(0, b.source) + e));
    const at::Tensor h =
        at::relu(batch_norm(linear(sum, at + ".local.mlp_0"), at + ".local.mlp_norm"));
    const at::Tensor out = batch_norm(linear(h, at + ".local.mlp_1"), at + ".norm");
    return last ? out : at::relu(out);
  }

  at::Tensor attention(const at::Tensor& x, const std::string& at) const {
    const at::Tensor qkv = at::matmul(x, p[at + ".in_weight"].t()) + p[at + ".in_bias"];
    const std::int64_t n = x.size(0), d = x.size(1), heads = 4;
    const at::Tensor parts = qkv.view({n, 3, heads, d / heads}).permute({1, 2, 0, 3});
    const at::Tensor scores =
        at::matmul(parts[0], parts[1].transpose(1, 2)) / std::sqrt(static_cast<double>(d / heads));
    const at::Tensor mixed = at::matmul(at::softmax(scores, 2), parts[2]).transpose(0, 1);
    return at::matmul(mixed.reshape({n, d}), p[at + ".out_weight"].t()) + p[at + ".out_bias"];
  }

  at::Tensor block(const at::Tensor& x, std::int64_t l) const {
    const std::string at = "block_" + std::to_string(l);
    const at::Tensor h = layer_norm(x + attention(x, at + ".attention"), at + ".norm_attention");
    const at::Tensor fed = linear(at::relu(linear(h, at + ".feed_0")), at + ".feed_1");
    return layer_norm(h + fed, at + ".norm_feed");
  }

  torch::OrderedDict<std::string, at::Tensor> p;
};

TEST(GraphTrans, EqualsItsEquations) {
  const auto m = made(small());
  const data::GraphBatch b = sample::batch({support::random_graph(3, 12, 0.3)});
  const at::NoGradGuard guard;
  const Plain plain(*m);
  const at::Tensor first = plain.p["features.node.column_0"].index_select(0, b.node.select(1, 0)) +
                           plain.p["features.node.column_1"].index_select(0, b.node.select(1, 1));
  at::Tensor x = first;
  for (std::int64_t l = 0; l < 3; ++l) x = plain.gin(x, b, l, l == 2);
  x = plain.linear(at::cat({first, x}, 1), "project");
  x = plain.layer_norm(at::cat({x, plain.p["token.vector"]}), "norm_in");
  for (std::int64_t l = 0; l < 2; ++l) x = plain.block(x, l);
  const at::Tensor want =
      plain.linear(plain.layer_norm(x, "norm_out").slice(0, 12), "head.linear_0");
  EXPECT_LT(support::distance(run(*m, b), want), 1e-11);
}

TEST(GraphTrans, LetsNodesWithoutAPathBetweenThemAttendToEachOther) {
  GraphTransOptions o = small();
  o.head = NodeHeadOptions{};
  Signature s = sample::signature();
  s.level = data::Level::kNode;
  const auto m = made(o, s);
  const data::GraphBatch b = sample::batch({support::edgeless(6), support::edgeless(2)});
  data::GraphBatch changed = b;
  changed.node = b.node.clone();
  changed.node[5][0] = 4 - b.node[5][0].item<std::int64_t>();
  const at::Tensor moved = (run(*m, b) - run(*m, changed)).abs().amax({1});
  EXPECT_EQ(moved.size(0), 8);
  EXPECT_GT(moved.slice(0, 0, 6).min().item<double>(), 1e-9);
  EXPECT_EQ(moved.slice(0, 6).max().item<double>(), 0);
}

TEST(GraphTrans, ReadsOnlyTheLastNodesOfALargeGraph) {
  GraphTransOptions o = small();
  o.max_nodes = 3;
  const auto m = made(o);
  const data::GraphBatch b = sample::batch({support::edgeless(6), support::edgeless(2)});
  const at::Tensor before = run(*m, b);
  for (const std::int64_t node : {0, 2, 3, 5, 7}) {
    data::GraphBatch changed = b;
    changed.node = b.node.clone();
    changed.node[node][0] = (b.node[node][0].item<std::int64_t>() + 1) % 5;
    const at::Tensor moved = (run(*m, changed) - before).abs().amax({1});
    EXPECT_EQ(moved[0].item<double>() > 1e-9, node >= 3 && node < 6) << node;
    EXPECT_EQ(moved[1].item<double>() > 1e-9, node >= 6) << node;
  }
}

TEST(GraphTrans, RefusesToCutGraphsWhoseNodesAreAsked) {
  GraphTransOptions o = small();
  o.max_nodes = 3;
  o.head = NodeHeadOptions{};
  Signature s = sample::signature();
  s.level = data::Level::kNode;
  EXPECT_THROW(build_model(o, s), base::RecipeError);
}

TEST(GraphTrans, DrawsItsTokenLikeANormalVariable) {
  GraphTransOptions o = small();
  o.width = 4096;
  o.layers = 1;
  o.hidden = 1;
  o.heads = 1;
  const at::Tensor token = made(o)->named_parameters()["token.vector"];
  EXPECT_NEAR(token.std().item<double>(), 1, 0.05);
}

// Counted by the authors' program, its unused masked encoder of no layers left out: code2 with a
// virtual node (9,053,246 on OGB's leaderboard) and NCI1's small one.
TEST(GraphTrans, ParameterCountsAreThoseOfTheAuthors) {
  GraphTransOptions o;
  o.gnn.local = "ogb_gcn";
  o.gnn.jump = "concat";
  o.gnn.virtual_node = ClassicVirtualNodeOptions{};
  o.node = CategoricalOptions{{98, 10030, 21}, true, "normal"};
  o.edge = LinearOptions{};
  Signature code;
  code.outputs = 5 * 5002;
  code.node_width = 3;
  code.edge_width = 2;
  code.node_categories = {98, 10030, 21};
  code.edge_categories = {2, 2};
  EXPECT_EQ(parameter_count(*build_model(o, code)), 9053246);

  GraphTransOptions nci1;
  nci1.layers = 3;
  nci1.hidden = 256;
  nci1.gnn.width = 128;
  nci1.gnn.local = "ogb_gcn";
  nci1.gnn.edge_vectors = "shared";
  nci1.node = TypeOptions{};
  nci1.edge = NoneOptions{};
  Signature types;
  types.outputs = 2;
  types.node_width = 1;
  types.node_categories = {37};
  // The authors' linear map of the one-hot type is the table and a bias.
  EXPECT_EQ(parameter_count(*build_model(nci1, types)) + 128, 504194);
}

}  // namespace
}  // namespace gtrain::models
