#include "gtrain/nn/head.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

at::Tensor affine(const torch::nn::Module& m, const std::string& name, const at::Tensor& x) {
  const auto p = m.named_parameters();
  return at::matmul(x, p[name + ".weight"].t()) + p[name + ".bias"];
}

TEST(HalvingHead, PoolsThenHalves) {
  const auto b = support::pack({support::path(4), support::edgeless(1)});
  const auto head = support::ready(
      std::make_shared<nn::HalvingHead>(8, 3, 2, nn::pool_named("sum"), nn::Activation::kRelu));
  const at::Tensor x = at::randn({5, 8}, at::kDouble);
  const at::Tensor pooled = at::stack({x.slice(0, 0, 4).sum(0), x[4]});
  const at::Tensor h =
      at::relu(affine(*head, "linear_1", at::relu(affine(*head, "linear_0", pooled))));
  EXPECT_LT(support::distance(head->forward(x, {b.graph_start, {}}), affine(*head, "linear_2", h)),
            1e-12);
  EXPECT_EQ(head->named_parameters()["linear_2.weight"].size(1), 2);
}

TEST(MlpHead, ScalesHiddenRowsToUnitNorm) {
  const auto head = support::ready(
      std::make_shared<nn::MlpHead>(6, 2, 2, nn::Pool::kNone, nn::Activation::kRelu));
  const at::Tensor x = at::randn({7, 6}, at::kDouble);
  const at::Tensor h = at::relu(affine(*head, "linear_0", x));
  const at::Tensor unit = h / h.norm(2, -1, true).clamp_min(1e-12);
  EXPECT_LT(support::distance(head->forward(x, {}), affine(*head, "linear_1", unit)), 1e-12);
}

// Two graphs of which a wide head with three layers makes rows [2, 6].
struct Wide {
  support::EdgeBatch batch = support::pack({support::path(4), support::edgeless(2)});
  at::Tensor x = at::randn({6, 6}, at::kDouble);
  at::Tensor pooled = at::stack({x.slice(0, 0, 4).mean(0), x.slice(0, 4).mean(0)});
  std::shared_ptr<nn::WideHead> head = support::ready(std::make_shared<nn::WideHead>(
      nn::WideHead::Shape{6, 3, 3}, nn::Pool::kMean, nn::Activation::kGelu, 0.5));

  at::Tensor run(nn::Context* context) const {
    return head->forward(x, {batch.graph_start, {}, context});
  }
  // With rows multiplied by `scale` before each of the layers.
  at::Tensor by_hand(const std::vector<at::Tensor>& scale) const {
    const at::Tensor first = at::gelu(affine(*head, "linear_0", pooled * scale[0]));
    const at::Tensor second = at::gelu(affine(*head, "linear_1", first * scale[1]));
    return affine(*head, "linear_2", second * scale[2]);
  }
};

TEST(WideHead, ActivatesLayersOfOneWidth) {
  const Wide wide;
  const at::Tensor one = at::ones({}, at::kDouble);
  nn::Context evaluation = support::context(false);
  EXPECT_LT(support::distance(wide.run(&evaluation), wide.by_hand({one, one, one})), 1e-12);
  EXPECT_TRUE(support::same_bits(wide.run(nullptr), wide.run(&evaluation)));
}

TEST(WideHead, DropsBeforeEveryLinearLayerInTraining) {
  const Wide wide;
  std::vector<at::Tensor> masks, scale;
  for (int i = 0; i < 3; ++i) {
    masks.push_back(at::randint(2, {2, 6}, at::kByte));
    scale.push_back(masks.back().to(at::kDouble) * 2);
  }
  nn::Context replay = support::context(true);
  replay.masks = &masks;
  EXPECT_LT(support::distance(wide.run(&replay), wide.by_hand(scale)), 1e-12);
  nn::Context drawn = support::context(true), again = support::context(true);
  const at::Tensor first = wide.run(&drawn);
  EXPECT_TRUE(support::same_bits(first, wide.run(&again)));
  EXPECT_GT(support::distance(first, wide.run(nullptr)), 1e-6);
}

TEST(Head, WithoutDropoutDrawsNothing) {
  const auto head = support::ready(
      std::make_shared<nn::MlpHead>(6, 2, 2, nn::Pool::kNone, nn::Activation::kRelu));
  nn::Context training = support::context(true), fresh = support::context(true);
  head->forward(at::randn({3, 6}, at::kDouble), {{}, {}, &training});
  EXPECT_EQ(training.next_key(), fresh.next_key());
}

