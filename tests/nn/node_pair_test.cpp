#include "gtrain/nn/node_pair.h"

#include <torch/csrc/jit/api/module.h>

#include "support/edge_batch.h"

namespace gtrain {
namespace {

// Pairs (attended, attending) of different nodes of one graph, in the order of the second.
at::Tensor counted(const support::EdgeBatch& b) {
  const at::Tensor same = b.graph.unsqueeze(1) == b.graph.unsqueeze(0);
  const at::Tensor pair = at::nonzero(same & ~at::eye(b.nodes, at::kBool));
  return at::stack({pair.select(1, 1), pair.select(1, 0)});
}

TEST(OtherNodePattern, HasEveryPairOfDifferentNodesOfAGraph) {
  const auto b = support::pack_odd_graphs();
  const ops::AttentionPattern p = nn::other_node_pattern(b.graph_start);
  const at::Tensor want = counted(b);
  EXPECT_TRUE(at::equal(p.column.to(at::kLong), want[0]));
  EXPECT_TRUE(at::equal(p.row_start, support::starts_of(want[1], b.nodes)));
  EXPECT_EQ(nn::other_node_pattern(at::zeros({1}, at::kLong)).pairs(), 0);
}

TEST(OtherNodeScript, ListsThePatternsPairsInItsOrder) {
  torch::jit::Module module("pairs");
  module.define(nn::other_node_script());
  const auto listed = [&](const at::Tensor& batch) {
    return module.get_method("other_nodes")({batch}).toTensor();
  };
  const auto b = support::pack_odd_graphs();
  EXPECT_TRUE(at::equal(listed(b.graph), counted(b)));
  EXPECT_EQ(listed(at::zeros({0}, at::kLong)).sizes(), (std::vector<std::int64_t>{2, 0}));
}

}  // namespace
}  // namespace gtrain
