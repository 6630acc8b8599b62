#include "gtrain/nn/linear.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(LinearLayer, ComputesTheAffineMap) {
  const auto layer = support::ready(std::make_shared<nn::Linear>(3, 5));
  const at::Tensor x = at::randn({4, 3}, at::kDouble);
  const at::Tensor want = at::matmul(x, layer->weight.t()) + layer->bias;
  EXPECT_LT(support::distance(layer->forward(x), want), 1e-13);
  EXPECT_LT(support::distance(layer->forward(x, true), at::relu(want)), 1e-13);
}

TEST(LinearLayer, DrawsWithinTheFanInBound) {
  const auto layer = support::ready(std::make_shared<nn::Linear>(16, 64));
  EXPECT_LE(layer->weight.abs().max().item<double>(), 0.25);
  EXPECT_GT(layer->weight.abs().max().item<double>(), 0.24);
  EXPECT_LE(layer->bias.abs().max().item<double>(), 0.25);
}

TEST(LinearLayer, WithoutBiasHasOneParameter) {
  EXPECT_EQ(nn::Linear(3, 5, false).parameters().size(), 1u);
}

}  // namespace
}  // namespace gtrain
