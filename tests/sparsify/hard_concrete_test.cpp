#include "gtrain/sparsify/hard_concrete.h"

#include <fmt/format.h>

#include <tuple>
#include <vector>

#include "gtrain/sparsify/branch_drop.h"
#include "sparsify/training.h"
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

// P(open) of all gates, on average.
double openness(torch::nn::Module& net) {
  std::vector<at::Tensor> all;
  net.apply([&](torch::nn::Module& module) {
    if (auto* gate = dynamic_cast<HardConcrete*>(&module)) all.push_back(gate->expected());
  });
  return at::cat(all).mean().item<double>();
}

// Columns [first, last) of an attention's output projection add noise to what shall be learned, the
// others say three times as much as they did.
void disturb(Training& run, const std::vector<std::tuple<std::string, int, int>>& places) {
  const at::NoGradGuard guard;
  auto p = run.net.named_parameters();
  for (const char* layer : {"layer_0", "layer_1"}) {
    p[std::string(layer) + ".attention.out_weight"].mul_(3);
  }
  for (const auto& [layer, first, last] : places) {
    p[layer + ".attention.out_weight"].slice(1, first, last).zero_();
  }
  run.aim_at_itself();
  for (const auto& [layer, first, last] : places) {
    p[layer + ".attention.out_weight"].slice(1, first, last).normal_(0, 2);
  }
  run.only_gates = true;
}

TEST(LearnedGates, CloseWhatIsNoise) {
  at::manual_seed(1);
  const Clock clock{4, 400, 7};
  LayerRule layers;
  layers.method = "learned";
  HeadRule heads;
  heads.method = "l0";
  for (const int noisy : {0, 1}) {
    SCOPED_TRACE(noisy);
    Training branches(during(layers, 0.5, 2, 300), clock), l0(during(heads, 0.5, 2, 300), clock);
    const std::string layer = fmt::format("layer_{}", noisy);
    disturb(branches, {{layer, 0, 8}});
    disturb(l0, {{"layer_0", 4 * noisy, 4 * noisy + 4}, {"layer_1", 4 * noisy, 4 * noisy + 4}});
    for (Training* run : {&branches, &l0}) {
      for (int i = 0; i < 299; ++i) run->step();
      EXPECT_NEAR(openness(run->net), 0.5, 0.1);
      run->step();
    }
    for (const int l : {0, 1}) {
      const std::string attention = fmt::format("layer_{}.attention.", l);
      const auto open = [&](Training& run, const char* gate) {
        return run.everything().at(attention + gate + ".open");
      };
      EXPECT_EQ(open(branches, "branch_gate").item<double>(), l == noisy ? 0 : 1);
      EXPECT_EQ(open(l0, "head_gate")[noisy].item<double>(), 0);
    }
  }
}

TEST(LearnedGates, OfDearBranchesWeighMore) {
  LayerRule layers;
  layers.method = "learned";
  layers.branches = "all";
  layers.costs = {5, 1, 2, 2};
  layers.penalty = 10;
  const auto share = [&](Training& run, const auto& open_of) {
    double open = 0;
    std::size_t i = 0;
    for (const Branch& branch : branches(run.net, layers)) {
      open += layers.costs[i++] * open_of(dynamic_cast<const BranchConcrete&>(**branch.gate));
    }
    return open / 10;
  };
  Training run(during(layers, 0.5, 2, 60), Clock{4, 80, 7});
  for (int i = 0; i < 59; ++i) run.step();
  const double expected =
      share(run, [](const auto& gate) { return gate.expected().template item<double>(); });
  EXPECT_NEAR(expected, 0.5, 0.1);
  run.step();
  const double open =
      share(run, [](const auto& gate) { return gate.open.template item<double>(); });
  EXPECT_EQ(open, 0.5) << "every order fills it";
  Training little(during(layers, 0.01, 2, 60), Clock{4, 80, 7});
  for (int i = 0; i < 60; ++i) little.step();
  EXPECT_EQ(share(little, [](const auto& gate) { return gate.open.template item<double>(); }), 0.1)
      << "the cheapest stays";
}

}  // namespace
}  // namespace gtrain::sparsify
