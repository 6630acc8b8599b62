#include "gtrain/nn/standardised_linear.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(StandardisedLinear, BringsColumnsToMeanZeroAndDeviationOneFirst) {
  const auto layer = support::ready(std::make_shared<nn::StandardisedLinear>(
      std::vector<double>{0.5, 190.0}, std::vector<double>{0.25, 120.0}, 3));
  const auto p = layer->named_parameters();
  const at::Tensor x = at::tensor({0.5, 190.0, 1.0, 70.0}, at::kDouble).view({2, 2});
  const at::Tensor unit = at::tensor({0.0, 0.0, 2.0, -1.0}, at::kDouble).view({2, 2});
  const at::Tensor want = at::matmul(unit, p["linear.weight"].t()) + p["linear.bias"];
  EXPECT_LT(support::distance(layer->forward(x), want), 1e-12);
  EXPECT_EQ(p.size(), 2U);
}

TEST(StandardisedLinear, KeepsItsNumbersAsBuffers) {
  const auto layer = support::ready(std::make_shared<nn::StandardisedLinear>(
      std::vector<double>{0.5, -2.0}, std::vector<double>{0.25, 4.0}, 3));
  const auto buffers = layer->named_buffers();
  EXPECT_EQ(support::distance(buffers["mean"], at::tensor({0.5, -2.0}, at::kDouble)), 0);
  EXPECT_EQ(support::distance(buffers["deviation"], at::tensor({0.25, 4.0}, at::kDouble)), 0);
}

TEST(StandardisedLinear, RefusesADeviationTooFew) {
  EXPECT_THROW(nn::StandardisedLinear({1.0, 2.0}, {1.0}, 3), c10::Error);
}

}  // namespace
}  // namespace gtrain
