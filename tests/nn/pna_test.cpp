#include "gtrain/nn/pna.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Pna, JoinsMeanMaximumAndSumOfTheMessages) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(std::make_shared<nn::Pna>(4, 3));
  const auto p = layer->named_parameters();
  const auto apply = [&](const std::string& name, const at::Tensor& rows) {
    return at::matmul(rows, p[name + ".weight"].t()) + p[name + ".bias"];
  };
  const at::Tensor x = at::randn({b.nodes, 4}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 3}, at::kDouble);
  const at::Tensor message =
      apply("pre", at::cat({x.index_select(0, b.edges.target), x.index_select(0, b.edges.source),
                            apply("edge", e)},
                           1));
  at::Tensor all = at::zeros({b.nodes, 12}, at::kDouble);
  for (std::int64_t i = 0; i < b.nodes; ++i) {
    const at::Tensor in = message.index_select(0, at::nonzero(b.edges.target == i).view(-1));
    if (in.size(0) > 0) all[i] = at::cat({in.mean(0), std::get<0>(in.max(0)), in.sum(0)});
  }
  nn::Context c = support::context(false);
  EXPECT_LT(support::distance(layer->forward({x, e, b.edges, {}}, c).first,
                              apply("out", apply("post", at::cat({x, all}, 1)))),
            1e-12);
}

}  // namespace
}  // namespace gtrain
