#include "gtrain/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace gtrain::base {
namespace {

TEST(Random, MixIsTheFinalizerOfSplitMix64) {
  // First outputs of SplitMix64 with state 0 and 1234567, as its authors' program prints them.
  EXPECT_EQ(mix(0), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(mix(1234567), 6457827717110365317ULL);
}

TEST(Random, SameKeyGivesTheSameDraws) {
  Random a(key(7, Purpose::kShuffle, 3));
  Random b(key(7, Purpose::kShuffle, 3));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.bits(), b.bits());
}

TEST(Random, KeysDifferInEverySeedPurposeAndPart) {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const Purpose p : {Purpose::kInit, Purpose::kShuffle, Purpose::kDropout,
                            Purpose::kSignFlip, Purpose::kGenerate}) {
      keys.insert(key(seed, p));
      for (int epoch = 0; epoch < 20; ++epoch) {
        keys.insert(key(seed, p, epoch));
        keys.insert(key(seed, p, epoch, epoch + 1));
      }
    }
  }
  EXPECT_EQ(keys.size(), 20U * 5 * 41);
}

TEST(Random, UniformStaysInTheUnitIntervalWithItsMoments) {
  Random random(key(1, Purpose::kGenerate));
  const int n = 100'000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / n, 0.5, 0.005);
  EXPECT_NEAR(squares / n, 1.0 / 3, 0.005);
}

TEST(Random, BelowIsUniformAndInRange) {
  Random random(key(2, Purpose::kGenerate));
  std::array<int, 6> counts{};
  const int n = 60'000;
  for (int i = 0; i < n; ++i) ++counts.at(random.below(6));
  double chi_squared = 0;
  for (const int c : counts) chi_squared += (c - n / 6.0) * (c - n / 6.0) / (n / 6.0);
  EXPECT_LT(chi_squared, 20.5);  // 99.9 % quantile with 5 degrees of freedom
  EXPECT_EQ(Random(0).below(1), 0U);
}

TEST(Random, PermutationHoldsEachNumberOnce) {
  for (const std::int64_t n : {0, 1, 2, 17, 1000}) {
    std::vector<std::int64_t> p = Random(key(3, Purpose::kShuffle, n)).permutation(n);
    std::sort(p.begin(), p.end());
    std::vector<std::int64_t> expected(static_cast<std::size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(p, expected);
  }
}

TEST(Random, EveryPermutationOfThreeIsEquallyLikely) {
  std::map<std::vector<std::int64_t>, int> counts;
  const int n = 12'000;
  for (int i = 0; i < n; ++i) ++counts[Random(key(4, Purpose::kShuffle, i)).permutation(3)];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [p, count] : counts) EXPECT_NEAR(count, n / 6, 200);  // 5 standard deviations
}

}  // namespace
}  // namespace gtrain::base
