#include "train/table_figure.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gtrain::train {
namespace {

TEST(Spread, IsMeanAndUnbiasedDeviation) {
  const Spread s = spread_of({1.0, 2.0, 6.0});
  EXPECT_DOUBLE_EQ(s.mean, 3.0);
  EXPECT_DOUBLE_EQ(s.deviation, std::sqrt(7.0));
  EXPECT_EQ(s.n, 3);
  EXPECT_TRUE(std::isnan(spread_of({1.0}).deviation));
  EXPECT_TRUE(std::isnan(spread_of({}).mean));
}

TEST(Distance, CountsStandardErrorsOfTheDifference) {
  // sqrt(0.4^2 / 4 + 0.3^2 / 9) = sqrt(0.05)
  EXPECT_NEAR(distance({1.0, 0.4, 4}, {0.5, 0.3, 9}), 0.5 / std::sqrt(0.05), 1e-12);
  EXPECT_NEAR(distance({1.0, 0.4, 4}, {0.5, kUnknown, 0}), 0.5 / 0.2, 1e-12);
}

TEST(Distance, OfASingleRunTakesThePublishedSpread) {
  EXPECT_NEAR(distance({1.0, kUnknown, 1}, {0.5, 0.3, 9}), 0.5 / (0.3 * std::sqrt(1 + 1.0 / 9)),
              1e-12);
  EXPECT_TRUE(std::isnan(distance({1.0, kUnknown, 1}, {0.5, kUnknown, 0})));
}

TEST(Distance, OfEqualValuesThatNeverSpreadIsNone) {
  EXPECT_EQ(distance({1.0, 0.0, 5}, {1.0, 0.0, 5}), 0.0);
  EXPECT_TRUE(std::isinf(distance({1.0, 0.0, 5}, {0.9, 0.0, 5})));
}

TEST(PairedFigure, HasStudentsInterval) {
  const PairedFigure p = paired_of(std::vector<double>{1.0, 2.0, 3.0, 6.0});
  EXPECT_DOUBLE_EQ(p.mean, 3.0);
  // t(0.975; 3) = 3.182446, s = sqrt(14/3)
  EXPECT_NEAR(p.high - p.mean, 3.182446305 * std::sqrt(14.0 / 3.0) / 2.0, 1e-8);
  EXPECT_NEAR(p.mean - p.low, p.high - p.mean, 1e-12);
  EXPECT_TRUE(std::isnan(paired_of(std::vector<double>{1.0}).low));
}

TEST(PairedFigure, BoundsTheLossFromOneSide) {
  // t(0.95; 3) = 2.353363, s = sqrt(14/3)
  const double half = 2.353363435 * std::sqrt(14.0 / 3.0) / 2.0;
  EXPECT_NEAR(paired_of(std::vector<double>{1.0, 2.0, 3.0, 6.0}).worse, -3 + half, 1e-8);
  EXPECT_NEAR(paired_of(std::vector<double>{1.0, 2.0, 3.0, 6.0}, false).worse, 3 + half, 1e-8);
  EXPECT_TRUE(std::isnan(paired_of(std::vector<double>{1.0}).worse));
}

TEST(PairedFigure, KnowsWhichMetricsAreToBeLarge) {
  EXPECT_TRUE(is_maximised("rocauc"));
  EXPECT_TRUE(is_maximised("hits@3"));
  EXPECT_FALSE(is_maximised("mae"));
  EXPECT_FALSE(is_maximised("loss"));
}

TEST(PairedFigure, PairsRunsOfOneSeed) {
  RowFigures a, b;
  b.label = "b";
  a.runs = {"seed-0", "seed-1", "seed-3"};
  a.values = {1.0, 2.0, 9.0};
  b.runs = {"seed-1", "seed-0", "seed-2"};
  b.values = {1.5, 0.0, 7.0};
  const PairedFigure p = paired_of(a, b);
  EXPECT_EQ(p.against, "b");
  EXPECT_EQ(p.n, 2);
  EXPECT_DOUBLE_EQ(p.mean, 0.75);
}

}  // namespace
}  // namespace gtrain::train
