#include "gtrain/ops/linear.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

TEST(Linear, EqualsTheComposedProductForAnyNumberOfRows) {
  at::manual_seed(4);
  for (const std::int64_t n : {0, 1, 5, 127, 128, 129, 300}) {
    for (const bool relu : {false, true}) {
      SCOPED_TRACE(n);
      support::expect_kernel_law(
          [&](const Tensors& in) -> Tensors { return {ops::linear(in[0], in[1], in[2], relu)}; },
          [&](const Tensors& in) -> Tensors {
            const at::Tensor y = at::matmul(in[0], in[1].t()) + in[2];
            return {relu ? at::relu(y) : y};
          },
          {at::randn({n, 19}, at::kDouble), at::randn({37, 19}, at::kDouble),
           at::randn({37}, at::kDouble)},
          support::all_types());
    }
  }
}

TEST(Linear, WorksWithoutBias) {
  const at::Tensor x = at::randn({6, 3}, at::kDouble), w = at::randn({4, 3}, at::kDouble);
  EXPECT_LT(support::distance(ops::linear(x, w, {}), at::matmul(x, w.t())), 1e-13);
}

TEST(Linear, TakesABiasOfAnyStride) {
  const at::Tensor x = at::randn({6, 3}), w = at::randn({4, 3}), b = at::randn({8});
  const at::Tensor strided = b.slice(0, 0, 8, 2), same = b.slice(0, 0, 1).expand({4});
  EXPECT_EQ(support::distance(ops::linear(x, w, strided), ops::linear(x, w, strided.clone())), 0);
  EXPECT_EQ(support::distance(ops::linear(x, w, same), ops::linear(x, w, same.contiguous())), 0);
}

TEST(Linear, GradientsEqualFiniteDifferences) {
  at::manual_seed(5);
  for (const bool relu : {false, true}) {
    support::expect_gradients(
        [&](const Tensors& in) -> Tensors { return {ops::linear(in[0], in[1], in[2], relu)}; },
        {at::randn({4, 3}, at::kDouble), at::randn({2, 3}, at::kDouble),
         at::randn({2}, at::kDouble)});
  }
}

TEST(Linear, NoInputChannelsGiveTheBiasAndItsGradient) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor x = at::zeros({3, 0}, type).requires_grad_();
    const at::Tensor w = at::zeros({2, 0}, type).requires_grad_();
    const at::Tensor b = at::randn({2}, type).requires_grad_();
    const at::Tensor y = ops::linear(x, w, b);
    EXPECT_EQ(support::distance(y, b.detach().expand({3, 2})), 0);
    y.sum().backward();
    EXPECT_EQ(support::distance(b.grad(), at::full({2}, 3, type)), 0);
    EXPECT_EQ(x.grad().sizes(), x.sizes());
  }
}

TEST(Linear, BitsDoNotDependOnTheThreadCount) {
  support::expect_thread_independent(
      [](const Tensors& in) -> Tensors { return {ops::linear(in[0], in[1], in[2], true)}; },
      {at::randn({1111, 64}), at::randn({192, 64}), at::randn({192})});
}

TEST(Linear, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(ops::linear(at::zeros({2, 3}), at::zeros({4, 5}), {}), c10::Error);
  EXPECT_THROW(ops::linear(at::zeros({2, 3}), at::zeros({4, 3}, at::kDouble), {}), c10::Error);
}

}  // namespace
}  // namespace gtrain
