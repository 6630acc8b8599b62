#include "gtrain/nn/gcnii.h"

#include "gtrain/nn/adjacency.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Gcnii, MixesNeighboursTheFirstVectorsAndTheIdentity) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble),
                   x0 = at::randn({b.nodes, 4}, at::kDouble);
  for (const double beta : {1.0, 0.3}) {
    const auto layer = support::ready(std::make_shared<nn::Gcnii>(4, 0.2, beta));
    const at::Tensor h = 0.8 * nn::normalised_sum(x, b.edges) + 0.2 * x0;
    const at::Tensor map = (1 - beta) * at::eye(4, at::kDouble) + beta * layer->weight.t();
    EXPECT_LT(support::distance(layer->forward(x, x0, b.edges), at::matmul(h, map)), 1e-12);
  }
}

TEST(Gcnii, DrawsItsWeightAsGlorotDoes) {
  const auto layer = support::ready(std::make_shared<nn::Gcnii>(64));
  const double bound = std::sqrt(6.0 / 128);
  EXPECT_LE(layer->weight.abs().max().item<double>(), bound);
  EXPECT_NEAR(layer->weight.std().item<double>(), bound / std::sqrt(3.0), 0.003);
}

}  // namespace
}  // namespace gtrain
