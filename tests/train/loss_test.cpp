#include "gtrain/train/loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

using data::Task;
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

double value(const char* name, Task task, const at::Tensor& output, const at::Tensor& label) {
  return find_loss(name, task).value(output, label).item<double>();
}

TEST(Loss, DefaultsFollowTheTask) {
  EXPECT_EQ(find_loss("", Task::kGraphRegression).name, "l1");
  EXPECT_EQ(find_loss("", Task::kGraphBinary).name, "bce");
  EXPECT_EQ(find_loss("", Task::kGraphMultilabel).name, "bce");
  EXPECT_EQ(find_loss("", Task::kNodeClass).name, "cross_entropy");
}

TEST(Loss, ThatDoesNotFitTheTaskNamesThoseThatDo) {
  try {
    find_loss("cross_entropy", Task::kGraphRegression);
    FAIL() << "accepted";
  } catch (const base::RecipeError& e) {
    EXPECT_STREQ(
        e.what(),
        "train.loss: 'cross_entropy' does not fit the task graph_regression; known: l1, l2, "
        "smooth_l1");
  }
}

TEST(Loss, MissingLabelsEnterNeitherMeanNorGradient) {
  const at::Tensor label = at::tensor({1.0f, kMissing, 3.0f, kMissing}).view({2, 2});
  at::Tensor output = at::tensor({2.0f, 5.0f, 0.0f, 7.0f}).view({2, 2}).requires_grad_();
  const at::Tensor loss = find_loss("l1", Task::kGraphRegression).value(output, label);
  EXPECT_FLOAT_EQ(loss.item<float>(), 2.0f);
  loss.backward();
  EXPECT_TRUE(output.grad().equal(at::tensor({0.5f, 0.0f, -0.5f, 0.0f}).view({2, 2})));
}

TEST(Loss, BatchWithoutLabelsGivesZeroAndZeroGradient) {
  const at::Tensor nothing = at::full({3, 1}, kMissing);
  for (const char* name : {"bce", "weighted_cross_entropy"}) {
    at::Tensor output = at::ones({3, 1}).requires_grad_();
    const at::Tensor loss = find_loss(name, Task::kGraphBinary).value(output, nothing);
    EXPECT_EQ(loss.item<float>(), 0.0f) << name;
    loss.backward();
    EXPECT_TRUE(output.grad().equal(at::zeros({3, 1}))) << name;
  }
  at::Tensor output = at::ones({3, 4}).requires_grad_();
  find_loss("cross_entropy", Task::kGraphClass)
      .value(output, at::full({3}, -1, at::kLong))
      .backward();
  EXPECT_TRUE(output.grad().equal(at::zeros({3, 4})));
}

TEST(Loss, CrossEntropyIgnoresClassMinusOne) {
  const at::Tensor output = at::tensor({0.0f, 0.0f, 5.0f, -5.0f}).view({2, 2});
  EXPECT_NEAR(value("cross_entropy", Task::kGraphClass, output, at::tensor({0L, -1L})),
              std::log(2.0), 1e-6);
}

TEST(Loss, WeightedCrossEntropyWeighsByTheOtherClassesShare) {
  // Classes 0, 0, 1 of three: weights 1/3, 2/3, 0; divided by 1/3 + 1/3 + 2/3.
  const at::Tensor output = at::tensor({1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0}).view({3, 3});
  const at::Tensor l = -output.log_softmax(1);
  const double want =
      (l[0][0].item<double>() + l[1][0].item<double>() + 2.0 * l[2][1].item<double>()) / 4.0;
  EXPECT_NEAR(value("weighted_cross_entropy", Task::kNodeClass, output, at::tensor({0L, 0L, 1L})),
              want, 1e-12);
}

TEST(Loss, WeightedCrossEntropyOfOneClassAloneIsZero) {
  at::Tensor output = at::ones({2, 3}).requires_grad_();
  const at::Tensor loss =
      find_loss("weighted_cross_entropy", Task::kNodeClass).value(output, at::tensor({1L, 1L}));
  EXPECT_EQ(loss.item<float>(), 0.0f);
  loss.backward();
  EXPECT_TRUE(output.grad().equal(at::zeros({2, 3})));
}

TEST(Loss, SmoothL1IsQuadraticBelowOneAndLinearAbove) {
  const at::Tensor zero = at::zeros({1, 1});
  EXPECT_FLOAT_EQ(value("smooth_l1", Task::kGraphRegression, at::full({1, 1}, 0.5), zero), 0.125);
  EXPECT_FLOAT_EQ(value("smooth_l1", Task::kGraphRegression, at::full({1, 1}, 3.0), zero), 2.5);
}

TEST(Loss, OfTokensIsTheMeanOverPositionsOfEachOnesCrossEntropy) {
  constexpr std::int64_t kV = 4;  // words 0 1, __UNK__ 2, __EOS__ 3
  const at::Tensor output = at::arange(24, at::kDouble).sin().view({2, 3, kV});
  // One word and the end; four words, of which one is unknown and the last is beyond the positions.
  const at::Tensor label = at::tensor({1, -1, -1, -1, 0, 9, 1, 1}, at::kLong).view({2, 4});
  const at::Tensor target = at::tensor({1, 3, 3, 0, 2, 1}, at::kLong).view({2, 3});
  double expected = 0.0;
  for (int p = 0; p < 3; ++p) {
    expected += value("cross_entropy", Task::kGraphClass, output.select(1, p), target.select(1, p));
  }
  EXPECT_NEAR(value("cross_entropy", Task::kGraphSubtoken, output, label), expected / 3, 1e-12);
  EXPECT_NEAR(value("cross_entropy", Task::kGraphSubtoken, output, target), expected / 3, 1e-12);
}

TEST(Loss, OfNoRowIsZero) {
  const at::Tensor output = at::empty({0, 1}), label = at::empty({0, 1});
  EXPECT_EQ(value("bce", Task::kEdgeBinary, output, label), 0.0);
  EXPECT_EQ(value("l1", Task::kEdgeRegression, output, label), 0.0);
}

TEST(Loss, OfATextWithoutWordsIsNone) {
  const at::Tensor output = at::randn({2, 3, 4}, at::kDouble).requires_grad_();
  const at::Tensor label = at::tensor({1, 0, -1, -1}, at::kLong).view({2, 2});
  const auto& entry = find_loss("", Task::kGraphSubtoken);
  entry.value(output, label).backward();
  EXPECT_GT(output.grad()[0].abs().sum().item<double>(), 0.0);
  EXPECT_EQ(output.grad()[1].abs().sum().item<double>(), 0.0);
  EXPECT_EQ(entry.value(output, at::full({2, 2}, -1, at::kLong)).item<double>(), 0.0);
}

}  // namespace
}  // namespace gtrain::train
