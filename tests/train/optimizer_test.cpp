#include "gtrain/train/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <oneapi/tbb/global_control.h>

#include <cmath>
#include <limits>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

// Several chunks, and tails that no vector width divides.
std::vector<Parameter> parameters(at::ScalarType type) {
  std::vector<Parameter> out;
  for (const std::int64_t n : {40001, 3, 17000}) {
    const at::Tensor v = at::arange(n, at::kDouble).mul(0.37).sin().to(type);
    out.push_back({"p" + std::to_string(n), v.clone()});
    out.back().value.mutable_grad() = at::arange(n, at::kDouble).mul(0.11).cos().to(type);
  }
  return out;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

TEST(Optimizer, AdamWFollowsItsEquations) {
  auto p = parameters(at::kDouble);
  const double lr = 0.1, wd = 0.3, b1 = 0.8, b2 = 0.9, eps = 1e-3;
  Optimizer optimizer(AdamWOptions{lr, wd, b1, b2, eps}, p);
  at::Tensor w = p[0].value.clone(), m = at::zeros_like(w), v = at::zeros_like(w);
  const at::Tensor g = p[0].value.grad();
  for (int t = 1; t <= 3; ++t) {
    optimizer.step(lr, 0.0);
    m = b1 * m + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    w = w * (1 - lr * wd) -
        lr * (m / (1 - std::pow(b1, t))) / ((v / (1 - std::pow(b2, t))).sqrt() + eps);
  }
  EXPECT_LT(difference(p[0].value, w), 1e-13);
}

TEST(Optimizer, ClipsByTheNormOverAllParameters) {
  auto p = parameters(at::kDouble);
  double squares = 0.0;
  for (const Parameter& each : p) squares += each.value.grad().square().sum().item<double>();
  const at::Tensor before = p[1].value.clone(), g = p[1].value.grad();
  Optimizer optimizer(SgdOptions{1.0, 0.0, 0.0}, p);
  const double norm = optimizer.step(1.0, 0.5);
  EXPECT_NEAR(norm, std::sqrt(squares), 1e-10);
  EXPECT_LT(difference(p[1].value, before - g * (0.5 / (norm + 1e-6))), 1e-15);
}

TEST(Optimizer, BitsDoNotDependOnTheThreadCount) {
  std::vector<at::Tensor> first;
  for (const std::size_t threads : {1, 2, 4}) {
    const tbb::global_control control(tbb::global_control::max_allowed_parallelism, threads);
    auto p = parameters(at::kFloat);
    Optimizer optimizer(AdamWOptions{}, p);
    for (int i = 0; i < 3; ++i) optimizer.step(1e-2, 1.0);
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (first.size() <= i) first.push_back(p[i].value);
      EXPECT_TRUE(p[i].value.equal(first[i])) << threads << " threads, parameter " << i;
    }
  }
}

TEST(Optimizer, LeavesEverythingAloneWhenTheNormIsNotFinite) {
  auto p = parameters(at::kFloat);
  const at::Tensor before = p[0].value.clone();
  p[2].value.mutable_grad()[16999] = std::numeric_limits<float>::infinity();
  Optimizer optimizer(AdamOptions{}, p);
  EXPECT_FALSE(std::isfinite(optimizer.step(1e-2, 1.0)));
  EXPECT_TRUE(p[0].value.equal(before));
  EXPECT_NE(optimizer.worst_gradient().find("p17000"), std::string::npos);
}

TEST(Optimizer, SkipsAParameterWithoutGradientAndItsStepCount) {
  auto p = parameters(at::kFloat);
  p[1].value.mutable_grad().reset();
  const at::Tensor before = p[1].value.clone();
  Optimizer optimizer(AdamWOptions{1e-2, 0.5, 0.9, 0.999, 1e-8}, p);
  optimizer.step(1e-2, 0.0);
  EXPECT_TRUE(p[1].value.equal(before));
  EXPECT_EQ(optimizer.state().at("p3.step").item<std::int64_t>(), 0);
  EXPECT_EQ(optimizer.state().at("p17000.step").item<std::int64_t>(), 1);
}

TEST(Optimizer, GoesOnFromItsStateAsIfNothingHappened) {
  auto p = parameters(at::kFloat), q = parameters(at::kFloat);
  Optimizer a(AdagradOptions{}, p), b(AdagradOptions{}, q);
  a.step(1e-2, 0.0);
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, t] : a.state()) saved[name] = t.clone();
  for (std::size_t i = 0; i < p.size(); ++i) q[i].value.copy_(p[i].value);
  b.load_state(saved);
  a.step(1e-2, 0.0);
  b.step(1e-2, 0.0);
  for (std::size_t i = 0; i < p.size(); ++i) EXPECT_TRUE(p[i].value.equal(q[i].value));
  saved.erase("p3.sum");
  EXPECT_THROW(b.load_state(saved), base::DataError);
}

}  // namespace
}  // namespace gtrain::train
