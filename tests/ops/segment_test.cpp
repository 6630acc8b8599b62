#include "gtrain/ops/segment.h"

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;
using support::EdgeBatch;
using Reduction = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

struct Pair {
  const char* name;
  Reduction kernel, reference;
};
const Pair kPairs[] = {{"sum", ops::segment_sum, ops::reference::segment_sum},
                       {"mean", ops::segment_mean, ops::reference::segment_mean},
                       {"max", ops::segment_max, ops::reference::segment_max},
                       {"softmax", ops::segment_softmax, ops::reference::segment_softmax}};

support::Operation with(Reduction f, const at::Tensor& start) {
  return [=](const Tensors& t) -> Tensors { return {f(t[0], start)}; };
}

void expect_law(const at::Tensor& start, std::int64_t rows, std::int64_t d,
                const std::vector<at::ScalarType>& types = support::all_types()) {
  const Tensors in{at::randn({rows, d}, at::kDouble) * 2};
  for (const Pair& p : kPairs) {
    SCOPED_TRACE(p.name);
    support::expect_kernel_law(with(p.kernel, start), with(p.reference, start), in, types);
  }
}

at::Tensor starts(const std::vector<std::int64_t>& s) { return at::tensor(s, at::kLong); }

TEST(Segment, EqualsTheComposedReductionOnOddGraphs) {
  at::manual_seed(1);
  const EdgeBatch b = support::pack_odd_graphs();
  for (const std::int64_t d : {1, 5, 16, 64, 83}) expect_law(b.graph_start, b.nodes, d);
  expect_law(b.edges.in_start, b.edges.count(), 8);
}

TEST(Segment, EqualsTheComposedReductionOnRandomGraphs) {
  at::manual_seed(2);
  std::int64_t d = 1;
  for (const EdgeBatch& b : support::random_batches()) {
    const auto types = support::types_in_turn(static_cast<std::size_t>(d));
    expect_law(b.edges.in_start, b.edges.count(), d, types);
    expect_law(b.graph_start, b.nodes, d, types);
    d = d % 37 + 5;
  }
}

TEST(Segment, SegmentsOfManyPartsEqualTheComposedReduction) {
  at::manual_seed(3);
  expect_law(starts({0, 1023, 1023, 2047, 3072, 3073, 7000, 7010}), 7010, 19);
  expect_law(starts({0, 5000}), 5000, 3);
}

TEST(Segment, GradientsEqualFiniteDifferences) {
  const at::Tensor start = starts({0, 3, 3, 4, 9});
  for (const Pair& p : kPairs) {
    SCOPED_TRACE(p.name);
    support::expect_gradients(with(p.kernel, start), {at::randn({9, 3}, at::kDouble)});
  }
}

TEST(Segment, BitsDoNotDependOnTheThreadCount) {
  const at::Tensor start = starts({0, 10, 2000, 2000, 9000, 9001, 20000});
  for (const Pair& p : kPairs) {
    SCOPED_TRACE(p.name);
    support::expect_thread_independent(with(p.kernel, start), {at::randn({20000, 24})});
  }
}

TEST(Segment, SplittingOtherSegmentsDoesNotChangeASegmentsBits) {
  const at::Tensor x = at::randn({4000, 6});
  for (const Pair& p : kPairs) {
    const at::Tensor a = p.kernel(x, starts({0, 1000, 4000})).slice(0, -1);
    const at::Tensor b = p.kernel(x, starts({0, 7, 1000, 4000})).slice(0, -1);
    EXPECT_TRUE(support::same_bits(a, b)) << p.name;
  }
}

TEST(SegmentMax, TakesTheLargestRowAndZeroForEmptySegments) {
  const at::Tensor x = at::tensor({-5.0, -1.0, -3.0}, at::kDouble).unsqueeze(1);
  const at::Tensor y = ops::segment_max(x, starts({0, 2, 2, 3}));
  EXPECT_EQ(support::distance(y, at::tensor({-1.0, 0.0, -3.0}, at::kDouble).unsqueeze(1)), 0);
}

TEST(SegmentMax, GradientGoesToTheFirstOfEqualRows) {
  for (const std::int64_t n : {5, 3000}) {  // in one part, and across parts
    const at::Tensor x = at::zeros({n, 2}, at::kDouble).requires_grad_();
    ops::segment_max(x, starts({0, n})).sum().backward();
    EXPECT_EQ(x.grad()[0][1].item<double>(), 1);
    EXPECT_EQ(x.grad().sum().item<double>(), 2);
  }
}

TEST(SegmentMax, NanWinsOverNumbers) {
  for (const std::int64_t n : {4, 3000}) {
    at::Tensor x = at::ones({n, 1});
    x[n - 2][0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(ops::segment_max(x, starts({0, n})).item<float>())) << n;
  }
}

TEST(SegmentSoftmax, RowsOfMinusInfinityWeighNothing) {
  const float low = -std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor(std::vector<float>{low, 3.0f, low, low, low}).unsqueeze(1);
  const at::Tensor y = ops::segment_softmax(x, starts({0, 3, 5}));
  const at::Tensor want = at::tensor(std::vector<float>{0, 1, 0, 0, 0}).unsqueeze(1);
  EXPECT_EQ(support::distance(y, want), 0);
  at::Tensor wide = at::full({3000, 1}, low);
  EXPECT_EQ(ops::segment_softmax(wide, starts({0, 3000})).abs().sum().item<float>(), 0);
  wide[2500][0] = -200;
  EXPECT_EQ(ops::segment_softmax(wide, starts({0, 3000}))[2500][0].item<float>(), 1);
}

TEST(SegmentSoftmax, LargeScoresDoNotOverflow) {
  for (const double shift : {-1000.0, 200.0, 1e4}) {
    const at::Tensor x = at::randn({2000, 3}, at::kDouble);
    const at::Tensor start = starts({0, 5, 2000});
    EXPECT_LT(
        support::distance(ops::segment_softmax(x + shift, start), ops::segment_softmax(x, start)),
        1e-12);
  }
}

TEST(Segment, RefusesShapesThatDoNotFit) {
  for (const Pair& p : kPairs) {
    EXPECT_THROW(p.kernel(at::zeros({3}), starts({0, 3})), c10::Error);
    EXPECT_THROW(p.kernel(at::zeros({3, 1}), at::zeros({2})), c10::Error);
    EXPECT_THROW(p.kernel(at::zeros({3, 1}), starts({0, 2})), c10::Error);
    EXPECT_THROW(p.kernel(at::zeros({3, 1}), starts({1, 3})), c10::Error);
    EXPECT_THROW(p.kernel(at::zeros({3, 1}), starts({0, 7, 3})), c10::Error);
    EXPECT_THROW(p.kernel(at::zeros({3, 1}, at::kInt), starts({0, 3})), c10::Error);
  }
}

TEST(Segment, RefusesStartsItCannotReadAsTheyAre) {
  for (const Pair& p : kPairs) {
    support::expect_start_checked("start", [&](const at::Tensor& s) {
      p.kernel(at::zeros({3, 1}), s);
    });
  }
}

}  // namespace
}  // namespace gtrain
