#include "gtrain/nn/norm.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(GraphNorm, NormalisesEachGraphOverNodesAndChannels) {
  const auto b = support::pack({support::path(4), support::edgeless(1), support::cycle(3)});
  const auto norm = support::ready(nn::make_norm("layer", 6));
  const at::Tensor x = at::randn({b.nodes, 6}, at::kDouble) * 3 + 2;
  nn::Context c = support::context(true);
  const at::Tensor y = norm->forward(x, {}, b.graph_start, 0.0, c);
  for (const auto& [from, to] : {std::pair{0, 4}, {4, 5}, {5, 8}}) {
    const at::Tensor part = x.slice(0, from, to);
    const at::Tensor want =
        (part - part.mean()) / at::sqrt((part - part.mean()).square().mean() + 1e-5);
    EXPECT_LT(support::distance(y.slice(0, from, to), want), 1e-12);
  }
}

TEST(BatchNormLayer, UsesBatchStatisticsInTrainingAndRunningOnesAfter) {
  const auto norm =
      std::static_pointer_cast<nn::BatchNorm>(support::ready(nn::make_norm("batch", 3)));
  const at::Tensor x = at::randn({50, 3}, at::kDouble) * 2 + 5;
  nn::Context training = support::context(true), evaluation = support::context(false);
  const at::Tensor y = norm->forward(x, training);
  EXPECT_LT(y.mean(0).abs().max().item<double>(), 1e-12);
  const at::Tensor running = (x - norm->running_mean) / at::sqrt(norm->running_var + 1e-5);
  EXPECT_LT(support::distance(norm->forward(x, evaluation), running), 1e-12);
}

TEST(LayerNorm, NormalisesTheChannelsOfEachRow) {
  const auto norm = support::ready(nn::make_norm("row", 6));
  const at::Tensor x = at::randn({5, 6}, at::kDouble) * 3 + 2,
                   residual = at::randn({5, 6}, at::kDouble);
  nn::Context c = support::context(true);
  const at::Tensor z = x + residual, centred = z - z.mean(1, true);
  const at::Tensor want = centred / at::sqrt(centred.square().mean(1, true) + 1e-5);
  EXPECT_LT(support::distance(norm->forward(x, residual, {}, 0.0, c), want), 1e-12);
}

TEST(NoNorm, IsTheResidualSum) {
  const auto norm = nn::make_norm("none", 3);
  nn::Context c = support::context(true);
  const at::Tensor x = at::randn({2, 3});
  EXPECT_EQ(support::distance(norm->forward(x, x, {}, 0.0, c), 2 * x), 0);
  EXPECT_THROW(nn::make_norm("instance", 3), c10::Error);
}

}  // namespace
}  // namespace gtrain
