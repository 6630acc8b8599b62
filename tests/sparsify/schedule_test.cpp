#include "gtrain/sparsify/schedule.h"

#include <gtest/gtest.h>

namespace gtrain::sparsify {
namespace {

Timing timing(double keep, std::int64_t start, std::int64_t end, std::int64_t every) {
  Timing t;
  t.keep = keep;
  t.start = start;
  t.end = end;
  t.every = every;
  return t;
}

TEST(Schedule, FallsFromOneToKeepAlongACubic) {
  const Schedule s(timing(0.25, 10, 30, 5), 1);
  EXPECT_EQ(s.keep(9), 1);
  EXPECT_EQ(s.keep(10), 1);
  EXPECT_DOUBLE_EQ(s.keep(20), 0.25 + 0.75 * 0.125);
  EXPECT_EQ(s.keep(30), 0.25);
  EXPECT_EQ(s.keep(1000), 0.25);
}

TEST(Schedule, StandsStillBetweenChanges) {
  const Schedule s(timing(0.5, 0, 20, 8), 1);
  EXPECT_EQ(s.keep(7), 1);
  EXPECT_EQ(s.keep(15), s.keep(8));
  EXPECT_TRUE(s.due(8));
  EXPECT_FALSE(s.due(9));
  EXPECT_TRUE(s.due(20));  // the end is always one
  EXPECT_FALSE(s.due(24));
  EXPECT_FALSE(s.settled(19));
  EXPECT_TRUE(s.settled(20));
}

TEST(Schedule, WithoutAnEndAllHappensAtTheStart) {
  const Schedule s(timing(0.5, 6, 0, 1), 1);
  EXPECT_EQ(s.keep(5), 1);
  EXPECT_EQ(s.keep(6), 0.5);
  EXPECT_TRUE(s.due(6));
  EXPECT_FALSE(s.due(7));
}

TEST(Schedule, CountsEpochsInUpdates) {
  Timing t = timing(0.5, 1, 3, 1);
  t.unit = "epoch";
  const Schedule s(t, 40);
  EXPECT_EQ(s.start(), 40);
  EXPECT_EQ(s.end(), 120);
  EXPECT_EQ(s.every(), 40);
}

TEST(Schedule, ExchangesLessAndLessUntilTheEnd) {
  const Schedule s(timing(0.5, 0, 100, 1), 1);
  EXPECT_DOUBLE_EQ(s.exchange(0.5, 0), 0.5);
  EXPECT_NEAR(s.exchange(0.5, 50), (0.5 + 0.005) / 2, 1e-12);
  EXPECT_NEAR(s.exchange(0.5, 50, 0), 0.25, 1e-12);  // RigL's
  EXPECT_EQ(s.exchange(0.5, 100), 0);
}

// The values that the authors' loop prints for 4 batches, epochs 1 to 6, every 2 updates.
TEST(Schedule, CountsIterationsAsTheAuthorsDo) {
  const ReferencePruning s{4, 24, 2, 0.25};
  EXPECT_FALSE(s.due(3));
  EXPECT_FALSE(s.due(5));
  EXPECT_TRUE(s.due(6));
  EXPECT_TRUE(s.due(22));
  EXPECT_FALSE(s.due(24));
  EXPECT_DOUBLE_EQ(s.density(4), 1);
  EXPECT_NEAR(s.density(6), 1 - 0.75 * (1 - 0.9 * 0.9 * 0.9), 1e-12);
  EXPECT_GT(s.density(22), 0.25);
}

}  // namespace
}  // namespace gtrain::sparsify
