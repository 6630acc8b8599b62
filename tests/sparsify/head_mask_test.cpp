#include "gtrain/sparsify/head_mask.h"

#include "support/layer_case.h"

namespace gtrain::sparsify {
namespace {

class HeadMaskOf : public ::testing::Test {
 protected:
  HeadMaskOf() {
    layer = support::ready(std::make_shared<nn::Attention>(8, 4, 0.0));
    gate = std::make_shared<HeadMask>(4, false);
    gate->to(at::kDouble);
  }
  at::Tensor run(bool training) {
    nn::Context context = support::context(training);
    return layer->forward({.x = x, .graph_start = start}, context);
  }
  std::shared_ptr<nn::Attention> layer;
  std::shared_ptr<HeadMask> gate;
  at::Tensor start = at::tensor({0, 5, 7}, at::kLong);
  at::Tensor x = at::randn({7, 8}, at::kDouble);
};

TEST_F(HeadMaskOf, AllHeadsAliveIsTheDenseLayerToTheBit) {
  const at::Tensor dense = run(true);
  layer->head_gate = gate;
  gate->watch(true);
  EXPECT_TRUE(support::same_bits(run(true), dense));
}

TEST_F(HeadMaskOf, ADeadHeadIsColumnsOfTheOutputProjectionMissing) {
  layer->head_gate = gate;
  gate->mask[1].fill_(0);
  const at::Tensor got = run(false);
  layer->head_gate = nullptr;
  {
    const at::NoGradGuard guard;
    layer->out_weight.slice(1, 2, 4).zero_();
  }
  EXPECT_LT(support::distance(got, run(false)), 1e-14);
}

TEST_F(HeadMaskOf, ImportanceIsThatOfAFactorOnTheHead) {
  layer->head_gate = gate;
  gate->watch(true);
  run(true).pow(2).sum().backward();
  // |d loss / d factor| of one graph alone, where the mean over graphs has one term.
  start = at::tensor({0, 7}, at::kLong);
  gate->death.zero_();
  run(true).pow(2).sum().backward();
  const auto loss = [&](double factor) {
    gate->watch(false);
    gate->mask[2].fill_(factor);
    const double value = run(false).pow(2).sum().item<double>();
    gate->mask[2].fill_(1);
    return value;
  };
  const double slope = (loss(1 - 1e-6) - loss(1 - 3e-6)) / 2e-6;
  EXPECT_NEAR(gate->death[2].item<double>(), std::abs(slope), 1e-3 * std::abs(slope));
}

TEST_F(HeadMaskOf, TheLeastImportantDieAndTheSteepestComeBack) {
  gate->death.copy_(at::tensor({4.0, 1.0, 3.0, 2.0}, at::kDouble));
  gate->growth.fill_(1);
  gate->change(0.5, 0, 0);
  EXPECT_EQ(gate->alive(), (std::vector<std::int64_t>{0, 2}));
  gate->death.copy_(at::tensor({4.0, 1.0, 3.0, 2.0}, at::kDouble));
  gate->growth.copy_(at::tensor({1.0, 9.0, 1.0, 2.0}, at::kDouble));
  gate->change(0.5, 0.5, 0);
  EXPECT_EQ(gate->alive(), (std::vector<std::int64_t>{0, 1}));
}

TEST_F(HeadMaskOf, WithoutImportanceTheKeyDecides) {
  gate->change(0.5, 0, 3);
  const auto first = gate->alive();
  EXPECT_EQ(first.size(), 2);
  gate->mask.fill_(1);
  gate->change(0.5, 0, 3);
  EXPECT_EQ(gate->alive(), first);
}

TEST(HeadMask, KeepsTheNearestCountAndAtLeastOne) {
  EXPECT_EQ(kept_heads(0.5, 4), 2);
  EXPECT_EQ(kept_heads(0.1, 4), 1);
  EXPECT_EQ(kept_heads(0.75, 8), 6);
}

TEST_F(HeadMaskOf, LearnedGatesScaleHeads) {
  const auto learned = std::make_shared<HeadConcrete>(4);
  learned->to(at::kDouble);
  const at::Tensor dense = run(true);
  layer->head_gate = learned;
  EXPECT_TRUE(support::same_bits(run(true), dense));
  learned->wake();
  {
    const at::NoGradGuard guard;
    learned->log_alpha.fill_(0.0);
  }
  run(true).pow(2).sum().backward();
  EXPECT_GT(learned->log_alpha.grad().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace gtrain::sparsify
