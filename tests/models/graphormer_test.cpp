#include "gtrain/models/graphormer.h"

#include "gtrain/graph/hop_distance.h"
#include "gtrain/graph/shortest_path.h"
#include "models/sample.h"

namespace gtrain::models {
namespace {

Signature with_pairs(Signature s) {
  s.encodings["degree"] = 2;
  s.encodings["hop_distance"] = s.encodings["shortest_path"] = 1;
  return s;
}

// sample::batch with the columns of pairs.
data::GraphBatch batch_of(const std::vector<support::OddGraph>& graphs) {
  data::GraphBatch b = sample::batch(graphs);
  std::vector<std::uint8_t> hops;
  std::vector<std::int64_t> inner;
  for (const support::OddGraph& g : graphs) {
    const graph::Csr csr = graph::build(g.nodes, g.source, g.target);
    const auto pairs = static_cast<std::size_t>(g.nodes * g.nodes);
    std::vector<std::uint8_t> own(pairs);
    std::vector<std::int32_t> nodes(pairs);
    graph::hop_matrix(csr, 254, own);
    graph::inner_nodes(csr, graph::PathTie::kSmallest, nodes);
    hops.insert(hops.end(), own.begin(), own.end());
    inner.insert(inner.end(), nodes.begin(), nodes.end());
  }
  b.encoding["hop_distance"] = at::tensor(hops, at::kByte);
  b.encoding["shortest_path"] = at::tensor(inner, at::kLong).unsqueeze(1);
  const std::int64_t n = b.graph.numel();
  b.encoding["degree"] =
      at::stack({at::bincount(b.target, {}, n), at::bincount(b.source, {}, n)}, 1);
  return b;
}

GraphormerOptions small() {
  GraphormerOptions o;
  o.width = o.hidden = 16;
  o.layers = 2;
  o.heads = 4;
  o.dropout = o.input_dropout = o.attention_dropout = 0.0;
  o.init = "own";
  o.node = CategoricalOptions{};
  return o;
}

std::shared_ptr<Model> made(const GraphormerOptions& o) {
  auto m = build(ModelOptions(o), with_pairs(sample::signature()));
  initialise(*m, 11);
  m->to(at::kDouble);
  return m;
}

at::Tensor run(Model& m, const data::GraphBatch& b, bool training = false) {
  nn::Context c = support::context(training, 1);
  return m.forward(b, c);
}

TEST(Graphormer, BatchingChangesNothingInEvaluation) {
  auto graphs = support::odd_graphs();
  for (const char* path : {"multi_hop", "single_hop", "none"}) {
    for (const bool token : {true, false}) {
      GraphormerOptions o = small();
      o.bias.path = path;
      o.bias.token = token;
      o.bias.cut = 3;
      o.node = ConstantOptions{};
      if (!token) o.head = HalvingHeadOptions{0, "mean"};
      const auto m = made(o);
      data::GraphBatch all = batch_of(graphs);
      all.edge = at::zeros_like(all.edge);
      const at::Tensor together = run(*m, all);
      for (std::size_t g = 0; g < graphs.size(); ++g) {
        data::GraphBatch one = batch_of({graphs[g]});
        one.edge = at::zeros_like(one.edge);
        const at::Tensor alone = run(*m, one);
        EXPECT_LT(support::distance(together[static_cast<std::int64_t>(g)], alone[0]), 1e-10)
            << graphs[g].name << " " << path << token;
      }
    }
  }
}

TEST(Graphormer, EveryParameterOfTheBiasTakesAGradient) {
  const auto m = made(small());
  run(*m, batch_of({support::path(8), support::cycle(6)}), true).sum().backward();
  for (const auto& p : m->named_parameters()) {
    if (p.key().find("encoding.") == std::string::npos) continue;
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    EXPECT_GT(p.value().grad().abs().max().item<double>(), 0) << p.key();
  }
}

TEST(Graphormer, RefusesMissingColumnsAndEdgesByName) {
  Signature s = sample::signature();
  EXPECT_THROW(build(ModelOptions(small()), s), std::runtime_error);
  s = with_pairs(s);
  s.edge_categories.clear();
  EXPECT_THROW(build(ModelOptions(small()), s), std::runtime_error);
}

struct Preset {
  std::int64_t layers, width, heads, hops;
  bool zinc;
  std::int64_t outputs, parameters;
};

TEST(Graphormer, ParameterCountsAreThePublishedOnes) {
  // slim on ZINC, base on PCQM4M, 18 layers of 1024 on molpcba
  for (const Preset& p :
       {Preset{12, 80, 8, 20, true, 1, 489481}, Preset{12, 768, 32, 5, false, 1, 47085377},
        Preset{18, 1024, 32, 5, false, 128, 119529664}}) {
    GraphormerOptions o;
    o.layers = p.layers;
    o.width = o.hidden = p.width;
    o.heads = p.heads;
    o.node = MergedOptions{p.zinc ? 64 : 4609, 512};
    o.bias.degrees = p.zinc ? 64 : 512;
    o.bias.hops = p.hops;
    o.bias.tables = {p.zinc ? 40 : 512, p.zinc ? 64 : 1537, 512, p.zinc ? 40 : 128};
    o.bias.quirks = {"padding_rows", "v1_padding"};
    Signature s = with_pairs({});
    s.outputs = p.outputs;
    s.node_categories = p.zinc ? std::vector<std::int64_t>{28}
                               : std::vector<std::int64_t>{119, 5, 12, 12, 10, 6, 6, 2, 2};
    s.edge_categories = p.zinc ? std::vector<std::int64_t>{4} : std::vector<std::int64_t>{5, 6, 2};
    s.node_width = static_cast<std::int64_t>(s.node_categories.size());
    s.edge_width = static_cast<std::int64_t>(s.edge_categories.size());
    EXPECT_EQ(parameter_count(*build(ModelOptions(o), s)), p.parameters);
  }
}

TEST(Graphormer, SecondVersionHasThePublishedMillionsOnlyWithALayerNothingReads) {
  GraphormerOptions o;
  o.layers = 12;
  o.width = o.hidden = 768;
  o.heads = 32;
  o.norm = "after";
  o.input_norm = true;
  o.final_norm = false;
  o.init = "normal";
  o.node = MergedOptions{4609, 512};
  o.bias.degrees = 512;
  o.bias.hops = 5;
  o.bias.tables = {512, 1537, 512, 128};
  o.bias.quirks = {"padding_rows"};
  o.head = TransformHeadOptions{"graph_token", {"idle_pooler"}};
  Signature s = with_pairs({});
  s.outputs = 1;
  s.node_categories = {119, 5, 12, 12, 10, 6, 6, 2, 2};
  s.edge_categories = {5, 6, 2};
  s.node_width = 9;
  s.edge_width = 3;
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), s)), 48268097);
  o.head = TransformHeadOptions{};
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), s)), 48268097 - 768 * 769);
}

TEST(Graphormer, SecondVersionsInitialisationIncludesTheHead) {
  GraphormerOptions o = small();
  o.width = o.hidden = 128;
  o.init = "normal";
  o.head = TransformHeadOptions{};
  const auto m = made(o);
  const auto p = m->named_parameters();
  EXPECT_NEAR(p["head.transform.weight"].std().item<double>(), 0.02, 1e-3);
  EXPECT_NEAR(p["layer_0.feed_0.weight"].std().item<double>(), 0.02, 1e-3);
  EXPECT_EQ(p["head.transform.bias"].abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace gtrain::models
