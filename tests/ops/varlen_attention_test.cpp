#include "gtrain/ops/varlen_attention.h"

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using support::EdgeBatch;

support::Operation op(const EdgeBatch& b, std::int64_t heads, double dropout = 0,
                      std::uint64_t key = 0) {
  return [=](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    return {ops::varlen_attention(in[0], b.graph_start, heads, dropout, key)};
  };
}

support::Operation dense(const EdgeBatch& b, std::int64_t heads) {
  return [=](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    return {ops::reference::varlen_attention(in[0], b.graph_start, heads)};
  };
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnOddGraphs) {
  at::manual_seed(1);
  const EdgeBatch b = support::pack_odd_graphs();
  for (const auto& [width, heads] : {std::pair{16, 4}, {24, 4}, {20, 1}, {6, 3}, {64, 4}}) {
    SCOPED_TRACE(width);
    support::expect_kernel_law(op(b, heads), dense(b, heads),
                               {at::randn({b.nodes, 3 * width}, at::kDouble)});
  }
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnGraphsLargeEnoughToBeSplitByHead) {
  at::manual_seed(2);
  const EdgeBatch b = support::pack(
      {support::edgeless(3), support::edgeless(131), support::edgeless(1), support::edgeless(97)});
  support::expect_kernel_law(op(b, 2), dense(b, 2), {at::randn({b.nodes, 3 * 16}, at::kDouble)});
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnRandomSizes) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    base::Random random(base::key(seed, base::Purpose::kGenerate));
    std::vector<support::OddGraph> graphs;
    for (std::uint64_t g = 0; g <= random.below(6); ++g) {
      graphs.push_back(support::edgeless(static_cast<std::int64_t>(random.below(40))));
    }
    const EdgeBatch b = support::pack(graphs);
    if (b.nodes == 0) continue;
    const auto heads = static_cast<std::int64_t>(1 + random.below(4));
    const auto width = heads * static_cast<std::int64_t>(1 + random.below(20));
    SCOPED_TRACE(seed);
    support::expect_kernel_law(op(b, heads), dense(b, heads),
                               {at::randn({b.nodes, 3 * width}, at::kDouble) * 2});
  }
}

TEST(VarlenAttention, GradientsEqualFiniteDifferencesAlsoUnderDropout) {
  at::manual_seed(3);
  const EdgeBatch b =
      support::pack({support::edgeless(5), support::edgeless(1), support::edgeless(7)});
  const at::Tensor qkv = at::randn({b.nodes, 3 * 4}, at::kDouble);
  support::expect_gradients(op(b, 2), {qkv});
  support::expect_gradients(op(b, 2, 0.4, 77), {qkv});
}

TEST(VarlenAttention, LargeScoresStayFinite) {
  const EdgeBatch b = support::pack({support::edgeless(9)});
  const at::Tensor out = ops::varlen_attention(at::randn({9, 12}) * 300, b.graph_start, 2);
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
}

TEST(VarlenAttention, DropoutKeepsTheExpectedShareAndTheMean) {
  const std::int64_t n = 64;
  const EdgeBatch b = support::pack({support::edgeless(n)});
  at::Tensor qkv = at::zeros({n, 3 * 8});
  qkv.slice(1, 16, 24).fill_(1);  // uniform weights on ones: each row is its kept share / (1 - p)
  double total = 0;
  for (std::uint64_t key = 0; key < 50; ++key) {
    const at::Tensor out = ops::varlen_attention(qkv, b.graph_start, 2, 0.3, key);
    total += out.mean().item<double>() / 50;
    EXPECT_GT(out.std().item<double>(), 0.01);
  }
  EXPECT_NEAR(total, 1.0, 0.01);
}

TEST(VarlenAttention, OtherKeysDrawOtherMasksTheSameKeyTheSame) {
  const EdgeBatch b = support::pack({support::edgeless(20)});
  const at::Tensor qkv = at::randn({20, 24});
  const at::Tensor first = ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 1);
  EXPECT_TRUE(support::same_bits(first, ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 1)));
  EXPECT_FALSE(support::same_bits(first, ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 2)));
}

TEST(VarlenAttention, BitsDoNotDependOnTheThreadCount) {
  const EdgeBatch b = support::pack({support::edgeless(200), support::edgeless(30),
                                     support::edgeless(31), support::edgeless(150)});
  support::expect_thread_independent(op(b, 4, 0.5, 9), {at::randn({b.nodes, 3 * 64})});
}

TEST(VarlenAttention, RefusesShapesThatDoNotFit) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 4}, at::kLong);
  EXPECT_THROW(ops::varlen_attention(at::zeros({4, 10}), start, 4), c10::Error);
  EXPECT_THROW(ops::varlen_attention(at::zeros({5, 12}), start, 2), c10::Error);
  EXPECT_THROW(ops::varlen_attention(at::zeros({4, 12}), start, 2, 1.0), c10::Error);
}

}  // namespace
}  // namespace gtrain
