#include "gtrain/ops/linear_attention.h"

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;
using support::EdgeBatch;

struct Case {
  std::int64_t heads, width, features;
  std::int64_t padded_length = 0;
};

support::Operation op(const at::Tensor& start, const Case& c) {
  const at::Tensor projection = ops::orthogonal_features(c.features, c.width, 5);
  return [=](const Tensors& t) -> Tensors {
    return {ops::linear_attention(t[0], projection, start, c.heads, {1e-4, c.padded_length})};
  };
}
support::Operation composed(const at::Tensor& start, const Case& c) {
  const at::Tensor projection = ops::orthogonal_features(c.features, c.width, 5);
  return [=](const Tensors& t) -> Tensors {
    return {ops::reference::linear_attention(t[0], projection, start, c.heads,
                                             {1e-4, c.padded_length})};
  };
}

Tensors inputs(std::int64_t n, const Case& c) {
  return {at::randn({n, 3 * c.heads * c.width}, at::kDouble)};
}

void expect_law(const at::Tensor& start, std::int64_t n, const Case& c,
                const std::vector<at::ScalarType>& types = support::all_types()) {
  SCOPED_TRACE(testing::Message() << n << " rows, width " << c.width << ", m " << c.features);
  support::expect_kernel_law(op(start, c), composed(start, c), inputs(n, c), types);
}

TEST(LinearAttention, EqualsTheDefinitionOnOddGraphs) {
  at::manual_seed(1);
  const EdgeBatch b = support::pack_odd_graphs();
  // Through the weights of pairs (many features), and through the state (few).
  for (const Case& c : {Case{4, 16, 44}, Case{2, 8, 3}, Case{1, 5, 7}, Case{3, 1, 2}}) {
    expect_law(b.graph_start, b.nodes, c);
  }
}

TEST(LinearAttention, EqualsTheDefinitionOnRandomGraphs) {
  at::manual_seed(2);
  std::int64_t i = 0;
  for (const EdgeBatch& b : support::random_batches()) {
    expect_law(b.graph_start, b.nodes, {1 + i % 3, 1 + i % 9, 1 + i * 5 % 31},
               support::types_in_turn(static_cast<std::size_t>(i)));
    ++i;
  }
}

TEST(LinearAttention, LargeGraphsGoThroughTheState) {
  at::manual_seed(3);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 700, 703}, at::kLong);
  expect_law(start, 703, {2, 8, 20});
}

TEST(LinearAttention, TheLargestGraphsAreSummedInChunks) {
  at::manual_seed(7);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 5, 4400}, at::kLong);
  expect_law(start, 4400, {2, 5, 9}, {at::kDouble, at::kFloat, at::kBFloat16});
  expect_law(start, 4400, {1, 5, 9, 4500}, {at::kDouble});
}

TEST(LinearAttention, PaddingAttendsToKeysOfZeros) {
  at::manual_seed(4);
  const EdgeBatch b = support::pack_odd_graphs();
  expect_law(b.graph_start, b.nodes, {2, 8, 20, 23});
  expect_law(b.graph_start, b.nodes, {2, 8, 3, 12});  // shorter than some graphs
}

TEST(LinearAttention, GradientsEqualFiniteDifferencesWhereTheMaximumStays) {
  // The stabilisers are constants of the derivative, but eps makes the value depend on them: with a
  // small eps what is left of that is below the tolerance.
  at::manual_seed(5);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 4, 5}, at::kLong);
  const at::Tensor w = ops::orthogonal_features(6, 4, 1);
  support::expect_gradients(
      [&](const Tensors& t) -> Tensors {
        return {ops::linear_attention(t[0], w, start, 2, {1e-9, 0})};
      },
      {at::randn({5, 24}, at::kDouble)}, 1e-5);
}

TEST(LinearAttention, ApproximatesSoftmaxAttention) {
  at::manual_seed(6);
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 40}, at::kLong);
  const at::Tensor qkv = at::randn({40, 48}, at::kDouble) * 0.5;
  const at::Tensor exact = ops::reference::varlen_attention(qkv, start, 2);
  const at::Tensor w = ops::orthogonal_features(4096, 8, 3);
  const at::Tensor near = ops::linear_attention(qkv, w, start, 2);
  EXPECT_LT((near - exact).abs().mean().item<double>(), 0.1 * exact.abs().mean().item<double>());
}

TEST(LinearAttention, OtherGraphsInTheBatchChangeNothing) {
  const Case c{2, 8, 20};
  const Tensors in = inputs(30, c);
  const auto alone = op(at::tensor(std::vector<std::int64_t>{0, 10}, at::kLong), c);
  const auto packed = op(at::tensor(std::vector<std::int64_t>{0, 10, 30}, at::kLong), c);
  EXPECT_TRUE(support::same_bits(alone({in[0].slice(0, 0, 10)})[0], packed(in)[0].slice(0, 0, 10)));
}

TEST(LinearAttention, LargeScoresStayFinite) {
  const Case c{1, 16, 30};
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 20}, at::kLong);
  Tensors in = inputs(20, c);
  in[0] = (in[0] * 30).to(at::kFloat);
  for (const at::Tensor& t : support::run_with_gradients(op(start, c), in)) {
    EXPECT_TRUE(t.isfinite().all().item<bool>());
  }
}

TEST(LinearAttention, BitsDoNotDependOnTheThreadCount) {
  const Case c{4, 16, 44};
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 30, 700, 703, 5600}, at::kLong);
  support::expect_thread_independent(op(start, c), {inputs(5600, c)[0].to(at::kFloat)});
}

TEST(OrthogonalFeatures, RowsOfABlockAreOrthogonalWithTheNormsOfGaussians) {
  const at::Tensor w = ops::orthogonal_features(266, 64, 7);
  const at::Tensor block = w.slice(0, 64, 128);
  const at::Tensor gram = at::matmul(block, block.t());
  EXPECT_LT(support::distance(gram, at::diag(at::diag(gram))), 1e-12);
  // E |g|² = d, with standard deviation sqrt(2 d / rows).
  const double square = w.square().sum(1).mean().item<double>();
  EXPECT_NEAR(square, 64, 5 * std::sqrt(2 * 64.0 / 266));
  EXPECT_NEAR(w.mean().item<double>(), 0, 5 / std::sqrt(266.0 * 64));
  EXPECT_TRUE(support::same_bits(w, ops::orthogonal_features(266, 64, 7)));
  EXPECT_GT(support::distance(w, ops::orthogonal_features(266, 64, 8)), 0.1);
}

TEST(LinearAttention, RefusesShapesThatDoNotFit) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 3}, at::kLong);
  const at::Tensor w = at::ones({4, 2});
  EXPECT_THROW(ops::linear_attention(at::zeros({3, 7}), w, start, 1), c10::Error);
  EXPECT_THROW(ops::linear_attention(at::zeros({3, 9}), w, start, 1), c10::Error);
  EXPECT_THROW(ops::linear_attention(at::zeros({4, 6}), w, start, 1), c10::Error);
  EXPECT_THROW(ops::linear_attention(at::zeros({3, 6}), w, start, 1, {0.0, 0}), c10::Error);
  EXPECT_THROW(ops::orthogonal_features(0, 3, 1), c10::Error);
}

TEST(LinearAttention, RefusesStartsItCannotReadAsTheyAre) {
  support::expect_start_checked("graph_start", [](const at::Tensor& start) {
    ops::linear_attention(at::zeros({3, 6}), at::ones({4, 2}), start, 1);
  });
}

}  // namespace
}  // namespace gtrain
