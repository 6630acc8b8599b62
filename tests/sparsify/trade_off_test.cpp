#include "gtrain/sparsify/trade_off.h"

#include <gtest/gtest.h>

#include <cmath>

#include "gtrain/base/error.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {
namespace {

// Two parts of 60 and 40. Tokens shrink the first, weights both.
const PartFlops kDense{{"attention", 60}, {"feed", 40}};

PartFlops parts(const Rule& rule) {
  const double keep = timing_of(rule).keep.value_or(1);
  if (std::holds_alternative<TokenRule>(rule)) return {{"attention", 60 * keep}, {"feed", 40}};
  return {{"attention", 60 * keep}, {"feed", 40 * keep}};
}

double left(const std::vector<Rule>& rules) {
  double attention = 60, feed = 40;
  for (const Rule& rule : rules) {
    const PartFlops p = parts(rule);
    attention *= p.at("attention") / 60;
    feed *= p.at("feed") / 40;
  }
  return (attention + feed) / 100;
}

class TradeOff : public ::testing::Test {
 protected:
  Curve curve(Rule rule, double price, double power = 1) {
    Curve out;
    for (const double keep : keeps_to_try(rule, net)) {
      timing_of(rule).keep = keep;
      out.trials.push_back({keep, price * std::pow(1 - keep, power), parts(rule)});
    }
    return out;
  }

  Division divided(double flops, const std::vector<Curve>& curves, std::vector<Rule> rules) {
    Options options;
    options.flops = flops;
    options.trade_off = "measured";
    options.rules = std::move(rules);
    return divide(options, net, left, kDense, curves);
  }
  Options spent(double flops, const std::vector<Curve>& curves, std::vector<Rule> rules) {
    return divided(flops, curves, std::move(rules)).options;
  }

  static double keep_of(const Options& o, std::size_t i) { return *timing_of(o.rules[i]).keep; }

