#include "gtrain/nn/gate.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Gate, IsTheSigmoidOfAnMlpOfTheSquaredDistance) {
  const auto b = support::pack({support::directed_path(2)});
  const auto gate = support::ready(std::make_shared<nn::Gate>(5, nn::Activation::kRelu));
  const auto p = gate->named_parameters();
  const at::Tensor positions = at::randn({2, 3}, at::kDouble);
  const at::Tensor square = (positions[0] - positions[1]).square().sum().view({1, 1});
  const at::Tensor hidden =
      at::relu(at::matmul(square, p["linear_0.weight"].t()) + p["linear_0.bias"]);
  const at::Tensor want =
      at::sigmoid(at::matmul(hidden, p["linear_1.weight"].t()) + p["linear_1.bias"]);
  EXPECT_LT(support::distance(gate->forward(positions, b.edges), want), 1e-12);
}

TEST(Gate, SeesNeitherRotationsNorReflections) {
  const auto b = support::pack_odd_graphs();
  const auto gate = support::ready(std::make_shared<nn::Gate>(5, nn::Activation::kGelu));
  const at::Tensor positions = at::randn({b.nodes, 2}, at::kDouble);
  const double turn = 0.7;
  const at::Tensor rotation =
      at::tensor({std::cos(turn), std::sin(turn), std::sin(turn), -std::cos(turn)}, at::kDouble)
          .view({2, 2});
  EXPECT_LT(support::distance(gate->forward(positions, b.edges),
                              gate->forward(at::matmul(positions, rotation), b.edges)),
            1e-12);
}

TEST(Gate, AsksForAPositionOfEachNode) {
  const auto b = support::pack({support::path(3)});
  const auto gate = support::ready(std::make_shared<nn::Gate>(2, nn::Activation::kRelu));
  EXPECT_THROW(gate->forward({}, b.edges), c10::Error);
  EXPECT_THROW(gate->forward(at::zeros({2, 1}, at::kDouble), b.edges), c10::Error);
}

}  // namespace
}  // namespace gtrain
