#include "gtrain/models/gt.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

GtOptions options() {
  GtOptions o;
  o.width = 16;
  o.layers = 2;
  o.heads = 4;
  o.node = CategoricalOptions{};
  o.edge = TypeOptions{};
  o.head = HalvingHeadOptions{2, "mean"};
  return o;
}

std::shared_ptr<Model> ready(const GtOptions& o) {
  auto m = build_model(o, sample::signature());
  initialise(*m, 11);
  m->to(at::kDouble);
  return m;
}

at::Tensor run(Model& m, const data::GraphBatch& b, bool training = false) {
  nn::Context c = support::context(training);
  return m.forward(b, c);
}

// A net of Table 1 with so many eigenvectors or roles; 0: without.
struct Published {
  GtOptions options;
  Signature signature;
  std::int64_t eigenvectors, roles, parameters;
};

std::int64_t count(Published p) {
  if (p.eigenvectors > 0) {
    EigenvectorEncoderOptions e;
    e.dim = p.options.width;
    p.options.encoders.push_back(e);
    p.signature.encodings["laplacian"] = p.eigenvectors;
  }
  if (p.roles > 0) {
    EmbeddingEncoderOptions e;
    e.dim = p.options.width;
    e.count = p.roles;
    p.options.encoders.push_back(e);
    p.signature.encodings["weisfeiler_lehman"] = 1;
  }
  return parameter_count(*build_model(p.options, p.signature));
}

TEST(Gt, ParameterCountsAreThePublishedOnes) {
  GtOptions zinc;
  zinc.node = TypeOptions{28};
  zinc.edge = TypeOptions{4};
  zinc.head = HalvingHeadOptions{2, "mean"};
  Signature molecules;
  molecules.node_width = molecules.edge_width = 1;
  molecules.node_categories = {28};
  molecules.edge_categories = {4};
  GtOptions block = zinc;
  block.width = 80;
  block.node = TypeOptions{};
  block.edge = NoneOptions{};
  block.head = HalvingHeadOptions{2, "none"};
  Signature cluster;
  cluster.level = data::Level::kNode;
  cluster.node_width = 1;
  cluster.node_categories = {7};
  cluster.outputs = 6;
  Signature pattern = cluster;
  pattern.node_categories = {3};
  pattern.outputs = 2;
  for (const char* norm : {"batch", "layer"}) {
    zinc.norm = block.norm = norm;
    for (const Published& p : std::vector<Published>{{zinc, molecules, 0, 0, 588353},
                                                     {zinc, molecules, 8, 0, 588929},
                                                     {zinc, molecules, 0, 37, 590721},
                                                     {block, cluster, 0, 0, 523146},
                                                     {block, cluster, 10, 0, 524026},
                                                     {block, cluster, 0, 100, 531146},
                                                     {block, pattern, 0, 0, 522742},
                                                     {block, pattern, 2, 0, 522982},
                                                     {block, pattern, 0, 100, 530742}}) {
      EXPECT_EQ(count(p), p.parameters) << norm;
    }
  }
}

TEST(Gt, FullPatternIsThatOfNeighboursOnCompleteGraphsWithEdgesOfTypeZero) {
  GtOptions full = options();
  full.pattern = "full";
  for (const bool edges : {true, false}) {
    if (!edges) full.edge = NoneOptions{};
    GtOptions sparse = full;
    sparse.pattern = "neighbours";
    data::GraphBatch b =
        sample::batch({support::complete(5), support::edgeless(1), support::complete(3)});
    const at::Tensor of_full = run(*ready(full), b);
    b.edge.zero_();
    EXPECT_LT(support::distance(of_full, run(*ready(sparse), b)), 1e-12);
  }
}

TEST(Gt, FullPatternReadsNoEdges) {
  GtOptions o = options();
  o.pattern = "full";
  const auto m = ready(o);
  EXPECT_EQ(support::distance(run(*m, sample::batch({support::path(5)})),
                              run(*m, sample::batch({support::cycle(5)}))),
            0);
}

// The authors' node layer divides 0 by 0 there.
TEST(Gt, NodesWithoutInEdgesReceiveNothingInsteadOfNaN) {
  GtOptions o = options();
  o.edge = NoneOptions{};
  o.residual = false;
  o.norm = "none";
  const auto layer = support::ready(std::make_shared<GtLayer>(o));
  const auto b = support::pack({support::directed_path(2)});
  nn::Context c = support::context(false);
  const at::Tensor x = at::randn({2, 16}, at::kDouble);
  const auto [first, e] = layer->forward(x, {}, ops::neighbour_pattern(b.graph_start, b.edges), c);
  const auto [again, f] =
      layer->forward(x * 2, {}, ops::neighbour_pattern(b.graph_start, b.edges), c);
  EXPECT_FALSE(e.defined());
  EXPECT_TRUE(at::isfinite(first).all().item<bool>());
  EXPECT_EQ(support::distance(first[0], again[0]), 0);  // only biases are left
  EXPECT_GT(support::distance(first[1], again[1]), 1e-3);
}

TEST(Gt, DropsTheInputBeforeEncodingsAreAdded) {
  GtOptions o = options();
  o.input_dropout = 0.999;
  EigenvectorEncoderOptions vectors;
  vectors.dim = 16;
  o.encoders = {vectors};
  const auto m = ready(o);
  data::GraphBatch b = sample::batch({support::path(6), support::cycle(4)});
  const at::Tensor with = run(*m, b, true);
  b.encoding["laplacian.vectors"] = b.encoding["laplacian.vectors"] * 3;
  EXPECT_GT(support::distance(with, run(*m, b, true)), 1e-6);
}

}  // namespace
}  // namespace gtrain::models
