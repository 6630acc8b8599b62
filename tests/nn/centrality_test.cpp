#include "gtrain/nn/centrality.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Centrality, AddsRowsOfBothDegreesTheLastRowForLargerOnes) {
  const auto layer =
      support::ready(std::make_shared<nn::Centrality>(3, nn::CentralityShape{4, false, false}));
  const at::Tensor z = layer->forward(at::tensor({0, 2, 9, 1}, at::kLong).view({2, 2}));
  EXPECT_LT(support::distance(z[0], layer->in_degree[0] + layer->out_degree[2]), 1e-15);
  EXPECT_LT(support::distance(z[1], layer->in_degree[3] + layer->out_degree[1]), 1e-15);
}

TEST(Centrality, QuirksMoveRowsAndReadTheOutDegreeTwice) {
  const auto layer =
      support::ready(std::make_shared<nn::Centrality>(3, nn::CentralityShape{4, true, true}));
  const at::Tensor z = layer->forward(at::tensor({0, 2}, at::kLong).view({1, 2}));
  EXPECT_LT(support::distance(z[0], layer->in_degree[3] + layer->out_degree[3]), 1e-15);
}

}  // namespace
}  // namespace gtrain
