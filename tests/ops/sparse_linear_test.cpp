#include "gtrain/ops/sparse_linear.h"

#include <oneapi/tbb/global_control.h>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

at::Tensor some(std::int64_t o, std::int64_t k, double share) {
  return at::rand({o, k}, at::kDouble) < share;
}

TEST(SparseLinear, EqualsTheProductWithZerosForAnyShape) {
  at::manual_seed(4);
  for (const auto& [o, k] : {std::pair<std::int64_t, std::int64_t>{37, 19}, {8, 64}, {1, 1}}) {
    const at::Tensor mask = some(o, k, 0.2);
    const ops::WeightPattern pattern = ops::weight_pattern(mask);
    for (const std::int64_t n : {0, 1, 7, 16, 31, 64, 65, 128, 300}) {
      for (const bool relu : {false, true}) {
        SCOPED_TRACE(n);
        support::expect_kernel_law(
            [&](const Tensors& in) -> Tensors {
              return {ops::sparse_linear(in[0], in[1], pattern, in[2], relu)};
            },
            [&](const Tensors& in) -> Tensors {
              const at::Tensor w = in[1] * mask.to(in[1].scalar_type());
              const at::Tensor y = at::matmul(in[0], w.t()) + in[2];
              return {relu ? at::relu(y) : y};
            },
            {at::randn({n, k}, at::kDouble), at::randn({o, k}, at::kDouble),
             at::randn({o}, at::kDouble)},
            support::all_types());
      }
    }
  }
}

TEST(SparseLinear, GradientsEqualFiniteDifferences) {
  at::manual_seed(5);
  const ops::WeightPattern pattern = ops::weight_pattern(some(3, 5, 0.5));
  for (const bool relu : {false, true}) {
    support::expect_gradients(
        [&](const Tensors& in) -> Tensors {
          return {ops::sparse_linear(in[0], in[1], pattern, in[2], relu)};
        },
        {at::randn({4, 5}, at::kDouble), at::randn({3, 5}, at::kDouble),
         at::randn({3}, at::kDouble)});
  }
}

TEST(SparseLinear, EntriesThatAreNotThereAreNeitherReadNorMoved) {
  const at::Tensor mask = some(12, 9, 0.3), x = at::randn({70, 9});
  const at::Tensor w = at::randn({12, 9}).masked_fill(mask.logical_not(), 1e30).requires_grad_();
  const at::Tensor y = ops::sparse_linear(x, w, ops::weight_pattern(mask), {});
  EXPECT_LT(y.abs().max().item<double>(), 1e3);
  y.sum().backward();
  EXPECT_EQ(w.grad().masked_select(mask.logical_not()).abs().max().item<double>(), 0);
  EXPECT_GT(w.grad().masked_select(mask).abs().min().item<double>(), 0);
}

TEST(SparseLinear, RowsKeepTheirBitsWhateverStandsBesideThemAndForAnyThreads) {
  at::manual_seed(6);
  const ops::WeightPattern pattern = ops::weight_pattern(some(40, 33, 0.25));
  const at::Tensor x = at::randn({1000, 33}), w = at::randn({40, 33}), b = at::randn({40});
  const at::Tensor want = ops::sparse_linear(x, w, pattern, b);
  EXPECT_TRUE(
      at::equal(ops::sparse_linear(x.slice(0, 77, 90), w, pattern, b), want.slice(0, 77, 90)));
  for (const std::size_t threads : {1, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
    EXPECT_TRUE(at::equal(ops::sparse_linear(x, w, pattern, b), want));
  }
}

TEST(SparseLinear, CountsTheEntriesThatThereAre) {
  const at::Tensor mask = at::ones({4, 6}, at::kBool);
  mask.slice(1, 0, 3).fill_(false);
  ops::FlopCount count;
  ops::sparse_linear(at::randn({10, 6}), at::randn({4, 6}), ops::weight_pattern(mask),
                     at::randn({4}));
  EXPECT_EQ(count.total().total(), 10 * (2 * 12 + 4));
}

TEST(SparseLinear, AMarkedWeightGoesByItsEntriesInEveryProduct) {
  at::manual_seed(7);
  const at::Tensor x = at::randn({70, 9});
  at::Tensor w = at::randn({12, 9}) * some(12, 9, 0.3).to(at::kFloat);
  w.requires_grad_();
  const at::Tensor dense = ops::linear(x, w, {});
  EXPECT_EQ(ops::kept_pattern(w), nullptr);
  ops::leave_zeros_out(w);
  ops::FlopCount count;
  const at::Tensor y = ops::linear(x, w, {});
  EXPECT_EQ(count.total().total(), 2 * 70 * (w != 0).sum().item<double>());
  EXPECT_LT(support::distance(y, dense), 1e-5);
  y.pow(2).sum().backward();
  EXPECT_EQ(w.grad().masked_select(w == 0).abs().max().item<double>(), 0);
  EXPECT_EQ(ops::kept_pattern(w.detach().clone()), nullptr);
}

TEST(SparseLinear, RefusesWeightsThatDoNotFit) {
  const ops::WeightPattern pattern = ops::weight_pattern(at::eye(2, 4));
  EXPECT_EQ(pattern.entries(), 2);
  const auto product = [&](at::IntArrayRef x, at::IntArrayRef w, const at::Tensor& bias) {
    return ops::sparse_linear(at::randn(x), at::randn(w), pattern, bias);
  };
  EXPECT_NO_THROW(product({5, 4}, {2, 4}, {}));
  EXPECT_THROW(product({5, 4}, {3, 4}, {}), c10::Error);
  EXPECT_THROW(product({5, 3}, {2, 4}, {}), c10::Error);
  EXPECT_THROW(product({5, 4}, {2, 4}, at::randn({3})), c10::Error);
  EXPECT_THROW(ops::weight_pattern(at::randn({3})), c10::Error);
}

}  // namespace
}  // namespace gtrain
