#include "gtrain/nn/graph_bias.h"

#include "support/layer_case.h"

namespace gtrain::nn {
namespace {

// The path 0 - 1 - 2 and a node out of reach.
PairInput input() {
  PairInput in;
  in.graph_start = at::tensor({0, 4}, at::kLong);
  in.hops = at::tensor({0, 1, 2, 255, 1, 0, 1, 255, 2, 1, 0, 255, 255, 255, 255, 0}, at::kByte);
  in.inner = at::tensor({-1, -1, 1, -1, -1, -1, -1, -1, 1, -1, -1, -1, -1, -1, -1, -1}, at::kLong);
  in.source = at::tensor({1, 0, 2, 1}, at::kLong);
  in.target = at::tensor({0, 1, 1, 2}, at::kLong);
  in.edge = at::tensor({0, 1, 1, 0, 2, 1, 2, 0}, at::kLong).view({4, 2});
  return in;
}

std::shared_ptr<GraphBias> made(const GraphBiasOptions& o) {
  return support::ready(std::make_shared<GraphBias>(2, o, std::vector<std::int64_t>{3, 2}));
}

// The whole bias of a pair.
at::Tensor at_pair(const PairBias& b, std::int64_t p) {
  const at::Tensor row = b.bias.table[b.bias.hops[p].item<std::int64_t>()];
  return b.bias.pair.defined() ? row + b.bias.pair[p] : row;
}

TEST(GraphBias, SumsDistanceAndPathEdgesDividedByTheLength) {
  GraphBiasOptions o;
  o.token = false;
  o.hops = 3;
  const auto layer = made(o);
  const PairBias b = layer->forward(input());
  const at::Tensor first = (layer->edge[1] + layer->edge[3]) / 2;   // edge 0 -> 1: (1, 0)
  const at::Tensor second = (layer->edge[2] + layer->edge[3]) / 2;  // edge 1 -> 2: (2, 0)
  const at::Tensor want =
      layer->distance[2] +
      (at::matmul(first, layer->hop[0]) + at::matmul(second, layer->hop[1])) / 2;
  EXPECT_LT(support::distance(at_pair(b, 2), want), 1e-14);
  EXPECT_LT(support::distance(at_pair(b, 3), layer->distance[21]), 1e-14);
  EXPECT_LT(support::distance(at_pair(b, 0), layer->distance[0]), 1e-14);
}

TEST(GraphBias, OfRepeatedEdgesOneWithTheLargestColumnsCountsInAnyOrder) {
  GraphBiasOptions o;
  o.token = false;
  o.path = "single_hop";
  const auto layer = made(o);
  PairInput in = input();
  in.source = at::tensor({1, 0, 0, 2, 1}, at::kLong);  // 0 -> 1 twice
  in.target = at::tensor({0, 1, 1, 1, 2}, at::kLong);
  in.edge = at::tensor({0, 1, 1, 1, 2, 0, 2, 1, 2, 0}, at::kLong).view({5, 2});
  const PairBias b = layer->forward(in);
  const at::Tensor want = layer->distance[1] + (layer->edge[2] + layer->edge[3]) / 2;  // (2, 0)
  EXPECT_LT(support::distance(at_pair(b, 1), want), 1e-14);
  in.edge = in.edge.index_select(0, at::tensor({0, 2, 1, 3, 4}, at::kLong));
  EXPECT_LT(support::distance(at_pair(layer->forward(in), 1), want), 1e-14);
}

TEST(GraphBias, TokenHasANumberOfItsOwnAndCutPairsDoNotAttend) {
  GraphBiasOptions o;
  o.path = "none";
  o.cut = 2;
  const auto layer = made(o);
  const PairBias b = layer->forward(input());
  EXPECT_TRUE(b.graph_start.equal(at::tensor({0, 5}, at::kLong)));
  for (const std::int64_t p : {0, 3, 5, 20}) {
    EXPECT_LT(support::distance(at_pair(b, p), layer->token[0]), 1e-15);
  }
  EXPECT_LT(support::distance(at_pair(b, 6 + 1), layer->distance[1]), 1e-15);
  EXPECT_TRUE(at::isneginf(at_pair(b, 6 + 2)).all().item<bool>());
  EXPECT_TRUE(at::isneginf(at_pair(b, 6 + 3)).all().item<bool>());
}

TEST(GraphBias, PaddingOfTheFirstVersionIsNotTrained) {
  GraphBiasOptions o;
  o.token = false;
  o.quirks = {"padding_rows", "v1_padding"};
  const auto layer = made(o);
  const PairBias b = layer->forward(input());
  at::Tensor padding = at::zeros({2}, at::kDouble);
  for (std::int64_t k = 0; k < o.hops; ++k)
    padding = padding + at::matmul(layer->edge[0], layer->hop[k]);
  EXPECT_LT(support::distance(b.bias.pair[0], padding), 1e-14);
  b.bias.pair.sum().backward();
  EXPECT_EQ(layer->edge.grad()[0].abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace gtrain::nn
