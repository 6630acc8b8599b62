#include "gtrain/nn/attention.h"

#include "gtrain/ops/reference.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

at::Tensor run(nn::Attention& layer, const support::EdgeBatch& b, const at::Tensor& x,
               nn::Context context, const ops::AttentionBias& bias = {}) {
  return layer.forward({.x = x, .graph_start = b.graph_start, .bias = bias}, context);
}

TEST(Attention, ProjectsAttendsAndProjects) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.5));
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  const at::Tensor qkv = at::matmul(x, layer->in_weight.t()) + layer->in_bias;
  const at::Tensor mixed = ops::reference::varlen_attention(qkv, b.graph_start, 2);
  const at::Tensor want = at::matmul(mixed, layer->out_weight.t()) + layer->out_bias;
  EXPECT_LT(support::distance(run(*layer, b, x, support::context(false)), want), 1e-12);
}

TEST(Attention, AddsABiasOnlyWhereItIsBiased) {
  const auto b = support::pack({support::path(4), support::cycle(3)});
  const auto biased = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0, true));
  const auto plain = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0));
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  ops::AttentionBias bias;
  bias.pair = at::randn({16 + 9, 2}, at::kDouble);
  const nn::Context c = support::context(false);
  const at::Tensor qkv = at::matmul(x, biased->in_weight.t()) + biased->in_bias;
  const at::Tensor mixed =
      ops::reference::varlen_attention(qkv, b.graph_start, 2, 0.0, at::Tensor(), bias);
  const at::Tensor want = at::matmul(mixed, biased->out_weight.t()) + biased->out_bias;
  EXPECT_LT(support::distance(run(*biased, b, x, c, bias), want), 1e-12);
  EXPECT_TRUE(support::same_bits(run(*plain, b, x, c, bias), run(*plain, b, x, c)));
}

TEST(Attention, DropsWeightsInTrainingOnly) {
  const auto b = support::pack({support::path(6)});
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.5));
  const at::Tensor x = at::randn({6, 8}, at::kDouble);
  const at::Tensor plain = run(*layer, b, x, support::context(false));
  const at::Tensor first = run(*layer, b, x, support::context(true, 1));
  EXPECT_GT(support::distance(plain, first), 1e-3);
  EXPECT_GT(support::distance(first, run(*layer, b, x, support::context(true, 2))), 1e-3);
}

}  // namespace
}  // namespace gtrain
