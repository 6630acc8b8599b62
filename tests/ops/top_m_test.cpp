#include "gtrain/ops/top_m.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Numbers = std::vector<std::int64_t>;

Numbers numbers(const at::Tensor& t) {
  const auto* p = t.const_data_ptr<std::int64_t>();
  return {p, p + t.numel()};
}
at::Tensor starts(const Numbers& s) { return at::tensor(s, at::kLong); }

// By a stable sort of each whole segment.
Numbers sorted_choice(const at::Tensor& score, const Numbers& start, std::int64_t m) {
  Numbers all;
  for (std::size_t r = 0; r + 1 < start.size(); ++r) {
    Numbers order(static_cast<std::size_t>(start[r + 1] - start[r]));
    std::iota(order.begin(), order.end(), start[r]);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      const double x = score[a].item<double>(), y = score[b].item<double>();
      return std::isnan(y) ? !std::isnan(x) : x > y;
    });
    order.resize(std::min<std::size_t>(order.size(), static_cast<std::size_t>(m)));
    std::sort(order.begin(), order.end());
    all.insert(all.end(), order.begin(), order.end());
  }
  return all;
}

TEST(TopM, EqualsASortOfEverySegmentOnRandomGraphs) {
  at::manual_seed(1);
  std::uint64_t i = 0;
  for (const support::EdgeBatch& b : support::random_batches()) {
    const at::Tensor score = at::randint(-3, 4, {b.edges.count()}, at::kDouble);  // many ties
    score.masked_fill_(at::rand({b.edges.count()}) < 0.1, std::nan(""));
    const auto m = static_cast<std::int64_t>(i++ % 7);
    const at::Tensor typed = score.to(support::all_types()[i % 4]);
    const ops::Selection s = ops::top_m(typed, b.edges.in_start, m);
    EXPECT_EQ(numbers(s.index), sorted_choice(score, numbers(b.edges.in_start), m));
    for (std::int64_t r = 0; r < b.nodes; ++r) {
      const auto length = [&](const at::Tensor& t) {
        return (t[r + 1] - t[r]).item<std::int64_t>();
      };
      EXPECT_EQ(length(s.start), std::min(m, length(b.edges.in_start)));
    }
  }
}

TEST(TopM, EqualScoresKeepTheLowerIndex) {
  const ops::Selection s = ops::top_m(at::zeros({7}), starts({0, 4, 7}), 2);
  EXPECT_EQ(numbers(s.index), (Numbers{0, 1, 4, 5}));
  EXPECT_EQ(numbers(s.start), (Numbers{0, 2, 4}));
}

TEST(TopM, NanComesAfterMinusInfinity) {
  const float low = -std::numeric_limits<float>::infinity();
  const at::Tensor score = at::tensor(std::vector<float>{NAN, low, NAN, 0});
  EXPECT_EQ(numbers(ops::top_m(score, starts({0, 4}), 2).index), (Numbers{1, 3}));
  EXPECT_EQ(numbers(ops::top_m(score, starts({0, 4}), 3).index), (Numbers{0, 1, 3}));
}

TEST(TopM, MinusZeroEqualsZero) {
  const at::Tensor score = at::tensor(std::vector<float>{-0.0f, 0.0f, -1.0f});
  EXPECT_EQ(numbers(ops::top_m(score, starts({0, 3}), 1).index), (Numbers{0}));
}

TEST(TopM, ShortAndEmptySegmentsAreKeptWhole) {
  const ops::Selection s = ops::top_m(at::randn({3, 1}), starts({0, 0, 2, 2, 3}), 5);
  EXPECT_EQ(numbers(s.index), (Numbers{0, 1, 2}));
  EXPECT_EQ(numbers(s.start), (Numbers{0, 0, 2, 2, 3}));
  EXPECT_EQ(ops::top_m(at::zeros({0}), starts({0}), 2).index.numel(), 0);
}

TEST(TopRatio, KeepsTheCeilingOfTheShare) {
  const at::Tensor score = at::tensor(std::vector<float>{5, 1, 4, 2, 3, 9, 8});
  const ops::Selection s = ops::top_ratio(score, starts({0, 5, 5, 6, 7}), 0.5);
  EXPECT_EQ(numbers(s.index), (Numbers{0, 2, 4, 5, 6}));
  EXPECT_EQ(ops::top_ratio(score, starts({0, 7}), 0.0).index.numel(), 0);
  EXPECT_EQ(ops::top_ratio(score, starts({0, 7}), 1.0).index.numel(), 7);
}

TEST(TopM, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(ops::top_m(at::zeros({3, 2}), starts({0, 3}), 1), c10::Error);
  EXPECT_THROW(ops::top_m(at::zeros({3}), starts({0, 2}), 1), c10::Error);
  EXPECT_THROW(ops::top_m(at::zeros({3}), starts({0, 3}), -1), c10::Error);
  EXPECT_THROW(ops::top_ratio(at::zeros({3}), starts({0, 3}), 1.5), c10::Error);
}

TEST(TopM, RefusesStartsItCannotReadAsTheyAre) {
  support::expect_start_checked("start",
                                [](const at::Tensor& s) { ops::top_m(at::zeros({3}), s, 1); });
  support::expect_start_checked("start",
                                [](const at::Tensor& s) { ops::top_ratio(at::zeros({3}), s, 1); });
}

}  // namespace
}  // namespace gtrain
