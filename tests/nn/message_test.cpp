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

at::Tensor run(nn::Local& layer, const EdgeBatch& b, const at::Tensor& x, const at::Tensor& e = {},
               const at::Tensor& positions = {}) {
  nn::Context c = support::context(false);
  return layer.forward({x, e, b.edges, positions}, c).first;
}

at::Tensor mlp(const torch::nn::Module& layer, const at::Tensor& sum, nn::Activation activation) {
  const auto p = layer.named_parameters();
  const at::Tensor hidden =
      nn::activate(at::matmul(sum, p["mlp_0.weight"].t()) + p["mlp_0.bias"], activation);
  return at::matmul(hidden, p["mlp_1.weight"].t()) + p["mlp_1.bias"];
}

TEST(Gcn, EqualsTheDenseNormalisedProductOnOddGraphs) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Gcn>(5));
  const at::Tensor x = at::randn({b.nodes, 5}, at::kDouble);
  const at::Tensor want = at::matmul(dense_gcn(b), at::matmul(x, layer->weight.t())) + layer->bias;
  EXPECT_LT(support::distance(run(*layer, b, x), want), 1e-12);
}

TEST(Gin, AppliesItsMlpToTheSumOverNodeAndSources) {
  const EdgeBatch b = support::pack({support::directed_path(3)});
  for (const auto activation : {nn::Activation::kRelu, nn::Activation::kGelu}) {
    const auto layer = support::ready(std::make_shared<nn::Gin>(4, activation));
    const at::Tensor x = at::randn({3, 4}, at::kDouble);
    at::Tensor sum = x.clone();
    sum[1] += x[0];
    sum[2] += x[1];
    EXPECT_LT(support::distance(run(*layer, b, x), mlp(*layer, sum, activation)), 1e-12);
  }
}

TEST(Gine, AppliesItsMlpToTheAggregate) {
  const EdgeBatch b = support::pack({support::directed_path(2)});
  for (const auto activation : {nn::Activation::kRelu, nn::Activation::kGelu}) {
    const auto layer = support::ready(std::make_shared<nn::Gine>(3, activation));
    const at::Tensor x = at::randn({2, 3}, at::kDouble), e = at::randn({1, 3}, at::kDouble);
    at::Tensor sum = x.clone();
    sum[1] += at::relu(x[0] + e[0]);
    EXPECT_LT(support::distance(run(*layer, b, x, e), mlp(*layer, sum, activation)), 1e-12);
  }
}

TEST(Gine, WithADropoutIsALayerThatAddsItsInput) {
  const EdgeBatch b = support::pack({support::directed_path(2)});
  const auto layer = support::ready(
      std::make_shared<nn::Gine>(3, nn::Activation::kGelu, /*gates=*/false, /*dropout=*/0.5));
  EXPECT_TRUE(layer->residual());
  EXPECT_FALSE(nn::Gine(3, nn::Activation::kGelu).residual());
  const at::Tensor x = at::randn({2, 3}, at::kDouble), e = at::randn({1, 3}, at::kDouble);
  at::Tensor sum = x.clone();
  sum[1] += at::relu(x[0] + e[0]);
  nn::Context evaluation = support::context(false);
  EXPECT_LT(support::distance(layer->forward({x, e, b.edges, {}}, evaluation).first,
                              x + mlp(*layer, sum, nn::Activation::kGelu)),
            1e-12);
  const std::vector<at::Tensor> masks{at::tensor({1, 0, 1, 0, 1, 1}, at::kByte).view({2, 3}),
                                      at::tensor({0, 1, 1, 1, 1, 0}, at::kByte).view({2, 3})};
  nn::Context replay = support::context(true);
  replay.masks = &masks;
  const auto p = layer->named_parameters();
  const at::Tensor hidden =
      at::gelu(at::matmul(sum, p["mlp_0.weight"].t()) + p["mlp_0.bias"]) * masks[0] * 2;
  const at::Tensor update =
      (at::matmul(hidden, p["mlp_1.weight"].t()) + p["mlp_1.bias"]) * masks[1] * 2;
  EXPECT_LT(support::distance(layer->forward({x, e, b.edges, {}}, replay).first, x + update),
            1e-12);
}

TEST(Gine, ScalesMessagesByItsGate) {
  const EdgeBatch b = support::pack({support::directed_path(2)});
  const auto layer = support::ready(std::make_shared<nn::Gine>(3, nn::Activation::kRelu, true));
  const at::Tensor x = at::randn({2, 3}, at::kDouble), e = at::randn({1, 3}, at::kDouble);
  const at::Tensor positions = at::randn({2, 4}, at::kDouble);
  nn::Gate& gate = dynamic_cast<nn::Gate&>(*layer->named_children()["gate"]);
  at::Tensor sum = x.clone();
  sum[1] += gate.forward(positions, b.edges)[0] * at::relu(x[0] + e[0]);
  EXPECT_LT(
      support::distance(run(*layer, b, x, e, positions), mlp(*layer, sum, nn::Activation::kRelu)),
      1e-12);
}

TEST(GatedGcn, AddsItsUpdateToNodesAndEdges) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::GatedGcn>(4, nn::Activation::kRelu, 0.0));
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 4}, at::kDouble);
  nn::Context c = support::context(true);
  const auto [hx, he] = layer->forward({x, e, b.edges, {}}, c);
  EXPECT_GE((hx - x).min().item<double>(), 0);  // the update is rectified
  EXPECT_GE((he - e).min().item<double>(), 0);
  EXPECT_GT((hx - x).max().item<double>(), 0.1);
  EXPECT_GT((he - e).max().item<double>(), 0.1);
}

// A gate that is 1 for all edges cancels nothing but itself: forward and gradients are those of the
// layer without gates, which runs through another kernel.
TEST(GatedGcn, WithOpenGatesIsTheOneWithoutGates) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto gated =
      support::ready(std::make_shared<nn::GatedGcn>(4, nn::Activation::kRelu, 0.0, true));
  const auto plain = support::ready(std::make_shared<nn::GatedGcn>(4, nn::Activation::kRelu, 0.0));
  const at::NoGradGuard guard;
  for (const auto& p : plain->named_parameters()) {
    p.value().copy_(gated->named_parameters()[p.key()]);
  }
  gated->named_parameters()["gate.linear_1.weight"].zero_();
  gated->named_parameters()["gate.linear_1.bias"].fill_(60);
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 4}, at::kDouble);
  const at::Tensor positions = at::randn({b.nodes, 3}, at::kDouble);
  std::vector<at::Tensor> out;
  for (const auto& layer : {gated, plain}) {
    const at::AutoGradMode grad(true);
    const at::Tensor leaf = x.clone().requires_grad_(), edge = e.clone().requires_grad_();
    nn::Context c = support::context(true);
    const auto [hx, he] = layer->forward({leaf, edge, b.edges, positions}, c);
    (hx.square().sum() + he.sin().sum()).backward();
    for (const at::Tensor& t : {hx, he, leaf.grad(), edge.grad()}) out.push_back(t.detach());
  }
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_LT(support::distance(out[i], out[i + 4]), 1e-10) << i;
  }
}

}  // namespace
}  // namespace gtrain
