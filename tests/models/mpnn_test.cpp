#include "gtrain/models/mpnn.h"

#include <ATen/Parallel.h>

#include "models/sample.h"

namespace gtrain::models {
namespace {

at::Tensor run(Model& m, const data::GraphBatch& b, bool training = false) {
  nn::Context c = support::context(training, 7);
  return m.forward(b, c);
}

std::shared_ptr<Model> model_of(const MpnnOptions& o, const Signature& s = sample::signature()) {
  auto m = build_model(o, s);
  initialise(*m, 11);
  m->to(at::kDouble);
  return m;
}

MpnnOptions options() {
  MpnnOptions o;
  o.width = 16;
  o.layers = 3;
  o.node = CategoricalOptions{};
  o.edge = TypeOptions{};
  o.head = MlpHeadOptions{1, "sum"};
  return o;
}

// OGB's example, LRGB's stacks and networks of Cai et al., each with the parts that make it.
std::map<std::string, MpnnOptions> forms() {
  std::map<std::string, MpnnOptions> out;
  MpnnOptions ogb = options();
  ogb.local = "ogb_gin";
  ogb.norm = "batch";
  ogb.residual = ogb.last_activation = false;
  ogb.edge_vectors = "own";
  ogb.jump = "sum";
  ogb.virtual_node = ClassicVirtualNodeOptions{};
  out["ogb_gin"] = ogb;
  ogb.local = "ogb_gcn";
  out["ogb_gcn"] = ogb;
  MpnnOptions fork = options();
  fork.virtual_node = ClassicVirtualNodeOptions{"output", 1, true};
  out["gine classic"] = fork;
  fork.local = "gated_gcn";
  out["gated_gcn classic"] = fork;
  MpnnOptions plain = options();
  plain.edge = NoneOptions{};
  plain.local = "gcnii";
  out["gcnii"] = plain;
  plain.local = "gcn";
  MpnnOptions tuned = plain;
  tuned.activation = "gelu";
  tuned.head = WideHeadOptions{3, "mean", 0.1};
  out["gcn wide"] = tuned;
  plain.norm = "batch";
  plain.residual = false;
  plain.unit_rows = true;
  out["gcn unit rows"] = plain;
  tuned.local = "residual_gine";
  tuned.edge = TypeOptions{};
  out["residual_gine wide"] = tuned;
  MpnnOptions theory = options();
  theory.virtual_node = HeterogeneousVirtualNodeOptions{};
  out["gine heterogeneous"] = theory;
  theory.virtual_node = AttentionVirtualNodeOptions{2, "elu", 64};
  out["gine attention elu"] = theory;
  theory.virtual_node = AttentionVirtualNodeOptions{2, "exp", 8};
  out["gine attention exp"] = theory;
  return out;
}

TEST(Mpnn, BatchingChangesNothingInEvaluation) {
  const auto graphs = support::odd_graphs();
  for (auto [name, o] : forms()) {
    SCOPED_TRACE(name);
    o.node = ConstantOptions{};  // columns depend on a node's place in the batch here
    if (!std::holds_alternative<NoneOptions>(o.edge)) o.edge = ConstantOptions{};
    const auto m = model_of(o);
    const at::Tensor together = run(*m, sample::batch(graphs));
    for (std::size_t g = 0; g < graphs.size(); ++g) {
      if (graphs[g].nodes == 0) continue;
      const at::Tensor alone = run(*m, sample::batch({graphs[g]}));
      EXPECT_LT(support::distance(together[static_cast<std::int64_t>(g)], alone[0]), 1e-10) << g;
    }
  }
}

TEST(Mpnn, RelabellingNodesChangesNothing) {
  const data::GraphBatch b = sample::batch({support::random_graph(3, 12, 0.3)});
  base::Random random(9);
  const at::Tensor p = at::tensor(random.permutation(12), at::kLong);  // new -> old
  data::GraphBatch q;
  q.graph = b.graph;
  q.node = b.node.index_select(0, p);
  q.edge = b.edge;
  q.source = at::argsort(p).index_select(0, b.source);
  q.target = at::argsort(p).index_select(0, b.target);
  data::finish(q, 12, 1);
  for (const auto& [name, o] : forms()) {
    const auto m = model_of(o);
    EXPECT_LT(support::distance(run(*m, b), run(*m, q)), 1e-10) << name;
  }
}

TEST(Mpnn, TrainsOnGraphsWithoutNodesOrEdges) {
  for (const auto& [name, o] : forms()) {
    SCOPED_TRACE(name);
    const auto m = model_of(o);
    for (const std::int64_t nodes : {0, 1}) {
      const data::GraphBatch b =
          sample::batch({support::edgeless(nodes), support::edgeless(nodes)});
      const at::Tensor out = run(*m, b, true);
      EXPECT_EQ(out.sizes(), (std::vector<std::int64_t>{2, 2}));
      EXPECT_TRUE(out.isfinite().all().item<bool>());
      out.sum().backward();
    }
  }
}

// Outputs and gradients of a step with dropout.
std::vector<at::Tensor> step(const MpnnOptions& o, const data::GraphBatch& b) {
  const auto m = model_of(o);
  const at::Tensor out = run(*m, b, true);
  out.square().sum().backward();
  std::vector<at::Tensor> all{out.detach()};
  for (const at::Tensor& p : m->parameters()) {
    all.push_back(p.grad().defined() ? p.grad() : at::zeros_like(p));
  }
  return all;
}

TEST(Mpnn, ThreadsDoNotChangeTheBits) {
  at::set_num_threads(1);
  std::vector<support::OddGraph> graphs;
  for (std::uint64_t g = 0; g < 40; ++g) graphs.push_back(support::random_graph(g, 30, 0.2));
  const data::GraphBatch b = sample::batch(graphs);
  for (auto [name, o] : forms()) {
    SCOPED_TRACE(name);
    o.dropout = 0.3;
    std::vector<at::Tensor> first;
    for (const std::size_t threads : {1U, 2U, 4U}) {
      const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
      tbb::task_arena arena(static_cast<int>(threads));
      std::vector<at::Tensor> all;
      arena.execute([&] { all = step(o, b); });
      if (first.empty()) first = all;
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_TRUE(support::same_bits(first[i], all[i])) << threads << " threads, tensor " << i;
      }
    }
  }
}

TEST(Mpnn, EveryParameterOfTheNetworkGetsAGradient) {
  const data::GraphBatch b = sample::batch(support::odd_graphs());
  for (const auto& [name, o] : forms()) {
    const auto m = model_of(o);
    run(*m, b, true).square().sum().backward();
    for (const auto& p : m->named_parameters()) {
      const bool last_edges =
          name.starts_with("gated_gcn") && p.key().find("layer_2.local.norm_e") == 0;
      EXPECT_EQ(p.value().grad().defined(), !last_edges) << name << " " << p.key();
    }
  }
}

TEST(Mpnn, IdleEdgesAreParametersWithoutAGradient) {
  const data::GraphBatch b = sample::batch(support::odd_graphs());
  MpnnOptions o = forms().at("gcn wide");
  const std::int64_t without = parameter_count(*build_model(o, sample::signature()));
  o.edge = IdleOptions{};
  const auto m = model_of(o);
  EXPECT_EQ(parameter_count(*m), without + 4 * 16);
  run(*m, b, true).square().sum().backward();
  for (const auto& p : m->named_parameters()) {
    EXPECT_EQ(p.value().grad().defined(), p.key().find("idle_edge") == std::string::npos)
        << p.key();
  }
}

TEST(Mpnn, DropoutOfTheHeadFallsInTrainingAlone) {
  const data::GraphBatch b = sample::batch({support::path(4)});
  MpnnOptions o = forms().at("gcn wide");
  const auto with = model_of(o);
  o.head = WideHeadOptions{3, "mean", 0.0};
  const auto without = model_of(o);
  EXPECT_TRUE(support::same_bits(run(*with, b), run(*without, b)));
  EXPECT_TRUE(support::same_bits(run(*without, b, true), run(*without, b)));
  EXPECT_GT(support::distance(run(*with, b, true), run(*with, b)), 1e-6);
}

TEST(Mpnn, AVirtualNodeLetsDistantNodesSpeakInOneLayer) {
  const data::GraphBatch b = sample::batch({support::edgeless(6)});
  data::GraphBatch changed = b;
  changed.node = b.node.clone();
  changed.node[5][0] = 4 - b.node[5][0].item<std::int64_t>();
  for (const char* form : {"none", "heterogeneous", "attention"}) {
    MpnnOptions o = options();
    o.head = NodeHeadOptions{1};
    Signature s = sample::signature();
    s.level = data::Level::kNode;
    if (form == std::string("heterogeneous")) o.virtual_node = HeterogeneousVirtualNodeOptions{};
    if (form == std::string("attention")) o.virtual_node = AttentionVirtualNodeOptions{2};
    const auto m = model_of(o, s);
    const double moved = support::distance(run(*m, b)[0], run(*m, changed)[0]);
    EXPECT_EQ(moved > 1e-9, form != std::string("none")) << form;
  }
}

Signature molecules() {
  Signature s;
  s.node_width = 9;
  s.edge_width = 3;
  s.node_categories = {119, 5, 12, 12, 10, 6, 6, 2, 2};
  s.edge_categories = {5, 6, 2};
  return s;
}

TEST(Mpnn, ParameterCountsAreThoseOfTheReferences) {
  MpnnOptions o = forms().at("ogb_gin");
  o.width = 300;
  o.layers = 5;
  o.edge = CategoricalOptions{};
  o.head = MlpHeadOptions{1, "mean"};
  EXPECT_EQ(parameter_count(*build_model(o, molecules())), 3336606);
  o.local = "ogb_gcn";
  EXPECT_EQ(parameter_count(*build_model(o, molecules())), 1979101);

  MpnnOptions lrgb = options();
  lrgb.width = 138;
  lrgb.layers = 5;
  lrgb.local = "gated_gcn";
  lrgb.edge = CategoricalOptions{};
  LinearEncoderOptions walk;
  walk.dim = 20;
  lrgb.encoders = {walk};
  Signature peptides = molecules();
  peptides.outputs = 10;
  peptides.encodings = {{"random_walk", 16}};
  EXPECT_EQ(parameter_count(*build_model(lrgb, peptides)), 506398);

  MpnnOptions stack = forms().at("gcn unit rows");  // "508k" in LRGB's table
  stack.width = 300;
  stack.layers = 5;
  peptides.node_categories[1] = 4;
  EXPECT_EQ(parameter_count(*build_model(stack, peptides)), 507910);

  MpnnOptions zinc = forms().at("gated_gcn classic");
  zinc.width = 166;
  zinc.layers = 2;
  zinc.node = TypeOptions{};
  zinc.edge = TypeOptions{};
  zinc.head = MlpHeadOptions{3, "sum"};
  Signature types;
  types.node_width = types.edge_width = 1;
  types.node_categories = {28};
  types.edge_categories = {4};
  EXPECT_EQ(parameter_count(*build_model(zinc, types)), 395745);
  zinc.local = "gine";
  EXPECT_EQ(parameter_count(*build_model(zinc, types)), 228085);
}

}  // namespace
}  // namespace gtrain::models
