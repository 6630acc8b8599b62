#include "gtrain/nn/ogb_message.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

using support::EdgeBatch;

struct Input {
  EdgeBatch batch = support::pack_odd_graphs();
  at::Tensor x = at::randn({batch.nodes, 4}, at::kDouble);
  at::Tensor e = at::randn({batch.edges.count(), 4}, at::kDouble);
  nn::LocalInput local() const { return {x, e, batch.edges, {}}; }
};

// sum over the edges into each node of weight * relu(x_j + e_ji).
at::Tensor messages(const Input& in, const at::Tensor& x, const at::Tensor& weight) {
  at::Tensor sum = at::zeros_like(x);
  for (std::int64_t k = 0; k < in.batch.edges.count(); ++k) {
    const auto s = in.batch.edges.source[k].item<std::int64_t>();
    const auto t = in.batch.edges.target[k].item<std::int64_t>();
    sum[t] += weight[k] * at::relu(x[s] + in.e[k]);
  }
  return sum;
}

TEST(OgbGin, AppliesItsMlpToTheSumWithItsOwnShare) {
  const Input in;
  const auto layer = support::ready(std::make_shared<nn::OgbGin>(4));
  const at::NoGradGuard guard;
  layer->eps.fill_(0.4);
  const auto p = layer->named_parameters();
  nn::Context c = support::context(false);
  const at::Tensor ones = at::ones({in.batch.edges.count()}, at::kDouble);
  const at::Tensor sum = 1.4 * in.x + messages(in, in.x, ones);
  const at::Tensor hidden =
      at::relu((at::matmul(sum, p["mlp_0.weight"].t()) + p["mlp_0.bias"]) / std::sqrt(1 + 1e-5));
  const at::Tensor want = at::matmul(hidden, p["mlp_1.weight"].t()) + p["mlp_1.bias"];
  EXPECT_LT(support::distance(layer->forward(in.local(), c).first, want), 1e-11);
}

TEST(OgbGcn, CountsTheEdgesThatLeaveANode) {
  Input in;
  in.batch = support::pack({support::directed_path(3)});
  in.x = at::randn({3, 4}, at::kDouble);
  in.e = at::randn({2, 4}, at::kDouble);
  const auto layer = support::ready(std::make_shared<nn::OgbGcn>(4));
  const auto p = layer->named_parameters();
  nn::Context c = support::context(false);
  const at::NoGradGuard guard;
  const at::Tensor h = at::matmul(in.x, p["linear.weight"].t()) + p["linear.bias"];
  const at::Tensor degree = at::tensor({2.0, 2.0, 1.0}, at::kDouble);
  const at::Tensor weight = at::tensor({0.5, std::sqrt(0.5)}, at::kDouble);
  const at::Tensor want = messages(in, h, weight) + at::relu(h + p["root"]) / degree.unsqueeze(1);
  EXPECT_LT(support::distance(layer->forward(in.local(), c).first, want), 1e-12);
}

TEST(OgbMessage, WithoutEdgeVectorsIsThatOfZeros) {
  Input in;
  in.e = at::zeros_like(in.e);
  for (const char* name : {"ogb_gin", "ogb_gcn"}) {
    const auto with = support::ready(nn::make_local(name, {.width = 4}));
    const auto without = support::ready(nn::make_local(name, {.width = 4, .edges = false}));
    nn::Context a = support::context(true), b = support::context(true);
    const nn::LocalInput none{in.x, {}, in.batch.edges, {}};
    const at::Tensor want = with->forward(in.local(), a).first;
    EXPECT_LT(support::distance(without->forward(none, b).first, want), 1e-12) << name;
    EXPECT_FALSE(nn::needs_edge_vectors(name)) << name;
  }
  EXPECT_TRUE(nn::needs_edge_vectors("gine"));
}

TEST(OgbMessage, IsChosenByName) {
  for (const char* name : {"ogb_gin", "ogb_gcn"}) {
    EXPECT_TRUE(nn::reads_edge_vectors(name)) << name;
    EXPECT_FALSE(nn::make_local(name, {.width = 4})->residual()) << name;
  }
}

}  // namespace
}  // namespace gtrain