TEST(Head, PoolsMinimaAndGraphTokens) {
  const auto b = support::pack({support::path(3), support::edgeless(2)});
  const at::Tensor x = at::randn({5, 4}, at::kDouble);
  const auto pooled = [&](nn::Pool pool) {
    const auto head =
        support::ready(std::make_shared<nn::MlpHead>(4, 4, 1, pool, nn::Activation::kRelu));
    const at::NoGradGuard guard;
    head->named_parameters()["linear_0.weight"].copy_(at::eye(4));
    head->named_parameters()["linear_0.bias"].zero_();
    return head->forward(x, {b.graph_start, {}});
  };
  const at::Tensor least = at::stack({x.slice(0, 0, 3).amin(0), x.slice(0, 3).amin(0)});
  EXPECT_LT(support::distance(pooled(nn::Pool::kMin), least), 1e-14);
  EXPECT_LT(support::distance(pooled(nn::Pool::kGraphToken), at::stack({x[0], x[3]})), 1e-14);
}

TEST(GraphormerHead, NormalisesNodesBeforeItPools) {
  const auto b = support::pack({support::path(4)});
  const auto head = support::ready(std::make_shared<nn::GraphormerHead>(6, 2, nn::Pool::kMean));
  const at::Tensor x = at::randn({4, 6}, at::kDouble) * 3 + 1;
  const at::Tensor unit = (x - x.mean(1, true)) / at::sqrt(x.var(1, false).unsqueeze(1) + 1e-5);
  const at::Tensor want = affine(*head, "linear_0", unit.mean(0, true));
  EXPECT_LT(support::distance(head->forward(x, {b.graph_start, {}}), want), 1e-12);
}

TEST(TransformHead, IsLinearGeluNormThenALinearMapAndOneNumber) {
  const auto b = support::pack({support::path(4), support::edgeless(2)});
  const auto head = support::ready(std::make_shared<nn::TransformHead>(
      6, 3, nn::Pool::kGraphToken, nn::Activation::kGelu, true));
  const at::Tensor x = at::randn({6, 6}, at::kDouble);
  const auto p = head->named_parameters();
  EXPECT_EQ(p["offset"].item<double>(), 0);
  {
    const at::NoGradGuard guard;
    p["offset"].fill_(0.75);
  }
  const at::Tensor h = at::gelu(affine(*head, "transform", at::stack({x[0], x[4]})));
  const at::Tensor unit = (h - h.mean(1, true)) / at::sqrt(h.var(1, false).unsqueeze(1) + 1e-5);
  const at::Tensor want = at::matmul(unit, p["out.weight"].t()) + 0.75;
  const at::Tensor got = head->forward(x, {b.graph_start, {}});
  EXPECT_LT(support::distance(got, want), 1e-12);
  got.sum().backward();
  EXPECT_FALSE(p["idle.weight"].grad().defined());
  EXPECT_EQ(p["idle.weight"].sizes(), p["transform.weight"].sizes());
}

TEST(EdgeHead, MultipliesTheEndsOrReadsBoth) {
  using nn::EdgeHead;
  const at::Tensor x = at::randn({5, 6}, at::kDouble);
  const at::Tensor pair = at::tensor({0, 1, 4, 4, 2, 0}, at::kLong).view({3, 2});
  const auto dot = support::ready(std::make_shared<EdgeHead>(
      EdgeHead::Shape{6, 1, 1}, EdgeHead::Decode::kDot, nn::Activation::kRelu));
  const at::Tensor h = affine(*dot, "linear_0", x);
  const at::Tensor want =
      at::stack({(h[0] * h[1]).sum(), (h[4] * h[4]).sum(), (h[2] * h[0]).sum()}).unsqueeze(1);
  EXPECT_LT(support::distance(dot->forward(x, {{}, pair}), want), 1e-12);
  const auto both = support::ready(std::make_shared<EdgeHead>(
      EdgeHead::Shape{6, 3, 1}, EdgeHead::Decode::kConcat, nn::Activation::kRelu));
  const at::Tensor ends =
      at::stack({at::cat({x[0], x[1]}), at::cat({x[4], x[4]}), at::cat({x[2], x[0]})});
  EXPECT_LT(support::distance(both->forward(x, {{}, pair}), affine(*both, "linear_0", ends)),
            1e-12);
  EXPECT_THROW(dot->forward(x, {}), c10::Error);
}

TEST(Pool, NamesAreTheRecipes) {
  EXPECT_EQ(nn::pool_named("mean"), nn::Pool::kMean);
  EXPECT_EQ(nn::pool_named("graph_token"), nn::Pool::kGraphToken);
  EXPECT_EQ(nn::pool_named("max"), nn::Pool::kMax);
  EXPECT_THROW(nn::pool_named("median"), c10::Error);
}

}  // namespace
}  // namespace gtrain
