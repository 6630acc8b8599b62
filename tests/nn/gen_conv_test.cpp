#include "gtrain/nn/gen_conv.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(GenConv, MixesMessagesBySoftmaxOfThemselves) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::GenConv>(4));
  const auto p = layer->named_parameters();
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 4}, at::kDouble);
  at::Tensor sum = x.clone();
  for (std::int64_t i = 0; i < b.nodes; ++i) {
    const at::Tensor in = at::nonzero(b.edges.target == i).view(-1);
    if (in.numel() == 0) continue;
    const at::Tensor message =
        at::relu(x.index_select(0, b.edges.source.index_select(0, in)) + e.index_select(0, in)) +
        1e-7;
    sum[i] += (at::softmax(message, 0) * message).sum(0);
  }
  // Fresh running statistics: mean 0, variance 1.
  const at::Tensor hidden = at::relu(at::matmul(sum, p["mlp_0.weight"].t()) / std::sqrt(1 + 1e-5));
  nn::Context c = support::context(false);
  const auto [h, out_e] = layer->forward({x, e, b.edges, {}}, c);
  EXPECT_LT(support::distance(h, at::matmul(hidden, p["mlp_1.weight"].t())), 1e-12);
  EXPECT_TRUE(out_e.is_same(e));
}

}  // namespace
}  // namespace gtrain
