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

}  // namespace
}  // namespace gtrain
