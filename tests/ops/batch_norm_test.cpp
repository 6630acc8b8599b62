#include "gtrain/ops/batch_norm.h"

#include "gtrain/ops/dropout.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

ops::BatchNormState state(const at::Tensor& weight, const at::Tensor& bias) {
  return {weight, bias, at::full_like(weight, 0.3).detach(), at::full_like(weight, 1.7).detach()};
}

support::Operation op(bool training) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::batch_norm(in[0], in[1], state(in[2], in[3]), training)};
  };
}
support::Operation composed(bool training) {
  return [=](const Tensors& in) -> Tensors {
    const at::Tensor mean = at::full_like(in[2], 0.3).detach();
    const at::Tensor var = at::full_like(in[2], 1.7).detach();
    return {at::batch_norm(in[0] + in[1], in[2], in[3], mean, var, training, 0.1, 1e-5, false)};
  };
}
Tensors inputs(std::int64_t n, std::int64_t d) {
  return {at::randn({n, d}, at::kDouble) * 3 + 1, at::randn({n, d}, at::kDouble),
          at::randn({d}, at::kDouble), at::randn({d}, at::kDouble)};
}

TEST(BatchNorm, EqualsTorchInTrainingAndEvaluation) {
  at::manual_seed(5);
  for (const std::int64_t n : {2, 100, 129, 300}) {
    SCOPED_TRACE(n);
    support::expect_kernel_law(op(true), composed(true), inputs(n, 9), support::all_types());
    support::expect_kernel_law(op(false), composed(false), inputs(n, 70), support::all_types());
  }
}

TEST(BatchNorm, EqualsTorchForRandomShapes) {
  at::manual_seed(6);
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::int64_t n = 2 + i * 13 % 150, d = 1 + i * 7 % 40;
    support::expect_kernel_law(op(i % 2 == 0), composed(i % 2 == 0), inputs(n, d),
                               support::types_in_turn(static_cast<std::size_t>(i)));
  }
}

TEST(BatchNorm, GradientsEqualFiniteDifferences) {
  support::expect_gradients(op(true), inputs(5, 3));
  support::expect_gradients(op(false), inputs(5, 3));
}

// As a model whose rows are 16 bits wide and whose parameters are not.
TEST(BatchNorm, ParametersMayBeWiderThanTheRows) {
  const Tensors in = inputs(200, 9);
  const at::Tensor x = in[0].to(at::kBFloat16);
  const auto wide = state(in[2].to(at::kFloat), in[3].to(at::kFloat));
  const at::Tensor y = ops::batch_norm(x, {}, wide, true);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  const at::Tensor want = ops::batch_norm(x.to(at::kFloat), {}, wide, true);
  EXPECT_LT(support::distance(y, want), 0x1p-8 * want.abs().max().item<double>());
}

TEST(BatchNorm, RunningStatisticsAreTorchs) {
  const at::Tensor x = at::randn({333, 5}, at::kDouble) * 4 - 2;
  const at::Tensor one = at::ones({5}, at::kDouble), zero = at::zeros({5}, at::kDouble);
  const ops::BatchNormState s = state(one, zero);
  const at::Tensor mean = s.running_mean.clone(), var = s.running_var.clone();
  ops::batch_norm(x, {}, s, true);
  at::batch_norm(x, one, zero, mean, var, true, 0.1, 1e-5, false);
  EXPECT_LT(support::distance(s.running_mean, mean), 1e-13);
  EXPECT_LT(support::distance(s.running_var, var), 1e-13);
}

// What a bias before the norm gets is 0 but for rounding, which the gradient of columns that hardly
// vary multiplies by 1 / variance.
TEST(BatchNorm, GradientsOfNearlyConstantColumnsSumToNothing) {
  at::manual_seed(17);
  const at::Tensor level = at::rand({64}) + 0.5;
  at::Tensor x = (level + 0.0114 * at::randn({1283, 64})).requires_grad_();
  const at::Tensor one = at::ones({64}), zero = at::zeros({64}), g = at::randn({1283, 64});
  (ops::batch_norm(x, {}, state(one, zero), true) * g).sum().backward();
  EXPECT_LT(x.grad().to(at::kDouble).sum(0).abs().max().item<double>(), 0.012);
}

TEST(BatchNorm, OneRowInTrainingGivesTheBias) {
  const at::Tensor bias = at::randn({4});
  const at::Tensor y = ops::batch_norm(at::randn({1, 4}), {}, state(at::ones({4}), bias), true);
  EXPECT_LT(support::distance(y, bias.unsqueeze(0)), 1e-6);
}

TEST(BatchNorm, NoRowsLeaveTheRunningStatistics) {
  const ops::BatchNormState s = state(at::ones({4}), at::zeros({4}));
  const at::Tensor before = s.running_mean.clone();
  EXPECT_EQ(ops::batch_norm(at::zeros({0, 4}), {}, s, true).sizes(),
            (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(support::distance(s.running_mean, before), 0);
}

TEST(BatchNorm, FusedDropoutIsDropoutBeforeTheResidual) {
  const Tensors in = inputs(150, 7);
  const auto fused = [](const Tensors& t) -> Tensors {
    return {ops::batch_norm(t[0], t[1], state(t[2], t[3]), true, 0.4, 11)};
  };
  const auto apart = [](const Tensors& t) -> Tensors {
    return {ops::batch_norm(ops::dropout(t[0], 0.4, 11, t[1]), {}, state(t[2], t[3]), true)};
  };
  const Tensors a = support::run_with_gradients(fused, in);
  const Tensors b = support::run_with_gradients(apart, in);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_LT(support::distance(a[i], b[i]), 1e-12) << i;
}

TEST(BatchNorm, BitsDoNotDependOnTheThreadCount) {
  Tensors in = inputs(1500, 64);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  support::expect_thread_independent(
      [](const Tensors& t) -> Tensors {
        return {ops::batch_norm(t[0], t[1], state(t[2], t[3]), true, 0.2, 3)};
      },
      in);
}

TEST(BatchNorm, RefusesShapesThatDoNotFit) {
  const ops::BatchNormState s = state(at::ones({4}), at::zeros({4}));
  EXPECT_THROW(ops::batch_norm(at::zeros({2, 3}), {}, s, true), c10::Error);
  EXPECT_THROW(ops::batch_norm(at::zeros({2, 4}), at::zeros({3, 4}), s, true), c10::Error);
  for (at::Tensor ops::BatchNormState::*part :
       {&ops::BatchNormState::weight, &ops::BatchNormState::bias,
        &ops::BatchNormState::running_mean, &ops::BatchNormState::running_var}) {
    ops::BatchNormState other = s;
    other.*part = at::ones({1});
    EXPECT_THROW(ops::batch_norm(at::zeros({2, 4}), {}, other, true), c10::Error);
  }
}

}  // namespace
}  // namespace gtrain
