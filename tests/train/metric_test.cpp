#include "gtrain/train/metric.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

using data::Task;
const double kMissing = std::nan("");

double value(const std::string& name, Task task, const at::Tensor& output,
             const at::Tensor& label) {
  return find_metric(name, task).value(Scores(task, output, label));
}

at::Tensor column(std::vector<double> v) { return at::tensor(v).unsqueeze(1); }

TEST(Metric, RocaucCountsTiesHalf) {
  const at::Tensor label = column({1, 0, 1, 0});
  EXPECT_DOUBLE_EQ(value("rocauc", Task::kGraphBinary, column({3, 2, 2, 1}), label), 0.875);
  EXPECT_DOUBLE_EQ(value("rocauc", Task::kGraphBinary, column({5, 5, 5, 5}), label), 0.5);
}

TEST(Metric, RocaucLeavesOutColumnsWithOneClassAndMissingLabels) {
  // Column 0 has no negative; column 1 ranks its only positive first; row 2 of it is missing.
  const at::Tensor label = at::tensor({1., 1., 1., 0., 1., kMissing}).view({3, 2});
  const at::Tensor output = at::tensor({0., 2., 0., 1., 0., 9.}).view({3, 2});
  EXPECT_DOUBLE_EQ(value("rocauc", Task::kGraphMultilabel, output, label), 1.0);
}

TEST(Metric, RocaucWithoutBothClassesIsNotDefinedAndSaysWhy) {
  const Metric m = find_metric("rocauc", Task::kGraphBinary);
  EXPECT_TRUE(std::isnan(m.value(Scores(Task::kGraphBinary, column({1, 2}), column({1, 1})))));
  EXPECT_EQ(m.undefined, "no label column has both a 0 and a 1");
}

TEST(Metric, AveragePrecisionIsStepwise) {
  EXPECT_DOUBLE_EQ(value("ap", Task::kGraphBinary, column({4, 3, 2, 1}), column({1, 0, 1, 0})),
                   0.5 * 1.0 + 0.5 * (2.0 / 3.0));
}

TEST(Metric, RmseIsTheMeanOverTargetsOfEachTargetsOwn) {
  const at::Tensor label = at::zeros({2, 2}, at::kDouble);
  const at::Tensor output = at::tensor({3., 0., 4., 0.}).view({2, 2});
  EXPECT_DOUBLE_EQ(value("rmse", Task::kGraphRegression, output, label), std::sqrt(12.5) / 2);
}

TEST(Metric, SpearmanSeesOrderOnly) {
  EXPECT_DOUBLE_EQ(
      value("spearman", Task::kGraphRegression, column({1, 10, 100}), column({1, 2, 3})), 1.0);
  EXPECT_TRUE(std::isnan(
      value("spearman", Task::kGraphRegression, column({1, 10, 100}), column({2, 2, 2}))));
}

TEST(Metric, ClassMetricsIgnoreMissingLabels) {
  const at::Tensor output = at::eye(3, at::kDouble);
  const at::Tensor label = at::tensor({0L, 2L, -1L});
  EXPECT_DOUBLE_EQ(value("acc", Task::kGraphClass, output, label), 0.5);
  EXPECT_DOUBLE_EQ(value("macro_f1", Task::kGraphClass, output, label), 1.0 / 3);
}

TEST(Metric, AccuracySbmIsTheMeanRecall) {
  const at::Tensor output = at::tensor({1., 0., 1., 0., 0., 1., 1., 0.}).view({4, 2});
  EXPECT_NEAR(value("accuracy_sbm", Task::kNodeClass, output, at::tensor({0L, 0L, 1L, 1L})), 0.75,
              1e-12);
  EXPECT_NEAR(value("accuracy_sbm", Task::kNodeBinary, at::tensor({-1., 2., 3., 1.}).view({4, 1}),
                    at::tensor({0., 0., 1., 1.}).view({4, 1})),
              0.75, 1e-12);
}

TEST(Metric, HitsWantsScoresStrictlyAboveTheKthNegative) {
  EXPECT_DOUBLE_EQ(hits_at(2, {3.0, 2.0, 1.0}, {2.0, 4.0, 0.0}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(hits_at(9, {3.0}, {2.0}), 1.0);  // fewer negatives than K
  const at::Tensor output = column({3, 2, 1, 2, 4, 0}), label = column({1, 1, 1, 0, 0, 0});
  EXPECT_DOUBLE_EQ(value("hits@2", Task::kEdgeBinary, output, label), 1.0 / 3);
}

TEST(Metric, ReciprocalRankTakesTheMiddleOfTies) {
  const double negative[] = {5.0, 3.0, 3.0, 1.0};
  EXPECT_DOUBLE_EQ(reciprocal_rank(3.0, negative, 4), 1.0 / 3);
  EXPECT_DOUBLE_EQ(reciprocal_rank(9.0, negative, 4), 1.0);
}

TEST(Metric, MrrOfASplitIsTheMeanOfItsReciprocalRanks) {
  const std::vector<double> negative{5, 3, 3, 1, 3}, positive{3, 9, 0};
  double sum = 0.0;
  for (const double p : positive) sum += reciprocal_rank(p, negative.data(), negative.size());
  const at::Tensor output = column({3, 5, 3, 9, 3, 1, 0, 3}),
                   label = column({1, 0, 0, 1, 0, 0, 1, 0});
  EXPECT_DOUBLE_EQ(value("mrr", Task::kEdgeBinary, output, label), sum / 3);
}

TEST(Metric, UnknownOnesNameThoseOfTheTask) {
  for (const char* name : {"rocauc", "hits@0", "hits@x", "nonsense"}) {
    EXPECT_THROW(find_metric(name, Task::kGraphRegression), base::RecipeError) << name;
    if (std::string(name) != "rocauc") {
      EXPECT_THROW(find_metric(name, Task::kEdgeBinary), base::RecipeError) << name;
    }
  }
}

TEST(Metric, ReportedOnesStartWithTheDataSetsOwn) {
  const auto list = reported_metrics("ap", Task::kGraphMultilabel);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].name, "ap");
}

TEST(Metric, EveryEntryFitsSomeTask) {
  for (const Metric& m : metrics()) {
    bool fits = false;
    for (int t = 0; t <= static_cast<int>(Task::kEdgeClass); ++t) {
      fits = fits || m.fits(static_cast<Task>(t));
    }
    EXPECT_TRUE(fits) << m.name;
    EXPECT_FALSE(m.undefined.empty()) << m.name;
  }
}

}  // namespace
}  // namespace gtrain::train
