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

// 1 + 11 rows fit into the sort's last pass, which keeps their order; 1 + 30 rows do not.
TEST(GraphToken, UnstableOrderIsThatOfTorchsSort) {
  bool moved = false;
  for (const std::vector<std::int64_t>& sizes : {std::vector<std::int64_t>{11},
                                                 {3, 0, 1},
                                                 {23, 21, 1, 30},
                                                 {5, 40, 38, 17, 60, 2, 9},
                                                 {20000, 12765},
                                                 {20000, 12766}}) {
    std::vector<std::int64_t> starts{0}, graph;
    for (std::size_t g = 0; g < sizes.size(); ++g) {
      starts.push_back(starts.back() + sizes[g]);
      graph.push_back(static_cast<std::int64_t>(g));
    }
    for (std::size_t g = 0; g < sizes.size(); ++g) {
      graph.insert(graph.end(), static_cast<std::size_t>(sizes[g]), static_cast<std::int64_t>(g));
    }
    const auto graphs = static_cast<std::int64_t>(sizes.size());
    const auto token = support::ready(std::make_shared<nn::GraphToken>(1, true));
    const at::Tensor x = at::arange(starts.back(), at::kDouble).unsqueeze(1);
    const at::Tensor order = std::get<1>(at::sort(at::tensor(graph, at::kLong)));
    const at::Tensor rows = at::cat({token->vector.expand({graphs, 1}), x});
    const at::Tensor want = rows.index_select(0, order);
    EXPECT_TRUE(token->forward(x, at::tensor(starts, at::kLong)).equal(want));
    const auto stable = at::sort(at::tensor(graph, at::kLong), std::optional<bool>(true), 0, false);
    moved = moved || !order.equal(std::get<1>(stable));
  }
  EXPECT_TRUE(moved);
}

}  // namespace
}  // namespace gtrain
