#include "gtrain/nn/graph_token.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(GraphToken, StandsInFrontOfEveryGraphEmptyOnesToo) {
  const auto token = support::ready(std::make_shared<nn::GraphToken>(2));
  const at::Tensor start = at::tensor({0, 2, 2, 3}, at::kLong);
  const at::Tensor x = at::arange(6, at::kDouble).view({3, 2}).requires_grad_();
  const at::Tensor y = token->forward(x, start), v = token->vector;
  EXPECT_LT(support::distance(y, at::cat({v, x.slice(0, 0, 2), v, v, x.slice(0, 2)})), 1e-15);
  EXPECT_TRUE(nn::token_start(start).equal(at::tensor({0, 3, 4, 6}, at::kLong)));
  EXPECT_TRUE(nn::node_rows(start).equal(at::tensor({1, 2, 5}, at::kLong)));
  y.sum().backward();
  EXPECT_LT(support::distance(v.grad(), at::full_like(v, 3)), 1e-15);
}

}  // namespace
}  // namespace gtrain
