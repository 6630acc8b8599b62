#include "gtrain/ops/row.h"

#include "gtrain/ops/dropout.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;
using ops::RowActivation;
constexpr RowActivation kAll[] = {RowActivation::kNone, RowActivation::kRelu, RowActivation::kGelu};

at::Tensor composed(const at::Tensor& x, RowActivation activation) {
  if (activation == RowActivation::kRelu) return at::relu(x);
  return activation == RowActivation::kGelu ? at::gelu(x) : x;
}

support::Operation fused(const ops::RowOptions& options) {
  return
      [=](const Tensors& t) -> Tensors { return {ops::activate_rows(t[0], t[1], options, t[2])}; };
}
// Dropout is drawn by the op that draws nothing else.
support::Operation apart(const ops::RowOptions& o) {
  return [=](const Tensors& t) -> Tensors {
    return {ops::dropout(composed(t[0] + t[1], o.activation), o.dropout, o.key, t[2])};
  };
}

Tensors inputs(std::int64_t n, std::int64_t d) {
  return {at::randn({n, d}, at::kDouble) * 3, at::randn({d}, at::kDouble),
          at::randn({n, d}, at::kDouble)};
}

TEST(ActivateRows, EqualsBiasActivationDropoutAndResidualApart) {
  at::manual_seed(1);
  for (const RowActivation activation : kAll) {
    for (const double p : {0.0, 0.4}) {
      for (const std::int64_t n : {0, 1, 17, 300}) {
        SCOPED_TRACE(n);
        const ops::RowOptions options{activation, p, 7};
        support::expect_kernel_law(fused(options), apart(options), inputs(n, 1 + n % 90),
                                   support::all_types());
      }
    }
  }
}

TEST(ActivateRows, EqualsThePartsForRandomShapes) {
  base::Random random(base::key(1, base::Purpose::kGenerate));
  for (std::uint64_t i = 0; i < 200; ++i) {
    const ops::RowOptions options{kAll[i % 3], i % 2 == 0 ? 0.0 : 0.3, i};
    const auto n = static_cast<std::int64_t>(random.below(40));
    const auto d = static_cast<std::int64_t>(1 + random.below(80));
    support::expect_kernel_law(fused(options), apart(options), inputs(n, d),
                               support::types_in_turn(i));
  }
}

TEST(ActivateRows, GradientsEqualFiniteDifferences) {
  for (const RowActivation activation : kAll) {
    support::expect_gradients(fused({activation, 0.25, 3}), inputs(6, 5));
  }
}

TEST(ActivateRows, GeluKeepsTheRelativePrecisionOfItsTail) {
  const at::Tensor x = at::arange(-9.0, 0.0, 0.01, at::kFloat).unsqueeze(1);
  const at::Tensor y = ops::activate_rows(x, {}, {RowActivation::kGelu, 0.0, 0});
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor want = wide * 0.5 * at::special_erfc(-wide / std::sqrt(2.0));
  EXPECT_LT(((y - want) / want).abs().max().item<double>(), 2e-5);
}

TEST(ActivateRows, WorksWithoutBiasAndResidual) {
  const at::Tensor x = at::randn({5, 3});
  EXPECT_EQ(support::distance(ops::activate_rows(x, {}, {}), x), 0);
  EXPECT_EQ(support::distance(ops::activate_rows(x, {}, {RowActivation::kRelu, 0, 0}), at::relu(x)),
            0);
}

TEST(ActivateRows, NanIsNotHiddenByRelu) {
  const at::Tensor x = at::full({1, 20}, std::numeric_limits<float>::quiet_NaN());
  const at::Tensor y = ops::activate_rows(x, {}, {RowActivation::kRelu, 0, 0});
  EXPECT_TRUE(y.isnan().all().item<bool>());
}

TEST(ActivateRows, BitsDoNotDependOnTheThreadCount) {
  Tensors in = inputs(1500, 64);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  support::expect_thread_independent(fused({RowActivation::kGelu, 0.2, 3}), in);
}

TEST(ActivateRows, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(ops::activate_rows(at::zeros({3}), {}, {}), c10::Error);
  EXPECT_THROW(ops::activate_rows(at::zeros({3, 2}), at::zeros({3}), {}), c10::Error);
  EXPECT_THROW(ops::activate_rows(at::zeros({3, 2}), {}, {}, at::zeros({2, 2})), c10::Error);
  EXPECT_THROW(ops::activate_rows(at::zeros({3, 2}), {}, {RowActivation::kNone, 1.0, 0}),
               c10::Error);
}

}  // namespace
}  // namespace gtrain
