#include "gtrain/nn/adjacency.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

TEST(NormalisedSum, EqualsTheDenseProductWithOneSelfLoopANode) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  at::Tensor a = at::zeros({b.nodes, b.nodes}, at::kDouble);
  for (std::int64_t k = 0; k < b.edges.count(); ++k) {
    const auto s = b.edges.source[k].item<std::int64_t>();
    const auto t = b.edges.target[k].item<std::int64_t>();
    if (s != t) a[t][s] += 1;
  }
  a += at::eye(b.nodes, at::kDouble);
  const at::Tensor scale = a.sum(1).rsqrt();
  const at::Tensor h = at::randn({b.nodes, 3}, at::kDouble);
  const at::Tensor want = at::matmul(scale.unsqueeze(1) * a * scale.unsqueeze(0), h);
  EXPECT_LT(support::distance(nn::normalised_sum(h, b.edges), want), 1e-12);
}

}  // namespace
}  // namespace gtrain
