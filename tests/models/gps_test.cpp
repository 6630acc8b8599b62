#include "gtrain/models/gps.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

at::Tensor run(Model& m, const data::GraphBatch& b, bool training = false, std::uint64_t key = 1) {
  nn::Context c = support::context(training, key);
  return m.forward(b, c);
}

TEST(Gps, BatchingChangesNothingInEvaluation) {
  const auto graphs = support::odd_graphs();
  for (const char* local : {"gine", "gated_gcn", "gcn", "none"}) {
    for (const char* norm : {"batch", "layer", "none"}) {
      SCOPED_TRACE(std::string(local) + " " + norm);
      GpsOptions o = sample::options();
      o.local = local;
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

TEST(Gps, CountsMoreWorkForMorePairs) {
  const auto m = sample::model(sample::options());
  EXPECT_GT(m->forward_flops(10, 20, 200), m->forward_flops(10, 20, 100));
  EXPECT_EQ(m->encoding_inputs(),
            (std::vector<std::string>{"random_walk", "laplacian.values", "laplacian.vectors"}));
}

}  // namespace
}  // namespace gtrain::models
