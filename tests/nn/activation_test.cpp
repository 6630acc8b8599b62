#include "gtrain/nn/activation.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Activation, NamesAreTheRecipes) {
  const at::Tensor x = at::tensor({-1.0, 0.5}, at::kDouble);
  EXPECT_EQ(support::distance(nn::activate(x, nn::activation_named("relu")), at::relu(x)), 0);
  const at::Tensor gelu = x * 0.5 * (1 + at::erf(x / std::sqrt(2.0)));
  EXPECT_LT(support::distance(nn::activate(x, nn::activation_named("gelu")), gelu), 1e-14);
  EXPECT_THROW(nn::activation_named("tanh"), c10::Error);
  EXPECT_EQ(nn::script_of(nn::Activation::kGelu, "h"), "torch.gelu(h)");
}

TEST(Activation, WithDropoutAndResidualIsTheSameApart) {
  const at::Tensor x = at::randn({30, 7}, at::kDouble), r = at::randn({30, 7}, at::kDouble);
  for (const auto kind : {nn::Activation::kRelu, nn::Activation::kGelu}) {
    for (const bool training : {false, true}) {
      nn::Context one = support::context(training), two = support::context(training);
      const at::Tensor want = nn::drop(nn::activate(x, kind), 0.4, one, r);
      EXPECT_LT(support::distance(nn::activate(x, kind, 0.4, two, r), want), 1e-13);
    }
  }
}

TEST(Activation, ReplaysARecordedMask) {
  const at::Tensor x = at::ones({2, 3}, at::kDouble);
  const std::vector<at::Tensor> masks{at::tensor({1, 0, 1, 0, 0, 1}, at::kByte).view({2, 3})};
  nn::Context context = support::context(true);
  context.masks = &masks;
  const at::Tensor y = nn::activate(x, nn::Activation::kRelu, 0.5, context);
  EXPECT_EQ(support::distance(y, 2 * masks[0].to(at::kDouble)), 0);
}

}  // namespace
}  // namespace gtrain
