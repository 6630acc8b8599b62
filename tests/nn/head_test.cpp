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

TEST(Pool, NamesAreTheRecipes) {
  EXPECT_EQ(nn::pool_named("mean"), nn::Pool::kMean);
  EXPECT_EQ(nn::pool_named("max"), nn::Pool::kMax);
  EXPECT_THROW(nn::pool_named("median"), c10::Error);
}

}  // namespace
}  // namespace gtrain
