#include "gtrain/nn/virtual_node.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

// Batch norm of a fresh layer in evaluation.
at::Tensor fresh_norm(const at::Tensor& x) { return x / std::sqrt(1 + 1e-5); }

struct Input {
  support::EdgeBatch batch = support::pack_odd_graphs();
  std::int64_t graphs = batch.graph_start.size(0) - 1;
  at::Tensor x = at::randn({batch.nodes, 4}, at::kDouble);
  at::Tensor t = at::randn({graphs, 4}, at::kDouble);
  at::Tensor sum = at::zeros({graphs, 4}, at::kDouble).index_add(0, batch.graph, x);
};

TEST(ClassicNode, MapsTheSumOfItsNodesAndItself) {
  const Input in;
  for (const bool residual : {false, true}) {
    const auto node = support::ready(
        std::make_shared<nn::ClassicNode>(nn::ClassicNode::Shape{4, 8}, 0.0, residual));
    const auto p = node->named_parameters();
    const at::Tensor hidden =
        at::relu(fresh_norm(at::matmul(in.sum + in.t, p["mlp_0.weight"].t()) + p["mlp_0.bias"]));
    at::Tensor want =
        at::relu(fresh_norm(at::matmul(hidden, p["mlp_1.weight"].t()) + p["mlp_1.bias"]));
    if (residual) want = want + in.t;
    nn::Context c = support::context(false);
    EXPECT_LT(support::distance(node->forward(in.x, in.t, in.batch.graph_start, c), want), 1e-11);
  }
}

TEST(HeterogeneousNode, HasWeightsOfItsOwnForEachDirection) {
  const Input in;
  nn::HeterogeneousNode::Options o;
  o.width = 4;
  o.pool = nn::Pool::kSum;
  const auto node = support::ready(std::make_shared<nn::HeterogeneousNode>(o));
  const auto p = node->named_parameters();
  const at::Tensor m = at::matmul(in.t, p["to_node.weight"].t()) + p["to_node.bias"];
  EXPECT_LT(support::distance(node->message(in.t), m), 1e-12);
  const at::Tensor h = at::matmul(in.t, p["own.weight"].t()) + p["own.bias"] +
                       at::matmul(in.sum, p["from_node.weight"].t());
  nn::Context c = support::context(false);
  EXPECT_LT(support::distance(node->forward(in.x, in.t, in.batch.graph_start, c),
                              in.t + at::relu(fresh_norm(h))),
            1e-11);
}

TEST(HeterogeneousNode, HasNoWeightsForAStateThatNobodyReads) {
  nn::HeterogeneousNode::Options o;
  o.updated = false;
  EXPECT_EQ(nn::HeterogeneousNode(o).parameters().size(), 2U);
}

TEST(ByGraph, GathersTheRowOfANodesGraph) {
  const Input in;
  const at::Tensor rows = ops::gather(in.t, nn::by_graph(in.batch.graph, in.batch.graph_start));
  EXPECT_TRUE(support::same_bits(rows, in.t.index_select(0, in.batch.graph)));
}

}  // namespace
}  // namespace gtrain