  SmallNet net;
};

TEST_F(TradeOff, TakesWhatCostsLeastForWhatItSaves) {
  const std::vector<Curve> dear{curve(TokenRule(), 1.0), curve(WeightRule(), 0.1)};
  const Options weights = spent(0.7, dear, {TokenRule(), WeightRule()});
  EXPECT_EQ(keep_of(weights, 0), 1);
  EXPECT_NEAR(keep_of(weights, 1), 0.7, 1e-9);
  EXPECT_FALSE(weights.flops);
  EXPECT_EQ(weights.trade_off, "even");
  const std::vector<Curve> cheap{curve(TokenRule(), 0.1), curve(WeightRule(), 1.0)};
  const Options tokens = spent(0.7, cheap, {TokenRule(), WeightRule()});
  EXPECT_NEAR(keep_of(tokens, 0), 0.5, 1e-9);
  EXPECT_EQ(keep_of(tokens, 1), 1);
}

TEST_F(TradeOff, IsTheBestOfTheWholeGrid) {
  const std::vector<Curve> curves{curve(TokenRule(), 0.5, 2), curve(WeightRule(), 1.0, 3)};
  const Options got = spent(0.5, curves, {TokenRule(), WeightRule()});
  EXPECT_LE(left(got.rules), 0.5);
  const auto loss = [](double t, double w) {  // linear between the tenths that were tried
    const auto at = [](double keep, double price, double power) {
      const double high = std::ceil(keep * 10 - 1e-9) / 10, low = std::max(0.05, high - 0.1);
      const auto f = [&](double k) { return price * std::pow(1 - k, power); };
      return high - keep < 1e-9 ? f(high)
                                : f(high) + (f(low) - f(high)) * (high - keep) / (high - low);
    };
    return at(t, 0.5, 2) + at(w, 1.0, 3);
  };
  double best = 1e9;
  for (int t = 3; t <= 50; ++t) {
    for (int w = 3; w <= 50; ++w) {
      const double keep_t = t / 50.0, keep_w = w / 50.0;
      if (60 * keep_t * keep_w + 40 * keep_w <= 50 + 1e-9) {
        best = std::min(best, loss(keep_t, keep_w));
      }
    }
  }
  EXPECT_NEAR(loss(keep_of(got, 0), keep_of(got, 1)), best, 1e-9);
}

TEST_F(TradeOff, ALossThatFallsAgainIsNotBelieved) {
  std::vector<Curve> curves{curve(TokenRule(), 1.0), curve(WeightRule(), 0.5)};
  for (Trial& t : curves[0].trials) t.loss = t.keep < 0.35 ? -5 : 1.0 - t.keep;
  const Options got = spent(0.7, curves, {TokenRule(), WeightRule()});
  EXPECT_EQ(keep_of(got, 0), 1) << "weights cost less than what tokens cost before";
}

TEST_F(TradeOff, MeetsTheBudgetAlsoWhereTheCurvesPromiseTooMuch) {
  std::vector<Curve> curves{curve(TokenRule(), 1.0), curve(WeightRule(), 0.1)};
  for (Curve& c : curves) {
    for (Trial& t : c.trials) t.flops["feed"] *= 0.8;
  }
  const Options got = spent(0.6, curves, {TokenRule(), WeightRule()});
  EXPECT_LE(left(got.rules), 0.6 + 1e-12);
  EXPECT_GT(left(got.rules), 0.5);
}

TEST_F(TradeOff, SpendsTheBudgetAlsoWhereTheCurvesPromiseTooLittle) {
  std::vector<Curve> curves{curve(TokenRule(), 1.0), curve(WeightRule(), 0.1)};
  for (Trial& t : curves[1].trials) {
    if (t.keep < 1) t.flops["feed"] = 40;  // that weights thin out the feed-forward is not seen
  }
  const Division got = divided(0.6, curves, {TokenRule(), WeightRule()});
  EXPECT_FALSE(got.evenly);
  EXPECT_LE(left(got.options.rules), 0.6 + 1e-12);
  EXPECT_GT(left(got.options.rules), 0.58);
  EXPECT_EQ(keep_of(got.options, 0), 1);
}

TEST_F(TradeOff, DividesEvenlyWhereNothingThatWasTriedMeetsTheBudget) {
  std::vector<Curve> curves{curve(WeightRule(), 0.1)};
  for (Trial& t : curves[0].trials) t.flops = kDense;
  const Division got = divided(0.6, curves, {WeightRule()});
  EXPECT_TRUE(got.evenly);
  EXPECT_LE(left(got.options.rules), 0.6 * (1 + 1e-9));
}

TEST_F(TradeOff, WhatARuleBringsAlongIsPaidFor) {
  std::vector<Curve> curves{curve(TokenRule(), 0.001), curve(WeightRule(), 1.0)};
  for (Trial& t : curves[0].trials) t.flops["scores"] = t.keep < 1 ? 70 : 0;
  const Options got = spent(0.7, curves, {TokenRule(), WeightRule()});
  EXPECT_EQ(keep_of(got, 0), 1);
  EXPECT_NEAR(keep_of(got, 1), 0.7, 1e-9);
}

TEST_F(TradeOff, TriesWholeHeadsAndBranches) {
  LayerRule layers;
  layers.method = "learned";
  layers.branches = "all";
  EXPECT_EQ(keeps_to_try(HeadRule(), net), (std::vector<double>{1, 0.5}));
  EXPECT_EQ(keeps_to_try(layers, net), (std::vector<double>{1, 0.75, 0.5, 0.25}));
  TokenRule tokens;
  tokens.timing.keep = 0.35;
  EXPECT_EQ(keeps_to_try(tokens, net), (std::vector<double>{0.35, 0.3, 0.2, 0.1, 0.05}));
  WeightRule fours;
  fours.structure = "2:4";
  EXPECT_EQ(keeps_to_try(fours, net), (std::vector<double>{0.5}));
  LayerRule drop;
  drop.timing.keep = 0.8;
  EXPECT_EQ(keeps_to_try(drop, net), (std::vector<double>{0.8}));
}

TEST_F(TradeOff, RefusesWhatCannotBeMet) {
  EXPECT_THROW(spent(0.01, {curve(TokenRule(), 1)}, {TokenRule()}), base::RecipeError);
}

}  // namespace
}  // namespace gtrain::sparsify
