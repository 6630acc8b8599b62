#include "gtrain/sparsify/budget.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {
namespace {

// Two attentions of two heads, four branches. Costs as if tokens removed 0.4 of everything at
// most, heads and branches 0.2 each, weights 0.6.
double left(const std::vector<Rule>& rules) {
  constexpr double kShare[] = {0.4, 0.2, 0.2, 0.6};
  double out = 1;
  for (const Rule& rule : rules) out *= 1 - kShare[rule.index()] * (1 - *timing_of(rule).keep);
  return out;
}

Options spent(double flops, std::vector<Rule> rules) {
  SmallNet net;
  Options options;
  options.flops = flops;
  options.rules = std::move(rules);
  return spend(options, net, left);
}

double keep_of(const Options& o, std::size_t i) { return *timing_of(o.rules[i]).keep; }

LayerRule learned() {
  LayerRule rule;
  rule.method = "learned";
  return rule;
}

LayerRule all_branches() {
  LayerRule rule = learned();
  rule.branches = "all";
  return rule;
}

TEST(Budget, MeetsTheShareWithTheSmallestCut) {
  for (const double share : {0.95, 0.8, 0.6, 0.45}) {
    const Options got = spent(share, {TokenRule(), WeightRule()});
    EXPECT_FALSE(got.flops);
    EXPECT_LE(left(got.rules), share + 1e-9);
    EXPECT_GT(left(got.rules), share - 1e-3);
    EXPECT_EQ(keep_of(got, 0), keep_of(got, 1)) << "they move together";
  }
}

TEST(Budget, KeepBesideItIsTheMostThatIsLeft) {
  WeightRule weights;
  weights.timing.keep = 0.5;
  const Options enough = spent(0.7, {TokenRule(), weights});
  EXPECT_EQ(keep_of(enough, 0), 1);
  EXPECT_EQ(keep_of(enough, 1), 0.5);
  const Options more = spent(0.5, {TokenRule(), weights});
  EXPECT_LT(keep_of(more, 0), 1);
  EXPECT_LT(keep_of(more, 1), 0.5);
}

TEST(Budget, WhatSavesNothingOrCannotGoFurtherStays) {
  WeightRule fours;
  fours.structure = "2:4";
  LayerRule drop;
  drop.timing.keep = 0.8;
  const Options got = spent(0.7, {fours, drop});
  EXPECT_EQ(keep_of(got, 0), 0.5);
  EXPECT_EQ(keep_of(got, 1), 0.8);
  EXPECT_THROW(spent(0.5, {fours, drop}), base::RecipeError);
}

TEST(Budget, ARuleThatRemovesNothingIsLeftOut) {
  const Options got = spent(0.9, {HeadRule(), learned(), WeightRule()});
  EXPECT_EQ(keep_of(got, 0), 1) << "two heads: only one less would be something";
  EXPECT_EQ(keep_of(got, 1), 1);
  EXPECT_LT(keep_of(got, 2), 1);
}

TEST(Budget, SaysWhatIsReachableWhereItIsNot) {
  HeadRule heads;
  heads.timing.keep = 0.5;
  try {
    spent(0.6, {heads});
    FAIL();
  } catch (const base::RecipeError& e) {
    EXPECT_NE(std::string(e.what()).find("leave 0.810"), std::string::npos) << e.what();
  }
}

// What is left of a net whose attentions and feed-forward blocks cost `kPrices` of it, 0.4 the
// rest; gates as far open as `logits` say.
double left_of_branches(const std::vector<Rule>& rules, const std::vector<double>& logits) {
  constexpr double kPrices[] = {0.05, 0.2, 0.1, 0.25};
  SmallNet net;
  Options options;
  options.rules = rules;
  for (Rule& rule : options.rules) timing_of(rule).start = timing_of(rule).end = 0;
  attach(net, options);
  const at::NoGradGuard guard;
  std::vector<BranchConcrete*> gates;
  for (const Branch& branch : branches(net, all_branches())) {
    gates.push_back(dynamic_cast<BranchConcrete*>(branch.gate->get()));
    if (gates.back() != nullptr) gates.back()->log_alpha.fill_(logits[gates.size() - 1]);
  }
  Sparsity(net, options, {}).begin(0);
  double out = 0.4, others = 1;
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const bool open = gates[i] == nullptr || gates[i]->open.item<float>() == 1;
    if (open) out += kPrices[i];
  }
  for (const Rule& rule : rules) {
    if (std::holds_alternative<WeightRule>(rule)) others = 0.5 + 0.5 * *timing_of(rule).keep;
  }
  return out * others;
}

TEST(Budget, IsMetByWhicheverBranchesTheGatesClose) {
  SmallNet net;
  const std::vector<double> alike(4, 0.015);
  const Left left_now = [&](const std::vector<Rule>& rules) {
    return left_of_branches(rules, alike);
  };
  for (const bool weights : {false, true}) {
    for (const double flops : {0.9, 0.8, 0.7, 0.6, 0.5}) {
      Options asked;
      asked.flops = flops;
      asked.rules = {all_branches()};
      if (weights) asked.rules.emplace_back(WeightRule());
      const Options got = spend(asked, net, left_now);
      const auto& layers = std::get<LayerRule>(got.rules[0]);
      if (keep_of(got, 0) < 1) ASSERT_EQ(layers.costs.size(), 4u);
      base::Random random(base::key(7, base::Purpose::kInit));
      for (int draw = 0; draw < 40; ++draw) {
        std::vector<double> logits;
        for (int i = 0; i < 4; ++i) logits.push_back(random.uniform() - 0.5);
        const double left = left_of_branches(got.rules, logits);
        EXPECT_LE(left, flops + 1e-12) << weights;
        EXPECT_GT(left, flops - 0.25) << "a branch more would have fit";
      }
    }
  }
}

TEST(Budget, MostBesideItHoldsForCostsToo) {
  SmallNet net;
  const std::vector<double> alike(4, 0.015);
  LayerRule layers = all_branches();
  layers.timing.keep = 0.5;
  Options asked;
  asked.flops = 0.95;
  asked.rules = {layers};
  const Options got = spend(
      asked, net, [&](const std::vector<Rule>& rules) { return left_of_branches(rules, alike); });
  EXPECT_EQ(keep_of(got, 0), 0.5);
}

TEST(Budget, AMostBelowTheStepIsTheStep) {
  SmallNet net;
  LayerRule layers = all_branches();
  layers.timing.keep = 1e-5;
  Options asked;
  asked.flops = 0.9;
  asked.rules = {layers};
  const std::vector<double> alike(4, 0.015);
  const Options got = spend(
      asked, net, [&](const std::vector<Rule>& rules) { return left_of_branches(rules, alike); });
  EXPECT_LE(keep_of(got, 0), 1e-4);
}

TEST(Budget, WithoutOneNothingChanges) {
  SmallNet net;
  Options options = one_rule(HeadRule(), 0.5);
  const Left never = [](const std::vector<Rule>&) -> double { throw std::logic_error("asked"); };
  EXPECT_EQ(keep_of(spend(options, net, never), 0), 0.5);
  EXPECT_NO_THROW(check_reachable(options, net, never));
}

}  // namespace
}  // namespace gtrain::sparsify
