#include "gtrain/nn/attention_node.h"

#include "gtrain/nn/virtual_node.h"
#include "gtrain/ops/linear_attention.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

using Features = nn::AttentionNode::Features;

constexpr std::int64_t kWidth = 12, kHeads = 3, kHead = kWidth / kHeads;

std::shared_ptr<nn::AttentionNode> node_with(Features features) {
  nn::AttentionNode::Options o;
  o.width = kWidth;
  o.heads = kHeads;
  o.features = features;
  o.count = 10;
  return support::ready(std::make_shared<nn::AttentionNode>(o));
}

at::Tensor out_of(nn::AttentionNode& node, const at::Tensor& attended) {
  const auto p = node.named_parameters();
  return at::matmul(attended, p["out.weight"].t()) + p["out.bias"];
}

at::Tensor qkv_of(nn::AttentionNode& node, const at::Tensor& x) {
  const auto p = node.named_parameters();
  return at::matmul(x, p["qkv.weight"].t()) + p["qkv.bias"];
}

TEST(AttentionNode, WithALinearAttentionLayersWeightsEqualsThatLayer) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const auto node = node_with(Features::kExp);
  const at::Tensor x = 3 * at::randn({b.nodes, kWidth}, at::kDouble);
  const at::Tensor attended =
      ops::linear_attention(qkv_of(*node, x), node->projection, b.graph_start, kHeads);
  const at::Tensor got = node->forward(x, nn::by_graph(b.graph, b.graph_start));
  EXPECT_LT(support::distance(got, out_of(*node, attended)), 1e-10);
}

TEST(AttentionNode, InSinglePrecisionStaysWithin1e6OfTheLayerInDouble) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const auto node = node_with(Features::kExp);
  node->to(at::kFloat);
  const at::Tensor x = at::randn({b.nodes, kWidth}, at::kFloat);
  const at::Tensor got = node->forward(x, nn::by_graph(b.graph, b.graph_start));
  node->to(at::kDouble);
  const at::Tensor attended = ops::linear_attention(qkv_of(*node, x.to(at::kDouble)),
                                                    node->projection, b.graph_start, kHeads);
  EXPECT_LT(support::distance(got, out_of(*node, attended)), 1e-6);
}

TEST(AttentionNode, WithEluFeaturesEqualsTheLinearTransformer) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const auto node = node_with(Features::kElu);
  const at::Tensor x = at::randn({b.nodes, kWidth}, at::kDouble);
  const at::Tensor qkv = qkv_of(*node, x).view({b.nodes, 3, kHeads, kHead});
  const at::Tensor q = at::elu(qkv.select(1, 0)) + 1, k = at::elu(qkv.select(1, 1)) + 1;
  const at::Tensor score = at::einsum("ihd,jhd->hij", {q, k});
  const at::Tensor together =
      (b.graph.unsqueeze(0) == b.graph.unsqueeze(1)).to(at::kDouble) * score;
  const at::Tensor weight = together / (together.sum(2, true) + 1e-6);
  const at::Tensor attended =
      at::einsum("hij,jhd->ihd", {weight, qkv.select(1, 2)}).reshape({b.nodes, kWidth});
  const at::Tensor got = node->forward(x, nn::by_graph(b.graph, b.graph_start));
  EXPECT_LT(support::distance(got, out_of(*node, attended)), 1e-11);
}

TEST(AttentionNode, WithEluFeaturesThatAllRoundToZeroStaysFinite) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const auto node = node_with(Features::kElu);
  node->to(at::kFloat);
  at::NoGradGuard guard;
  node->named_parameters()["qkv.bias"].fill_(-200);
  const at::Tensor x = at::randn({b.nodes, kWidth}, at::kFloat);
  const at::Tensor got = node->forward(x, nn::by_graph(b.graph, b.graph_start));
  EXPECT_TRUE(at::isfinite(got).all().item<bool>());
}

}  // namespace
}  // namespace gtrain
