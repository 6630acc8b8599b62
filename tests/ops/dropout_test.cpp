#include "gtrain/ops/dropout.h"

#include "ops/detail/random.h"
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

// Drawn one element at a time: any device and any width gives this mask.
TEST(Dropout, MaskIsAFunctionOfKeyRowAndColumn) {
  for (const at::ScalarType type : support::all_types()) {
    const at::Tensor y = ops::dropout(at::ones({5, 300}, type), 0.5, 77).to(at::kFloat);
    for (std::int64_t i = 0; i < 5; ++i) {
      const std::uint64_t row = ops::detail::row_key(77, static_cast<std::uint64_t>(i));
      for (std::int64_t c = 0; c < 300; ++c) {
        const bool kept = ops::detail::draw(row, static_cast<std::uint32_t>(c)) >= 0x80000000u;
        ASSERT_EQ(y[i][c].item<float>(), kept ? 2.0f : 0.0f) << i << " " << c;
      }
    }
  }
}

TEST(Dropout, EqualsAProductWithItsMask) {
  for (const std::int64_t n : {0, 1, 40, 200}) {
    const std::vector<at::Tensor> in{at::randn({n, 19}, at::kDouble),
                                     at::randn({n, 19}, at::kDouble)};
    const at::Tensor mask = ops::dropout(at::ones({n, 19}, at::kDouble), 0.3, 5);
    support::expect_kernel_law(
        [](const std::vector<at::Tensor>& t) -> std::vector<at::Tensor> {
          return {ops::dropout(t[0], 0.3, 5, t[1])};
        },
        [&](const std::vector<at::Tensor>& t) -> std::vector<at::Tensor> {
          return {t[0] * mask.to(t[0].scalar_type()) + t[1]};
        },
        in, support::all_types());
  }
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
