#include "gtrain/nn/gat.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

// Node by node: edges without loops, then one loop with their mean edge vector.
at::Tensor plain_gat(const nn::Gat& layer, const support::EdgeBatch& b, const at::Tensor& x,
                     const at::Tensor& e) {
  const std::int64_t heads = layer.attend_source.size(1), c = layer.attend_source.size(2);
  const at::Tensor h = at::matmul(x, layer.weight.t()).view({-1, heads, c});
  at::Tensor out = at::zeros({b.nodes, heads * c}, at::kDouble);
  for (std::int64_t i = 0; i < b.nodes; ++i) {
    const at::Tensor in =
        at::nonzero((b.edges.target == i).logical_and(b.edges.source != i)).view(-1);
    const at::Tensor from = b.edges.source.index_select(0, in), own = e.index_select(0, in);
    const at::Tensor mean =
        in.numel() > 0 ? own.mean(0, true) : at::zeros({1, e.size(1)}, at::kDouble);
    const at::Tensor rows = at::cat({h.index_select(0, from), h[i].unsqueeze(0)});
    const at::Tensor edge =
        at::matmul(at::cat({own, mean}), layer.edge_weight.t()).view({-1, heads, c});
    const at::Tensor score =
        (rows * layer.attend_source + h[i] * layer.attend_target + edge * layer.attend_edge).sum(2);
    const at::Tensor weight = at::softmax(at::leaky_relu(score, 0.2), 0);
    out[i] = (weight.unsqueeze(2) * rows).sum(0).view(-1) + layer.bias;
  }
  return out;
}

TEST(Gat, AttendsToSourcesAndToTheNodeItselfOnOddGraphs) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Gat>(6, 3));
  const at::Tensor x = at::randn({b.nodes, 6}, at::kDouble).requires_grad_();
  const at::Tensor e = at::randn({b.edges.count(), 6}, at::kDouble).requires_grad_();
  nn::Context c = support::context(false);
  const at::Tensor got = layer->forward({x, e, b.edges, {}}, c).first;
  const at::Tensor want = plain_gat(*layer, b, x, e);
  EXPECT_LT(support::distance(got, want), 1e-12);

  std::vector<at::Tensor> leaves = layer->parameters();
  leaves.insert(leaves.end(), {x, e});
  const auto slopes = [&](const at::Tensor& out) {
    return torch::autograd::grad({out.sin().sum()}, leaves);
  };
  const auto got_slopes = slopes(got), want_slopes = slopes(want);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_LT(support::distance(got_slopes[i], want_slopes[i]), 1e-11) << i;
  }
}

TEST(Gat, KeepsItsWeightsFiniteWhereScoresAreFarFromZero) {
  const auto b = support::pack({support::edgeless(1), support::directed_path(2)});
  const auto layer = support::ready(std::make_shared<nn::Gat>(4, 2));
  const at::Tensor e = at::full({1, 4}, 1e4, at::kDouble);
  nn::Context c = support::context(false);
  const at::Tensor x = at::full({3, 4}, -1e5, at::kDouble);
  EXPECT_TRUE(layer->forward({x, e, b.edges, {}}, c).first.isfinite().all().item<bool>());
  EXPECT_TRUE(layer->forward({-x, e, b.edges, {}}, c).first.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace gtrain
