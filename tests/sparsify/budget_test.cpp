#include "gtrain/sparsify/budget.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"

namespace gtrain::sparsify {
namespace {

Costs costs() {
  Costs c;
  c.attentions = {{60, 20, 4}, {60, 20, 4}};
  c.feed = 100;
  c.products = 40;
  c.rest = 20;
  c.sizes = {10, 20};
  return c;
}

Options budget(double flops, std::vector<Rule> rules) {
  return {.flops = flops, .rules = std::move(rules)};
}

double keep_of(const Options& o, std::size_t i) { return *timing_of(o.rules[i]).keep; }

LayerRule learned() {
  LayerRule rule;
  rule.method = "learned";
  return rule;
}

TEST(Budget, PredictsWhatEachRuleRemoves) {
  EXPECT_DOUBLE_EQ(costs().dense(), 320);
  TokenRule tokens;
  tokens.timing.keep = 0.5;
  EXPECT_DOUBLE_EQ(predicted(costs(), {tokens}), 320 - 60 - 30);  // rows 1/2, pairs 1/4
  HeadRule heads;
  heads.timing.keep = 0.5;
  EXPECT_DOUBLE_EQ(predicted(costs(), {heads}), 320 - 80);
  LayerRule layers = learned();
  layers.timing.keep = 0.5;
  EXPECT_DOUBLE_EQ(predicted(costs(), {layers}), 320 - 80);
  layers.method = "drop_path";
  EXPECT_DOUBLE_EQ(predicted(costs(), {layers}), 320);
  WeightRule weights;
  weights.timing.keep = 0.5;
  EXPECT_DOUBLE_EQ(predicted(costs(), {weights}), 320 - 130);
  weights.structure = "neuron";
  EXPECT_DOUBLE_EQ(predicted(costs(), {weights}), 320 - 50);
}

TEST(Budget, MeetsTheShareWithTheSmallestCut) {
  for (const double share : {0.95, 0.8, 0.6, 0.4}) {
    const Options got = spend(budget(share, {TokenRule(), WeightRule()}), costs());
    EXPECT_FALSE(got.flops);
    const double left = predicted(costs(), got.rules) / costs().dense();
    EXPECT_LE(left, share + 1e-9);
    EXPECT_GT(left, share - 0.03);  // tokens come in whole nodes
  }
}

TEST(Budget, KeepBesideItIsTheMostThatIsLeft) {
  WeightRule weights;
  weights.timing.keep = 0.5;
  const Options enough = spend(budget(0.7, {TokenRule(), weights}), costs());
  EXPECT_EQ(keep_of(enough, 0), 1);
  EXPECT_EQ(keep_of(enough, 1), 0.5);
  const Options more = spend(budget(0.3, {TokenRule(), weights}), costs());
  EXPECT_LT(keep_of(more, 0), 1);
  EXPECT_LT(keep_of(more, 1), 0.5);
}

TEST(Budget, WhatSavesNothingOrCannotGoFurtherStays) {
  WeightRule fours;
  fours.structure = "2:4";
  LayerRule drop;
  drop.timing.keep = 0.8;
  const Options got = spend(budget(0.6, {fours, drop}), costs());
  EXPECT_EQ(keep_of(got, 0), 0.5);
  EXPECT_EQ(keep_of(got, 1), 0.8);
  EXPECT_THROW(spend(budget(0.5, {fours, drop}), costs()), base::RecipeError);
}

TEST(Budget, ARuleThatRemovesNothingIsLeftOut) {
  const Options got = spend(budget(0.95, {HeadRule(), learned(), WeightRule()}), costs());
  EXPECT_EQ(keep_of(got, 0), 1);
  EXPECT_EQ(keep_of(got, 1), 1);
  EXPECT_LT(keep_of(got, 2), 1);
}

TEST(Budget, SaysWhatIsReachableWhereItIsNot) {
  HeadRule heads;
  heads.timing.keep = 0.5;
  try {
    spend(budget(0.6, {heads}), costs());
    FAIL();
  } catch (const base::RecipeError& e) {
    EXPECT_NE(std::string(e.what()).find("leave 0.625"), std::string::npos) << e.what();
  }
}

TEST(Budget, WithoutOneNothingChanges) {
  Options options;
  options.rules = {HeadRule()};
  timing_of(options.rules[0]).keep = 0.5;
  EXPECT_EQ(keep_of(spend(options, costs()), 0), 0.5);
}

}  // namespace
}  // namespace gtrain::sparsify
