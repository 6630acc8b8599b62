#include "train/sensitivity.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

const char* const kRules =
    "sparsify={flops: 0.8, trade_off: measured, rules: [{name: tokens, start: 4}, {name: heads, "
    "start: 4}, {name: layers, method: learned, branches: all, start: 4, end: 8}, {name: weights, "
    "start: 4}]}";

class MeasuredSensitivity : public TrainedSample {
 protected:
  MeasuredSensitivity() : own(recipe({kRules})), material(prepare(own)) {
    model = build_model(own, material.signature);
    models::initialise(*model, 0);
  }

  static const sparsify::Trial& at(const sparsify::Curve& curve, double keep) {
    for (const sparsify::Trial& t : curve.trials) {
      if (std::abs(t.keep - keep) < 1e-9) return t;
    }
    throw std::out_of_range("not tried");
  }

  Recipe own;
  Material material;
  std::shared_ptr<models::Model> model;
};

TEST_F(MeasuredSensitivity, LeavesTheModelAsItIs) {
  NamedTensors before;
  for (const auto& [name, t] : model_tensors(*model)) before[name] = t.clone();
  measure_sensitivity(own, material, *model);
  for (const auto& [name, t] : model_tensors(*model)) EXPECT_TRUE(t.equal(before.at(name))) << name;
}

TEST_F(MeasuredSensitivity, ClosesTheBranchesThatCostLeast) {
  // The last feed-forward block puts out 0: closing that one alone costs nothing, and so the choice
  // of what to close first costs nothing, either.
  const at::NoGradGuard guard;
  for (const auto& p : model->named_parameters()) {
    if (p.key().starts_with("layer_1.feed_1.")) p.value().zero_();
  }
  const Sensitivity s = measure_sensitivity(own, material, *model);
  const sparsify::Trial& one = at(s.curves[2], 0.75);
  EXPECT_LE(one.loss, 1e-6);
  double dense = 0, left = 0;
  for (const auto& [_, flops] : s.dense) dense += flops;
  for (const auto& [_, flops] : one.flops) left += flops;
  EXPECT_LT(left, dense);
}

TEST_F(MeasuredSensitivity, OfHeadsTakesTheLeastImportant) {
  // The second head of each attention reaches nothing: its columns of the output are 0.
  const at::NoGradGuard guard;
  for (const auto& p : model->named_parameters()) {
    if (p.key().ends_with("attention.out_weight") || p.key().ends_with("attention.out.weight")) {
      p.value().slice(1, p.value().size(1) / 2).zero_();
    }
  }
  const Sensitivity s = measure_sensitivity(own, material, *model);
  EXPECT_NEAR(at(s.curves[1], 0.5).loss, 0, 1e-6);
}

TEST_F(MeasuredSensitivity, StartsAtNothingAndNamesItsSplit) {
  const Sensitivity s = measure_sensitivity(own, material, *model);
  EXPECT_EQ(s.split, "valid");
  EXPECT_EQ(s.graphs, 8);
  ASSERT_EQ(s.curves.size(), 4u);
  for (const sparsify::Curve& curve : s.curves) {
    EXPECT_EQ(curve.trials.front().keep, 1);
    EXPECT_EQ(curve.trials.front().loss, 0);
    EXPECT_EQ(curve.trials.front().flops, s.dense);
  }
}

}  // namespace
}  // namespace gtrain::train
