#include "gtrain/models/gps.h"

#include "gtrain/nn/bigbird.h"
#include "models/sample.h"

namespace gtrain::models {
namespace {

at::Tensor run(Model& m, const data::GraphBatch& b, bool training = false, std::uint64_t key = 1) {
  nn::Context c = support::context(training, key);
  return m.forward(b, c);
}

TEST(Gps, BatchingChangesNothingInEvaluation) {
  const auto graphs = support::odd_graphs();
  for (const char* global : {"attention", "performer", "bigbird", "deep_sets", "none"}) {
    for (const char* norm : {"batch", "layer", "none"}) {
      SCOPED_TRACE(std::string(global) + " " + norm);
      GpsOptions o = sample::options();
      o.global = global;
      o.norm = norm;
      Signature s = sample::signature();
      // Encodings depend on a node's place in the batch here; without them graphs stand alone.
      o.encoders.clear();
      o.node = ConstantOptions{};
      o.edge = ConstantOptions{};
      const auto m = sample::model(o, s);
      const at::Tensor together = run(*m, sample::batch(graphs));
      for (std::size_t g = 0; g < graphs.size(); ++g) {
        if (graphs[g].nodes == 0) continue;
        const at::Tensor alone = run(*m, sample::batch({graphs[g]}));
        EXPECT_LT(support::distance(together[static_cast<std::int64_t>(g)], alone[0]), 1e-10) << g;
      }
    }
  }
}

// One layer's inputs on packed graphs, of any branch.
struct Rows {
  support::EdgeBatch batch;
  at::Tensor x, e, positions;
  ops::AttentionBias bias;
  ops::AttentionPattern pattern;
};

constexpr std::int64_t kWidth = 8, kHeads = 2;
const nn::BigBirdOptions kSparse{.window = 1, .random = 2, .global = 1};

Rows random_rows(const std::vector<support::OddGraph>& graphs, std::int64_t seed = 1) {
  at::manual_seed(static_cast<std::uint64_t>(seed));
  Rows r;
  r.batch = support::pack(graphs);
  r.x = at::randn({r.batch.nodes, kWidth}, at::kDouble);
  r.e = at::randn({r.batch.edges.count(), kWidth}, at::kDouble);
  r.positions = at::randn({r.batch.nodes, 3}, at::kDouble);
  r.pattern = nn::bigbird_pattern(r.batch.graph_start, kSparse);
  const at::Tensor sizes = r.batch.graph_start.diff();
  r.bias.pair = at::randn({(sizes * sizes).sum().item<std::int64_t>(), kHeads}, at::kDouble);
  return r;
}

struct Branches {
  std::string local, global;
  bool gates = false;
};

std::vector<Branches> all_branches() {
  std::vector<Branches> out;
  std::vector<std::string> locals{"none"}, globals{"none"};
  for (const auto name : nn::local_names()) locals.emplace_back(name);
  for (const auto name : nn::global_names()) globals.emplace_back(name);
  for (const std::string& local : locals) {
    for (const std::string& global : globals) {
      if (local != "none" || global != "none") out.push_back({local, global});
      if (global == "attention" && nn::supports_gates(local)) out.push_back({local, global, true});
    }
  }
  return out;
}

std::shared_ptr<GpsLayer> layer_of(const Branches& branches) {
  GpsOptions o;
  o.width = kWidth;
  o.heads = kHeads;
  o.local = branches.local;
  o.global = branches.global;
  if (branches.gates) o.encoders = {StableEncoderOptions{}};
  if (o.global == "performer") o.performer = nn::PerformerOptions{.head_width = 4};
  if (o.global == "bigbird") o.bigbird = kSparse;
  if (o.global == "deep_sets") o.deep_sets = nn::DeepSetsOptions{.layers = 2, .reduce = "max"};
  return support::ready(std::make_shared<GpsLayer>(o));
}

std::pair<at::Tensor, at::Tensor> run_layer(GpsLayer& layer, const Rows& r, bool training = false) {
  nn::Context context = support::context(training);
  return layer.forward({.x = r.x,
                        .e = r.e,
                        .edges = r.batch.edges,
                        .graph_start = r.batch.graph_start,
                        .positions = r.positions,
                        .bias = r.bias,
                        .pattern = &r.pattern},
                       context);
}

class GpsBranches : public ::testing::TestWithParam<Branches> {};

TEST_P(GpsBranches, SeeNoOtherGraphInEvaluation) {
  const auto layer = layer_of(GetParam());
  const auto graphs = support::odd_graphs();
  const Rows all = random_rows(graphs);
  const auto [x, e] = run_layer(*layer, all);
  std::int64_t node = 0, edge = 0, pair = 0;
  for (const support::OddGraph& graph : graphs) {
    Rows one = random_rows({graph});
    const std::int64_t n = one.batch.nodes, m = one.batch.edges.count();
    one.x = all.x.slice(0, node, node + n);
    one.e = all.e.slice(0, edge, edge + m);
    one.positions = all.positions.slice(0, node, node + n);
    one.bias.pair = all.bias.pair.slice(0, pair, pair + n * n);
    const auto [own_x, own_e] = run_layer(*layer, one);
    EXPECT_LT(support::distance(own_x, x.slice(0, node, node + n)), 1e-10) << graph.name;
    EXPECT_LT(support::distance(own_e, e.slice(0, edge, edge + m)), 1e-10) << graph.name;
    node += n;
    edge += m;
    pair += n * n;
  }
}

TEST_P(GpsBranches, CommuteWithPermutationsOfTheNodes) {
  const std::int64_t n = 12;
  const Rows r = random_rows({support::random_graph(3, n, 0.3)});
  base::Random random(9);
  const at::Tensor old = at::tensor(random.permutation(n), at::kLong);  // new -> old
  const at::Tensor fresh = at::argsort(old);
  support::OddGraph moved{"moved", n, {}, {}};
  const at::Tensor source = fresh.index_select(0, r.batch.edges.source);
  const at::Tensor target = fresh.index_select(0, r.batch.edges.target);
  for (std::int64_t k = 0; k < source.numel(); ++k) {
    moved.source.push_back(source[k].item<std::int64_t>());
    moved.target.push_back(target[k].item<std::int64_t>());
  }
  Rows q = random_rows({moved});
  const at::Tensor order = at::argsort(target * n + source, true, 0);
  q.x = r.x.index_select(0, old);
  q.e = r.e.index_select(0, order);
  q.positions = r.positions.index_select(0, old);
  q.bias.pair = r.bias.pair.view({n, n, kHeads})
                    .index_select(0, old)
                    .index_select(1, old)
                    .reshape({n * n, kHeads});
  const at::Tensor counts = r.pattern.row_start.diff();
  q.pattern = ops::pair_pattern(q.batch.graph_start, fresh.repeat_interleave(counts),
                                fresh.index_select(0, r.pattern.column.to(at::kLong)), n, n);
  const auto layer = layer_of(GetParam());
  const auto [x, e] = run_layer(*layer, r, true);
  const auto [qx, qe] = run_layer(*layer, q, true);
  EXPECT_LT(support::distance(qx, x.index_select(0, old)), 1e-10);
  EXPECT_LT(support::distance(qe, e.index_select(0, order)), 1e-10);
}

TEST_P(GpsBranches, TrainOnGraphsOfOneNodeAndOfNone) {
  const auto layer = layer_of(GetParam());
  for (const auto& graphs : {std::vector{support::edgeless(1)},
                             std::vector{support::edgeless(0), support::edgeless(3)}}) {
    const Rows r = random_rows(graphs);
    const auto [x, e] = run_layer(*layer, r, true);
    EXPECT_TRUE(x.isfinite().all().item<bool>());
    x.square().sum().backward();
    for (const auto& p : layer->named_parameters()) {
      if (!p.value().grad().defined()) continue;
      EXPECT_TRUE(p.value().grad().isfinite().all().item<bool>()) << p.key();
    }
  }
}

TEST_P(GpsBranches, ChangeNoBitWithTheNumberOfThreads) {
  const auto layer = layer_of(GetParam());
  layer->to(at::kFloat);
  Rows r = random_rows({support::random_graph(1, 150, 0.05), support::path(30)});
  for (at::Tensor* t : {&r.x, &r.e, &r.positions, &r.bias.pair}) *t = t->to(at::kFloat);
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    std::vector<at::Tensor> results;
    arena.execute([&] {
      Rows leaf = r;
      leaf.x = r.x.clone().requires_grad_();
      leaf.e = r.e.clone().requires_grad_();
      layer->zero_grad();
      const auto [x, e] = run_layer(*layer, leaf, true);
      (x.sin().sum() + e.cos().sum()).backward();
      results = {x.detach(), e.detach(), leaf.x.grad(), leaf.e.grad()};
      for (const at::Tensor& p : layer->parameters()) {
        if (p.grad().defined()) results.push_back(p.grad().clone());
      }
    });
    if (first.empty()) first = results;
    ASSERT_EQ(results.size(), first.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      EXPECT_TRUE(support::same_bits(results[i], first[i])) << "result " << i << ", " << threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Gps, GpsBranches, ::testing::ValuesIn(all_branches()),
                         [](const auto& test) {
                           return test.param.local + "_" + test.param.global +
                                  (test.param.gates ? "_gated" : "");
                         });

TEST(Gps, RelabellingNodesTogetherWithTheirEncodingsChangesNothing) {
  const data::GraphBatch b = sample::batch({support::random_graph(3, 12, 0.3)});
  const auto m = sample::model(sample::options());
  base::Random random(9);
  const at::Tensor p = at::tensor(random.permutation(12), at::kLong);  // new -> old
  const at::Tensor inverse = at::argsort(p);
  data::GraphBatch q;
  q.graph = b.graph;
  q.node = b.node.index_select(0, p);
  q.edge = b.edge;
  q.source = inverse.index_select(0, b.source);
  q.target = inverse.index_select(0, b.target);
  data::finish(q, 12, 1);
  for (const auto& [name, value] : b.encoding) q.encoding[name] = value.index_select(0, p);
  EXPECT_LT(support::distance(run(*m, b), run(*m, q)), 1e-11);
}

TEST(Gps, TrainsOnABatchOfGraphsWithoutNodes) {
  const auto m = sample::model(sample::options());
  const at::Tensor out = run(*m, sample::batch({support::edgeless(0), support::edgeless(0)}), true);
  EXPECT_EQ(out.sizes(), (std::vector<std::int64_t>{2, 2}));
  out.sum().backward();
}

TEST(Gps, TrainingIsAFunctionOfTheKey) {
  GpsOptions o = sample::options();
  o.dropout = 0.3;
  o.attention_dropout = 0.5;
  const auto m = sample::model(o);
  const data::GraphBatch b = sample::batch(support::odd_graphs());
  const at::Tensor first = run(*m, b, true, 5);
  EXPECT_TRUE(support::same_bits(first, run(*m, b, true, 5)));
  EXPECT_GT(support::distance(first, run(*m, b, true, 6)), 1e-6);
}

TEST(Gps, ParameterCountsAreThePublishedOnes) {
  Signature zinc;
  zinc.node_width = zinc.edge_width = 1;
  zinc.node_categories = {28};
  zinc.edge_categories = {4};
  zinc.encodings = {{"random_walk", 20}};
  GpsOptions o;
  o.layers = 10;
  o.node = TypeOptions{28};
  o.edge = TypeOptions{4};
  LinearEncoderOptions walk;
  walk.dim = 28;
  o.encoders = {walk};
  o.head = HalvingHeadOptions{2, "sum"};
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), zinc)), 423717);

  Signature molecules;
  molecules.node_width = 9;
  molecules.edge_width = 3;
  molecules.node_categories = {119, 4, 12, 12, 10,
                               6,   6, 2,  2};  // OGB's table when GPS was published
  molecules.edge_categories = {5, 6, 2};
  molecules.encodings = {{"random_walk", 16}};
  o.local = "gated_gcn";
  o.node = CategoricalOptions{};
  o.edge = CategoricalOptions{};
  walk.dim = 16;
  o.encoders = {walk};
  o.head = HalvingHeadOptions{2, "mean"};
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), molecules)), 558625);
  molecules.node_categories[1] = 5;
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), molecules)), 558673);

  molecules.node_categories[1] = 4;
  molecules.outputs = 10;
  molecules.encodings = {{"laplacian", 10}};
  o.layers = 4;
  o.width = 96;
  DeepSetEncoderOptions laplacian;
  laplacian.dim = 16;
  o.encoders = {laplacian};
  o.head = MlpHeadOptions{1, "mean"};
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), molecules)), 504362);
}

TEST(Gps, ParameterCountsWithPerformerAreThePublishedOnes) {
  Signature malnet;  // MalNet-Tiny without encodings
  malnet.node_width = 5;
  malnet.outputs = 5;
  GpsOptions o;
  o.local = "gated_gcn";
  o.global = "performer";
  o.node = UnitMlpOptions{1};
  o.edge = ConstantOptions{};
  o.head = MlpHeadOptions{3, "max"};
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), malnet)), 527237);
  o.global = "attention";
  EXPECT_EQ(parameter_count(*build(ModelOptions(o), malnet)), 282437);
}

TEST(Gps, NamesTheColumnsItReads) {
  const auto m = sample::model(sample::options());
  EXPECT_EQ(m->encoding_inputs(),
            (std::vector<std::string>{"random_walk", "laplacian.values", "laplacian.vectors"}));
}

}  // namespace
}  // namespace gtrain::models
