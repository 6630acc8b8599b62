#include "gtrain/sparsify/weight_mask.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace gtrain::sparsify {
namespace {

std::int64_t living(const Masked& part) { return part.mask.sum().item<std::int64_t>(); }

std::vector<WeightMask::Group> matrices() {
  at::manual_seed(1);
  std::vector<WeightMask::Group> out;
  for (const auto& [name, rows] : {std::pair{"a", 6}, {"b", 24}}) {
    out.push_back({name, {{name, at::randn({rows, 8}), {}}}});
  }
  return out;
}

WeightRule rule(const char* method, const char* structure = "none", const char* scope = "layer") {
  WeightRule r;
  r.method = method;
  r.structure = structure;
  r.scope = scope;
  return r;
}

at::Tensor no_gradient(const std::string&) { return {}; }

TEST(WeightMask, EachMatrixHasTheDensityToOneWeight) {
  for (const double density : {0.9, 0.5, 0.37, 0.25, 0.001}) {
    WeightMask mask(rule("gmp"), matrices());
    mask.prune(density);
    for (const auto& g : mask.groups()) {
      const double want = density * static_cast<double>(g.parts[0].value.numel());
      EXPECT_LE(std::abs(static_cast<double>(living(g.parts[0])) - want), 1.0) << density;
      EXPECT_GE(living(g.parts[0]), 1);
    }
  }
}

TEST(WeightMask, TheSmallestDieAndStayDead) {
  WeightMask mask(rule("gmp"), matrices());
  mask.prune(0.5);
  const Masked& part = mask.groups()[0].parts[0];
  const at::Tensor values = part.value.abs();
  const at::Tensor lives = part.mask > 0;
  EXPECT_EQ(values.masked_select(lives.logical_not()).max().item<double>(), 0);
  const at::Tensor before = part.mask.clone();
  part.value.add_(1);  // what an optimizer might do
  mask.prune(0.5);
  EXPECT_TRUE(at::equal(part.mask, before));
  EXPECT_EQ(part.value.masked_select(lives.logical_not()).abs().max().item<double>(), 0);
}

TEST(WeightMask, GlobalDensityHoldsOverAllMatricesTogether) {
  WeightMask mask(rule("gmp", "none", "global"), matrices());
  mask.groups()[1].parts[0].value.mul_(100);
  mask.prune(0.5);
  EXPECT_DOUBLE_EQ(mask.density(), 0.5);
  EXPECT_LT(living(mask.groups()[0].parts[0]), 6 * 8 / 2);
  EXPECT_GE(living(mask.groups()[0].parts[0]), 1);
}

TEST(WeightMask, ExchangeKeepsTheCountAndFollowsTheGradient) {
  WeightMask mask(rule("granet"), matrices());
  mask.prune(0.5);
  const Masked& part = mask.groups()[0].parts[0];
  const at::Tensor before = part.mask.clone(), values = part.value.clone();
  const at::Tensor slope = at::rand({6, 8});
  mask.exchange(
      0.25,
      [&](const std::string& name) {
        return name == "a" ? slope : at::zeros({24, 8});
      },
      0);
  EXPECT_EQ(living(part), 24);
  // 18 stay, whatever their gradient; of the other 30, dead before or just now, the 6 steepest
  // live.
  const at::Tensor stay = values.abs() >= std::get<0>(values.abs().view({-1}).topk(18))[17];
  const at::Tensor others = slope.masked_fill(stay, -1);
  const at::Tensor born = others >= std::get<0>(others.view({-1}).topk(6))[5];
  EXPECT_TRUE(at::equal(part.mask > 0, stay.logical_or(born)));
  const at::Tensor old = (part.mask > 0).logical_and(before > 0);
  EXPECT_TRUE(at::equal(part.value.masked_select(old), values.masked_select(old)));
  EXPECT_EQ(part.value.masked_select(old.logical_not()).abs().max().item<double>(), 0);
}

TEST(WeightMask, WhatHasJustDiedComesBackWhereItsGradientIsTheLargest) {
  for (const char* structure : {"none", "2:4"}) {
    WeightMask mask(rule("granet", structure), matrices());
    mask.prune(0.5);
    const at::Tensor before = mask.groups()[0].parts[0].value.clone();
    const auto slope = [&](const std::string& name) {
      return mask.groups()[name == "a" ? 0 : 1].parts[0].mask.clone();
    };
    mask.exchange(0.25, slope, 0);
    EXPECT_TRUE(at::equal(mask.groups()[0].parts[0].value, before)) << structure;
  }
}

TEST(WeightMask, ADenseMatrixExchangesNothing) {
  WeightMask mask(rule("granet"), matrices());
  mask.exchange(0.5, no_gradient, 0);
  EXPECT_EQ(mask.density(), 1);
  EXPECT_GT(mask.groups()[0].parts[0].value.abs().min().item<double>(), 0);
}

TEST(WeightMask, RandomChoicesAreAFunctionOfTheKey) {
  WeightMask one(rule("set"), matrices()), two(rule("set"), matrices());
  one.draw(0.3, 5);
  two.draw(0.3, 5);
  one.exchange(0.5, no_gradient, 6);
  two.exchange(0.5, no_gradient, 6);
  EXPECT_TRUE(at::equal(one.groups()[1].parts[0].mask, two.groups()[1].parts[0].mask));
  EXPECT_EQ(living(one.groups()[1].parts[0]), std::llround(0.3 * 24 * 8));
}

TEST(WeightMask, TwoOfFourNeighboursStay) {
  WeightMask mask(rule("granet", "2:4"), matrices());
  mask.prune(0.75);
  EXPECT_EQ(living(mask.groups()[0].parts[0]), 36);
  mask.prune(0.5);
  const Masked& part = mask.groups()[1].parts[0];
  EXPECT_TRUE((part.mask.view({-1, 4}).sum(1) == 2).all().item<bool>());
  const at::Tensor before = part.mask.clone();
  const auto slope = [&](const std::string& name) {
    return 1 - mask.groups()[name == "a" ? 0 : 1].parts[0].mask;  // of the dead alone
  };
  mask.exchange(0.5, slope, 0);
  EXPECT_TRUE((part.mask.view({-1, 4}).sum(1) == 2).all().item<bool>());
  EXPECT_EQ((part.mask != before).sum().item<std::int64_t>(), 48);  // 24 quads, two places each
}

TEST(WeightMask, NeuronsDieWithRowBiasAndColumn) {
  at::manual_seed(2);
  WeightMask::Group block{"feed_0",
                          {{"feed_0.weight", at::randn({8, 4}), {}},
                           {"feed_0.bias", at::randn({8}), {}},
                           {"feed_1.weight", at::randn({4, 8}), {}}}};
  const at::Tensor norm = (block.parts[0].value.pow(2).sum(1) + block.parts[1].value.pow(2) +
                           block.parts[2].value.pow(2).sum(0));
  WeightMask mask(rule("gmp", "neuron"), {block});
  mask.prune(0.25);
  const auto& parts = mask.groups()[0].parts;
  EXPECT_EQ(parts[1].mask.sum().item<std::int64_t>(), 2);
  EXPECT_TRUE(at::equal(parts[0].mask.select(1, 0), parts[1].mask));
  EXPECT_TRUE(at::equal(parts[2].mask.select(0, 3), parts[1].mask));
  const at::Tensor lives = parts[1].mask > 0;
  EXPECT_GE(norm.masked_select(lives).min().item<double>(),
            norm.masked_select(lives.logical_not()).max().item<double>());
}

TEST(WeightMask, ErkGivesSmallMatricesMoreAndTheRightSum) {
  const std::vector<std::pair<std::int64_t, std::int64_t>> shapes{{4, 4}, {64, 64}, {16, 128}};
  const std::vector<double> each = erk_densities(shapes, 0.2);
  double kept = 0, all = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const double n = static_cast<double>(shapes[i].first * shapes[i].second);
    kept += each[i] * n;
    all += n;
    EXPECT_LE(each[i], 1);
  }
  EXPECT_NEAR(kept / all, 0.2, 1e-12);
  EXPECT_GT(each[0], each[1]);
}

// Strictly above the threshold: one less than the count that was asked for.
TEST(WeightMask, TheAuthorsPruneOneMore) {
  WeightMask mask(rule("granet", "none", "global"), matrices());
  mask.prune_as_reference(0.5);
  EXPECT_EQ(living(mask.groups()[0].parts[0]) + living(mask.groups()[1].parts[0]), 119);
}

}  // namespace
}  // namespace gtrain::sparsify
