#include "gtrain/ops/segment.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;
using support::EdgeBatch;

TEST(Segment, SumsAndMeansEqualScatteringOnOddGraphs) {
  const EdgeBatch b = support::pack_odd_graphs();
  const std::int64_t graphs = b.graph_start.size(0) - 1;
  const Tensors in{at::randn({b.nodes, 5}, at::kDouble)};
  const auto scattered = [&](const at::Tensor& x) {
    return at::zeros({graphs, 5}, x.options()).index_add(0, b.graph, x);
  };
  support::expect_kernel_law(
      [&](const Tensors& t) -> Tensors { return {ops::segment_sum(t[0], b.graph_start)}; },
      [&](const Tensors& t) -> Tensors { return {scattered(t[0])}; }, in);
  const at::Tensor count = at::bincount(b.graph, {}, graphs).clamp_min(1).unsqueeze(1);
  support::expect_kernel_law(
      [&](const Tensors& t) -> Tensors { return {ops::segment_mean(t[0], b.graph_start)}; },
      [&](const Tensors& t) -> Tensors { return {scattered(t[0]) / count.to(t[0].scalar_type())}; },
      in);
}

TEST(Segment, MaxTakesTheLargestRowAndZeroForEmptySegments) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 2, 2, 3}, at::kLong);
  const at::Tensor x = at::tensor({-5.0, -1.0, -3.0}, at::kDouble).unsqueeze(1);
  const at::Tensor y = ops::segment_max(x, start);
  EXPECT_EQ(support::distance(y, at::tensor({-1.0, 0.0, -3.0}, at::kDouble).unsqueeze(1)), 0);
}

TEST(Segment, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(ops::segment_sum(at::zeros({3}), at::zeros({2}, at::kLong)), c10::Error);
  EXPECT_THROW(ops::segment_sum(at::zeros({3, 1}), at::zeros({2})), c10::Error);
}

}  // namespace
}  // namespace gtrain
