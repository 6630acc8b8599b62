#include "gtrain/sparsify/hard_concrete.h"

#include "support/layer_case.h"

namespace gtrain::sparsify {
namespace {

TEST(HardConcrete, IsOneUntilItWakes) {
  const auto gate = support::ready(std::make_shared<HardConcrete>(3));
  EXPECT_EQ(gate->value(support::context(true)).min().item<double>(), 1);
  EXPECT_FALSE(gate->value(support::context(true)).requires_grad());
}

TEST(HardConcrete, DrawsFromItsDistribution) {
  const auto gate = support::ready(std::make_shared<HardConcrete>(20000));
  gate->wake();
  const at::NoGradGuard guard;
  gate->log_alpha.fill_(0.003);
  const at::Tensor z = gate->value(support::context(true, 5));
  EXPECT_GE(z.min().item<double>(), 0);
  EXPECT_LE(z.max().item<double>(), 1);
  const double open = (z > 0).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(open, gate->expected()[0].item<double>(), 0.01);
}

TEST(HardConcrete, HasAGradientInTrainingAndIsFixedInEvaluation) {
  const auto gate = support::ready(std::make_shared<HardConcrete>(50));
  gate->wake();
  {
    const at::NoGradGuard guard;
    gate->log_alpha.fill_(0.0);
  }
  gate->value(support::context(true)).sum().backward();
  EXPECT_GT(gate->log_alpha.grad().abs().max().item<double>(), 0);
  EXPECT_TRUE(support::same_bits(gate->value(support::context(false, 1)),
                                 gate->value(support::context(false, 2))));
  EXPECT_NEAR(gate->value(support::context(false))[0].item<double>(), 0.5, 1e-12);
}

TEST(HardConcrete, SettlesForGood) {
  const auto gate = support::ready(std::make_shared<HardConcrete>(3));
  gate->wake();
  gate->settle(at::tensor({1.0, 0.0, 1.0}));
  EXPECT_TRUE(gate->settled());
  EXPECT_TRUE(at::equal(gate->value(support::context(true)).to(at::kDouble),
                        at::tensor({1.0, 0.0, 1.0}, at::kDouble)));
}

}  // namespace
}  // namespace gtrain::sparsify
