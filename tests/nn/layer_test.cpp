#include "gtrain/nn/layer.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Context, KeysDifferFromCallToCallAndRepeatWithTheStep) {
  nn::Context a = support::context(true, 5), b = support::context(true, 5);
  const std::uint64_t first = a.next_key(), second = a.next_key();
  EXPECT_NE(first, second);
  EXPECT_EQ(b.next_key(), first);
  EXPECT_EQ(b.next_key(), second);
}

TEST(Context, ReplaysMasksInOrderAndRefusesOneTooMany) {
  const std::vector<at::Tensor> masks{at::zeros({1}), at::ones({1})};
  nn::Context c = support::context(true);
  EXPECT_EQ(c.next_mask(), nullptr);
  c.masks = &masks;
  EXPECT_EQ(c.next_mask()->item<double>(), 0);
  EXPECT_EQ(c.next_mask()->item<double>(), 1);
  EXPECT_THROW(c.next_mask(), c10::Error);
}

TEST(Drop, DoesNothingInEvaluationAndReplaysAMask) {
  const at::Tensor x = at::ones({2, 2});
  nn::Context evaluation = support::context(false);
  EXPECT_EQ(support::distance(nn::drop(x, 0.5, evaluation), x), 0);
  const std::vector<at::Tensor> masks{at::eye(2, at::kByte)};
  nn::Context training = support::context(true);
  training.masks = &masks;
  EXPECT_EQ(support::distance(nn::drop(x, 0.5, training, x), x + 2 * at::eye(2)), 0);
}

TEST(Draw, MomentsAndBoundsAreTheDistributions) {
  const at::Tensor t = at::empty({200, 500});
  base::Random random(7);
  nn::draw_uniform(t, 0.3, random);
  EXPECT_LE(t.abs().max().item<double>(), 0.3);
  EXPECT_NEAR(t.std().item<double>(), 0.3 / std::sqrt(3), 0.3 * 5 / std::sqrt(2e5));
  nn::draw_normal(t, 2.0, random);
  EXPECT_NEAR(t.std().item<double>(), 2.0, 2.0 * 5 / std::sqrt(2e5));
  EXPECT_NEAR(t.mean().item<double>(), 0.0, 2.0 * 5 / std::sqrt(1e5));
}

}  // namespace
}  // namespace gtrain
