#include "gtrain/nn/graphormer_layer.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

at::Tensor run(bool norm_first, const at::Tensor& table, double dropout = 0,
               std::uint64_t key = 1) {
  const auto layer = support::ready(std::make_shared<nn::GraphormerLayer>(
      nn::GraphormerLayerShape{8, 12, 2, norm_first, dropout, dropout, dropout}));
  nn::GlobalInput input{at::arange(40, at::kDouble).view({5, 8}).sin(),
                        at::tensor({0, 2, 5}, at::kLong)};
  input.bias.hops = at::zeros({13}, at::kByte);
  input.bias.hops[1] = 1;
  input.bias.table = table;
  nn::Context context = support::context(dropout > 0, key);
  return layer->forward(input, context);
}

TEST(GraphormerLayer, NormalisesItsOutputOnlyWithTheNormAfterTheBlocks) {
  const at::Tensor none = at::zeros({2, 2}, at::kDouble);
  EXPECT_LT(run(false, none).mean(1).abs().max().item<double>(), 1e-12);
  EXPECT_GT(run(true, none).mean(1).abs().max().item<double>(), 1e-3);
}

TEST(GraphormerLayer, ReadsTheBiasOfTheGraphThatHasIt) {
  const at::Tensor none = at::zeros({2, 2}, at::kDouble);
  const at::Tensor some = at::tensor({0.0, 0.0, 2.0, -1.0}, at::kDouble).view({2, 2});
  const at::Tensor change = (run(true, some) - run(true, none)).abs().amax(1);
  EXPECT_GT(change[0].item<double>(), 1e-4);
  EXPECT_EQ(change.slice(0, 1).max().item<double>(), 0.0);
}

TEST(GraphormerLayer, DropsAsAFunctionOfTheKey) {
  const at::Tensor none = at::zeros({2, 2}, at::kDouble);
  EXPECT_TRUE(support::same_bits(run(true, none, 0.4, 3), run(true, none, 0.4, 3)));
  EXPECT_GT(support::distance(run(true, none, 0.4, 3), run(true, none, 0.4, 4)), 1e-3);
}

}  // namespace
}  // namespace gtrain
