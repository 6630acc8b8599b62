#include "gtrain/ops/reference.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

TEST(Reference, AttentionMixesOnlyNodesOfTheSameGraph) {
  const auto b = support::pack({support::edgeless(2), support::edgeless(3)});
  at::Tensor qkv = at::zeros({5, 6});  // equal scores: every node gets its graph's mean value
  qkv.slice(1, 4, 6).copy_(at::arange(10).view({5, 2}));
  const at::Tensor out = ops::reference::varlen_attention(qkv, b.graph_start, 1);
  EXPECT_NEAR(out[0][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(out[1][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(out[4][1].item<double>(), 7, 1e-6);
}

TEST(Reference, AttentionAppliesARecordedMaskWithoutRenormalising) {
  const auto b = support::pack({support::edgeless(2)});
  at::Tensor qkv = at::zeros({2, 3});
  qkv.slice(1, 2, 3).fill_(1);
  at::Tensor mask = at::ones({1, 1, 2, 2}, at::kByte);
  mask[0][0][0][1] = 0;
  const at::Tensor out = ops::reference::varlen_attention(qkv, b.graph_start, 1, 0.5, mask);
  EXPECT_NEAR(out[0][0].item<double>(), 1.0, 1e-6);  // one of two weights kept, scaled by 2
  EXPECT_NEAR(out[1][0].item<double>(), 2.0, 1e-6);
}

TEST(Reference, GineAddsRectifiedMessages) {
  const auto b = support::pack({support::directed_path(2)});
  const at::Tensor x = at::tensor({1.0, 10.0}).unsqueeze(1);
  const at::Tensor e = at::tensor({-3.0}).unsqueeze(1);
  const at::Tensor silent = ops::reference::gine_aggregate(x, e, b.edges);
  EXPECT_EQ(support::distance(silent, x), 0);
  const at::Tensor heard = ops::reference::gine_aggregate(x, -e, b.edges);
  EXPECT_NEAR(heard[1][0].item<double>(), 14, 1e-6);
}

}  // namespace
}  // namespace gtrain
