#include "gtrain/nn/attention.h"

#include "gtrain/ops/reference.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Attention, ProjectsAttendsAndProjects) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.5));
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  nn::Context c = support::context(false);
  const at::Tensor qkv = at::matmul(x, layer->in_weight.t()) + layer->in_bias;
  const at::Tensor mixed = ops::reference::varlen_attention(qkv, b.graph_start, 2);
  const at::Tensor want = at::matmul(mixed, layer->out_weight.t()) + layer->out_bias;
  EXPECT_LT(support::distance(layer->forward(x, b.graph_start, c), want), 1e-12);
}

TEST(Attention, DropsWeightsInTrainingOnly) {
  const auto b = support::pack({support::path(6)});
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.5));
  const at::Tensor x = at::randn({6, 8}, at::kDouble);
  nn::Context evaluation = support::context(false), one = support::context(true, 1),
              two = support::context(true, 2);
  const at::Tensor plain = layer->forward(x, b.graph_start, evaluation);
  const at::Tensor first = layer->forward(x, b.graph_start, one);
  EXPECT_GT(support::distance(plain, first), 1e-3);
  EXPECT_GT(support::distance(first, layer->forward(x, b.graph_start, two)), 1e-3);
}

}  // namespace
}  // namespace gtrain
