#include "gtrain/train/schedule.h"

#include <gtest/gtest.h>

namespace gtrain::train {
namespace {

TEST(Schedule, WarmUpStartsAtAMillionthAndReachesTheRate) {
  EXPECT_DOUBLE_EQ(cosine_rate(2.0, 0, 4, 10), 2e-6);
  EXPECT_DOUBLE_EQ(cosine_rate(2.0, 3, 4, 10), 1.5);
  EXPECT_DOUBLE_EQ(cosine_rate(2.0, 4, 4, 10), 2.0);
  EXPECT_NEAR(cosine_rate(2.0, 7, 4, 10), 1.0, 1e-15);
  EXPECT_NEAR(cosine_rate(2.0, 10, 4, 10), 0.0, 1e-15);
}

TEST(Schedule, LinearFallsToZeroAndStaysThere) {
  EXPECT_DOUBLE_EQ(linear_rate(1.0, 6, 2, 10), 0.5);
  EXPECT_DOUBLE_EQ(linear_rate(1.0, 12, 2, 10), 0.0);
}

TEST(Schedule, PolynomialStartsAtZeroAndEndsAtItsEnd) {
  const PolynomialSchedule s{"step", 2, 0.1, 2.0};
  EXPECT_DOUBLE_EQ(polynomial_rate(1.0, 0, 10, s), 0.0);
  EXPECT_DOUBLE_EQ(polynomial_rate(1.0, 6, 10, s), 0.9 * 0.25 + 0.1);
  EXPECT_DOUBLE_EQ(polynomial_rate(1.0, 99, 10, s), 0.1);
}

TEST(Schedule, UnitSaysWhatIsCounted) {
  EXPECT_FALSE(per_update(CosineSchedule{}));
  EXPECT_TRUE(per_update(LinearSchedule{"step", 3}));
  EXPECT_FALSE(per_update(PlateauSchedule{}));
  EXPECT_DOUBLE_EQ(scheduled_rate(ConstantSchedule{}, 0.3, 7, 9), 0.3);
}

TEST(Schedule, APolynomialMayCountFromOne) {
  PolynomialSchedule s{"step", 4, 0.0, 1.0};
  EXPECT_DOUBLE_EQ(scheduled_rate(s, 1.0, 0, 12), 0.0);  // as GraphGPS
  s.first = 1;                                           // as Graphormer
  EXPECT_DOUBLE_EQ(scheduled_rate(s, 1.0, 0, 12), 0.25);
  EXPECT_DOUBLE_EQ(scheduled_rate(s, 1.0, 3, 12), 1.0);
  EXPECT_DOUBLE_EQ(scheduled_rate(s, 1.0, 11, 12), 0.0);
}

TEST(Plateau, ReducesAfterPatienceRunsOutAndStopsAtTheMinimum) {
  Plateau p({"loss", 0.5, 0.2, 1}, 1.0, false);
  for (const double v : {1.0, 1.0}) p.observe(v);
  EXPECT_DOUBLE_EQ(p.rate(), 1.0);
  p.observe(0.99995);  // better by less than a relative 1e-4: not better
  EXPECT_DOUBLE_EQ(p.rate(), 0.5);
  for (int i = 0; i < 8; ++i) p.observe(1.0);
  EXPECT_DOUBLE_EQ(p.rate(), 0.2);
}

TEST(Plateau, MaximisesWhereLargerIsBetter) {
  Plateau p({"rocauc", 0.1, 0.0, 0}, 1.0, true);
  for (const double v : {0.5, 0.6, 0.7}) p.observe(v);
  EXPECT_DOUBLE_EQ(p.rate(), 1.0);
  p.observe(0.65);
  EXPECT_DOUBLE_EQ(p.rate(), 0.1);
}

}  // namespace
}  // namespace gtrain::train
