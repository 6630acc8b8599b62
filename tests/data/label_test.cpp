#include "gtrain/data/label.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Column labels(const std::vector<float>& values, std::int64_t width = 1) {
  auto f = make_column<float>("labels", Per::kGraph,
                              static_cast<std::int64_t>(values.size()) / width, width);
  std::copy(values.begin(), values.end(), f.data);
  return f.column;
}

const float kMissing = std::nanf("");

TEST(Label, ClassesAreCountedAndMissingBecomesMinusOne) {
  std::int64_t classes = 0;
  const Column c = labels_for(Task::kGraphClass, labels({2, kMissing, 0}), "f", classes);
  EXPECT_EQ(c.dtype, DType::kI64);
  EXPECT_THAT(values_of<int>(c), ElementsAre(2, -1, 0));
  EXPECT_EQ(classes, 3);
}

TEST(Label, ClassBeyondTheStatedNumberIsRefusedWithItsRow) {
  std::int64_t classes = 2;
  EXPECT_EQ(message_of([&] {
              labels_for(Task::kNodeClass, labels({0, 1, 2}), "f", classes);
            }),
            "f (row 3): label 2; expected a class from 0 to 1");
}

TEST(Label, OneMistypedClassDoesNotAskForAGiantHead) {
  std::int64_t classes = 0;
  EXPECT_EQ(message_of([&] {
              labels_for(Task::kGraphClass, labels({0, 1, 2e9F}), "f", classes);
            }),
            "f (row 3): label 2000000000; expected a class, a whole number from 0 to 9999999");
}

TEST(Label, FractionsNegativesAndSeveralColumnsAreNoClasses) {
  std::int64_t classes = 0;
  for (const auto& bad : {labels({0, 0.5}), labels({0, -1}), labels({0, 1}, 2)}) {
    EXPECT_THAT(message_of([&] { labels_for(Task::kGraphClass, bad, "f", classes); }),
                HasSubstr("f (row"));
  }
}

TEST(Label, BinaryLabelsAreZeroOneOrMissing) {
  std::int64_t classes = 9;
  const Column c = labels_for(Task::kGraphMultilabel, labels({0, 1, kMissing, 1}, 2), "f", classes);
  EXPECT_EQ(classes, 0);
  EXPECT_TRUE(std::isnan(c.as<float>()[2]));
  EXPECT_THAT(message_of([&] {
                labels_for(Task::kGraphBinary, labels({0, 2}), "f", classes);
              }),
              HasSubstr("f (row 2): label 2; expected 0 or 1"));
}

TEST(Label, InfiniteTargetsAreRefused) {
  std::int64_t classes = 0;
  EXPECT_THAT(message_of([&] {
                labels_for(Task::kGraphRegression, labels({0, INFINITY}), "f", classes);
              }),
              HasSubstr("f (row 2): label inf"));
  auto wide = make_column<double>("labels", Per::kGraph, 2, 1);
  wide.data[0] = 0;
  wide.data[1] = 1e300;
  EXPECT_THAT(message_of([&] { labels_for(Task::kGraphRegression, wide.column, "f", classes); }),
              HasSubstr("f (row 2): label 1e+300; expected a finite float"));
}

}  // namespace
}  // namespace gtrain::data
