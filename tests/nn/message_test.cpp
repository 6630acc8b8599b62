#include "gtrain/nn/message.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

using support::EdgeBatch;

// Symmetrically normalised adjacency with exactly one self loop a node, dense.
at::Tensor dense_gcn(const EdgeBatch& b) {
  at::Tensor a = at::zeros({b.nodes, b.nodes}, at::kDouble);
  for (std::int64_t k = 0; k < b.edges.count(); ++k) {
    const auto s = b.edges.source[k].item<std::int64_t>();
    const auto t = b.edges.target[k].item<std::int64_t>();
    if (s != t) a[t][s] += 1;
  }
  a += at::eye(b.nodes, at::kDouble);
  const at::Tensor scale = a.sum(1).rsqrt();
  return scale.unsqueeze(1) * a * scale.unsqueeze(0);
}

TEST(Gcn, EqualsTheDenseNormalisedProductOnOddGraphs) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Gcn>(5));
  const at::Tensor x = at::randn({b.nodes, 5}, at::kDouble);
  const at::Tensor want = at::matmul(dense_gcn(b), at::matmul(x, layer->weight.t())) + layer->bias;
  EXPECT_LT(support::distance(layer->forward(x, b.edges), want), 1e-12);
}

TEST(Gine, AppliesItsMlpToTheAggregate) {
  const EdgeBatch b = support::pack({support::directed_path(2)});
  for (const auto activation : {nn::Activation::kRelu, nn::Activation::kGelu}) {
    const auto layer = support::ready(std::make_shared<nn::Gine>(3, activation));
    const auto p = layer->named_parameters();
    const at::Tensor x = at::randn({2, 3}, at::kDouble), e = at::randn({1, 3}, at::kDouble);
    at::Tensor sum = x.clone();
    sum[1] += at::relu(x[0] + e[0]);
    const at::Tensor hidden =
        nn::activate(at::matmul(sum, p["mlp_0.weight"].t()) + p["mlp_0.bias"], activation);
    const at::Tensor want = at::matmul(hidden, p["mlp_1.weight"].t()) + p["mlp_1.bias"];
    EXPECT_LT(support::distance(layer->forward(x, e, b.edges), want), 1e-12);
  }
}

TEST(GatedGcn, AddsItsUpdateToNodesAndEdges) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::GatedGcn>(4, nn::Activation::kRelu, 0.0));
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 4}, at::kDouble);
  nn::Context c = support::context(true);
  const auto [hx, he] = layer->forward(x, e, b.edges, c);
  EXPECT_GE((hx - x).min().item<double>(), 0);  // the update is rectified
  EXPECT_GE((he - e).min().item<double>(), 0);
  EXPECT_GT((hx - x).max().item<double>(), 0.1);
  EXPECT_GT((he - e).max().item<double>(), 0.1);
}

}  // namespace
}  // namespace gtrain
