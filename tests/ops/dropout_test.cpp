#include "gtrain/ops/dropout.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

TEST(Dropout, ZeroesTheExpectedShareAndScalesTheRest) {
  const at::Tensor y = ops::dropout(at::ones({1000, 300}), 0.25, 42);
  const double kept = (y != 0).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(kept, 0.75, 5 * std::sqrt(0.25 * 0.75 / 300000));
  EXPECT_NEAR(y.max().item<double>(), 1 / 0.75, 1e-6);
}

TEST(Dropout, RowsColumnsAndKeysAreUncorrelated) {
  const at::Tensor a = (ops::dropout(at::ones({512, 512}), 0.5, 1) != 0).to(at::kDouble);
  const at::Tensor b = (ops::dropout(at::ones({512, 512}), 0.5, 2) != 0).to(at::kDouble);
  const double limit = 5 * 0.25 / 512;  // five standard errors of a product's mean
  const auto covariance = [](const at::Tensor& x, const at::Tensor& y) {
    return ((x - 0.5) * (y - 0.5)).mean().item<double>();
  };
  EXPECT_LT(std::abs(covariance(a, b)), limit);
  EXPECT_LT(std::abs(covariance(a.slice(0, 1), a.slice(0, 0, -1))), limit);
  EXPECT_LT(std::abs(covariance(a.slice(1, 1), a.slice(1, 0, -1))), limit);
  EXPECT_LT(std::abs(covariance(a.slice(1, 256), a.slice(1, 0, -256))), limit);
}

TEST(Dropout, GradientIsTheSameMask) {
  const at::Tensor x = at::randn({40, 11}, at::kDouble).requires_grad_();
  const at::Tensor y = ops::dropout(x, 0.3, 5);
  y.sum().backward();
  EXPECT_LT(support::distance(x.grad() * x, y), 1e-14);
}

TEST(Dropout, ZeroProbabilityAddsTheResidualOnly) {
  const at::Tensor x = at::randn({3, 2}), r = at::randn({3, 2});
  EXPECT_EQ(support::distance(ops::dropout(x, 0, 1, r), x + r), 0);
}

TEST(Dropout, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(ops::dropout(at::zeros({3}), 0.5, 1), c10::Error);
  EXPECT_THROW(ops::dropout(at::zeros({3, 2}), 0.5, 1, at::zeros({2, 2})), c10::Error);
}

}  // namespace
}  // namespace gtrain
