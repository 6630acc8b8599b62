#include "gtrain/ops/gather.h"

#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

support::Operation gathering(const ops::RowIndex& index) {
  return [=](const Tensors& t) -> Tensors { return {ops::gather(t[0], index)}; };
}
support::Operation scattering(const ops::RowIndex& index) {
  return [=](const Tensors& t) -> Tensors { return {ops::scatter_add(t[0], index)}; };
}

void expect_law(const at::Tensor& entries, std::int64_t rows, std::int64_t d,
                const std::vector<at::ScalarType>& types = support::all_types()) {
  const ops::RowIndex index = ops::row_index(entries, rows);
  support::expect_kernel_law(
      gathering(index),
      [&](const Tensors& t) -> Tensors { return {t[0].index_select(0, entries)}; },
      {at::randn({rows, d}, at::kDouble)}, types);
  support::expect_kernel_law(
      scattering(index),
      [&](const Tensors& t) -> Tensors {
        return {at::zeros({rows, d}, t[0].options()).index_add(0, entries, t[0])};
      },
      {at::randn({entries.size(0), d}, at::kDouble)}, types);
}

TEST(Gather, EqualsIndexSelectAndIndexAddOnRandomGraphs) {
  at::manual_seed(1);
  std::int64_t d = 1;
  for (const support::EdgeBatch& b : support::random_batches()) {
    expect_law(b.edges.source, b.nodes, d, support::types_in_turn(static_cast<std::size_t>(d)));
    d = d % 35 + 3;
  }
}

TEST(Gather, EqualsIndexSelectAndIndexAddOnOddGraphs) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  for (const std::int64_t d : {1, 16, 64, 70}) expect_law(b.edges.target, b.nodes, d);
  expect_law(at::zeros({0}, at::kLong), 3, 4);
}

TEST(Gather, ARowThatIsReadManyTimesSumsItsPartsInATree) {
  at::manual_seed(2);
  expect_law(at::randint(2, {5000}, at::kLong), 4, 9);
}

TEST(Gather, GradientsEqualFiniteDifferences) {
  const at::Tensor entries = at::tensor(std::vector<std::int64_t>{2, 0, 2, 1, 2}, at::kLong);
  const ops::RowIndex index = ops::row_index(entries, 4);
  support::expect_gradients(gathering(index), {at::randn({4, 3}, at::kDouble)});
  support::expect_gradients(scattering(index), {at::randn({5, 3}, at::kDouble)});
}

TEST(Gather, BitsDoNotDependOnTheThreadCount) {
  const ops::RowIndex index = ops::row_index(at::randint(30, {20000}, at::kLong), 50);
  support::expect_thread_independent(gathering(index), {at::randn({50, 24})});
  support::expect_thread_independent(scattering(index), {at::randn({20000, 24})});
}

TEST(RowIndex, PositionsOfARowAscend) {
  const at::Tensor entries = at::tensor(std::vector<std::int64_t>{2, 0, 2, 1, 2}, at::kLong);
  const ops::RowIndex index = ops::row_index(entries, 4);
  const auto equals = [](const at::Tensor& t, const std::vector<std::int64_t>& want) {
    return at::equal(t, at::tensor(want, at::kLong));
  };
  EXPECT_TRUE(equals(index.start, {0, 1, 2, 5, 5}));
  EXPECT_TRUE(equals(index.position, {1, 3, 0, 2, 4}));
}

TEST(RowIndex, RefusesEntriesOutsideTheRows) {
  EXPECT_THROW(ops::row_index(at::full({2}, 3, at::kLong), 3), c10::Error);
  EXPECT_THROW(ops::row_index(at::full({2}, -1, at::kLong), 3), c10::Error);
  EXPECT_THROW(ops::row_index(at::zeros({2}), 3), c10::Error);
}

TEST(Gather, RefusesShapesThatDoNotFit) {
  const ops::RowIndex index = ops::row_index(at::zeros({2}, at::kLong), 3);
  EXPECT_THROW(ops::gather(at::zeros({2, 1}), index), c10::Error);
  EXPECT_THROW(ops::scatter_add(at::zeros({3, 1}), index), c10::Error);
}

}  // namespace
}  // namespace gtrain
