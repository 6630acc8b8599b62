#include "gtrain/ops/layer_norm.h"

#include "gtrain/ops/dropout.h"
#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

Tensors inputs(std::int64_t n, std::int64_t d) {
  return {at::randn({n, d}, at::kDouble) * 3 + 1, at::randn({n, d}, at::kDouble),
          at::randn({d}, at::kDouble), at::randn({d}, at::kDouble)};
}

support::Operation rows(double dropout = 0) {
  return [=](const Tensors& t) -> Tensors {
    return {ops::layer_norm(t[0], t[1], t[2], t[3], {1e-5, dropout, 9})};
  };
}
support::Operation rows_apart(double dropout = 0) {
  return [=](const Tensors& t) -> Tensors {
    return {ops::reference::layer_norm(ops::dropout(t[0], dropout, 9, t[1]), t[2], t[3], 1e-5)};
  };
}
support::Operation graphs(const at::Tensor& start, double dropout = 0) {
  return [=](const Tensors& t) -> Tensors {
    return {ops::graph_norm(t[0], t[1], t[2], t[3], start, {1e-5, dropout, 9})};
  };
}
support::Operation graphs_apart(const at::Tensor& start, double dropout = 0) {
  return [=](const Tensors& t) -> Tensors {
    const at::Tensor z = ops::dropout(t[0], dropout, 9, t[1]);
    return {ops::reference::graph_norm(z, t[2], t[3], start, 1e-5)};
  };
}

TEST(LayerNorm, EqualsTheComposedNorm) {
  at::manual_seed(1);
  for (const std::int64_t n : {0, 1, 128, 301}) {
    for (const std::int64_t d : {5, 16, 64, 83}) {
      SCOPED_TRACE(testing::Message() << n << " x " << d);
      support::expect_kernel_law(rows(), rows_apart(), inputs(n, d), support::all_types());
      support::expect_kernel_law(rows(0.3), rows_apart(0.3), inputs(n, d), support::all_types());
    }
  }
}

TEST(LayerNorm, EqualsTorchs) {
  const Tensors t = inputs(40, 21);
  const at::Tensor want = at::layer_norm(t[0] + t[1], {21}, t[2], t[3], 1e-5);
  EXPECT_LT(support::distance(rows()(t)[0], want), 1e-13);
}

TEST(LayerNorm, RowsFarFromZeroKeepTheirVariance) {
  const at::Tensor x = at::randn({50, 64}) + 3000;
  const at::Tensor y = ops::layer_norm(x, {}, at::ones({64}), at::zeros({64}));
  const at::Tensor want = at::layer_norm(x.to(at::kDouble), {64});
  EXPECT_LT(support::distance(y, want), 1e-3);
}

TEST(GraphNorm, EqualsTheComposedNormOnOddAndRandomGraphs) {
  at::manual_seed(2);
  std::vector<support::EdgeBatch> batches = support::random_batches();
  batches.push_back(support::pack_odd_graphs());
  std::int64_t d = 2;
  for (const support::EdgeBatch& b : batches) {
    const at::Tensor& s = b.graph_start;
    const Tensors in = inputs(b.nodes, d);
    const auto types = support::types_in_turn(static_cast<std::size_t>(d));
    support::expect_kernel_law(graphs(s), graphs_apart(s), in, types);
    support::expect_kernel_law(graphs(s, 0.3), graphs_apart(s, 0.3), in, types);
    d = d % 41 + 3;
  }
}

TEST(GraphNorm, OneGraphPerRowIsLayerNorm) {
  const Tensors t = inputs(30, 12);
  const at::Tensor start = at::arange(31, at::kLong);
  const Tensors a = support::run_with_gradients(graphs(start), t);
  const Tensors b = support::run_with_gradients(rows(), t);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(support::same_bits(a[i], b[i])) << i;
}

TEST(LayerNorm, GradientsEqualFiniteDifferences) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 3, 3, 4, 6}, at::kLong);
  support::expect_gradients(rows(0.2), inputs(6, 5));
  support::expect_gradients(graphs(start, 0.2), inputs(6, 5));
}

TEST(LayerNorm, BitsDoNotDependOnTheThreadCount) {
  Tensors in = inputs(6000, 64);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 3, 3000, 6000}, at::kLong);
  support::expect_thread_independent(rows(0.2), in);
  support::expect_thread_independent(graphs(start, 0.2), in);
}

TEST(LayerNorm, RefusesShapesThatDoNotFit) {
  const at::Tensor w = at::ones({4});
  EXPECT_THROW(ops::layer_norm(at::zeros({2, 3}), {}, w, w), c10::Error);
  EXPECT_THROW(ops::layer_norm(at::zeros({2, 4}), at::zeros({3, 4}), w, w), c10::Error);
  EXPECT_THROW(ops::layer_norm(at::zeros({2, 4}), {}, w, at::ones({3})), c10::Error);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 3}, at::kLong);
  EXPECT_THROW(ops::graph_norm(at::zeros({2, 4}), {}, w, w, start), c10::Error);
}

TEST(GraphNorm, RefusesStartsItCannotReadAsTheyAre) {
  support::expect_start_checked("graph_start", [](const at::Tensor& start) {
    ops::graph_norm(at::zeros({3, 4}), {}, at::ones({4}), at::ones({4}), start);
  });
}

}  // namespace
}  // namespace gtrain
