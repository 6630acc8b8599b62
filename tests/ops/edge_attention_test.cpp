#include "gtrain/ops/edge_attention.h"

#include <cmath>

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using ops::AttentionPattern;
using ops::EdgeAttentionOptions;
using support::EdgeBatch;
using Tensors = std::vector<at::Tensor>;

const EdgeAttentionOptions kGt{.edge_output = true};
const EdgeAttentionOptions kExphormer{};
const EdgeAttentionOptions kNodes{.epsilon = 0};

template <class F>
support::Operation operation(const AttentionPattern& pattern, const EdgeAttentionOptions& options,
                             const F& f) {
  return [=](const Tensors& in) -> Tensors {
    const auto [out, w] =
        f(in[0], in[1], in[2], in.size() > 3 ? in[3] : at::Tensor(), pattern, options);
    return w.defined() ? Tensors{out, w} : Tensors{out};
  };
}
support::Operation op(const AttentionPattern& pattern, const EdgeAttentionOptions& options) {
  return operation(pattern, options, ops::edge_attention);
}
support::Operation composite(const AttentionPattern& pattern, const EdgeAttentionOptions& options) {
  return operation(pattern, options, ops::reference::edge_attention);
}

// Scores reach beyond the clamp for some pairs and stay inside for most.
Tensors inputs(const AttentionPattern& pattern, std::int64_t heads, std::int64_t width,
               bool edges) {
  Tensors in;
  for (const std::int64_t rows : {pattern.rows(), pattern.columns(), pattern.columns()}) {
    in.push_back(at::randn({rows, heads, width}, at::kDouble) * 1.5);
  }
  if (edges) in.push_back(at::randn({pattern.pairs(), heads, width}, at::kDouble) * 1.5);
  return in;
}
AttentionPattern neighbours(const EdgeBatch& b) {
  return ops::neighbour_pattern(b.graph_start, b.edges);
}

// The smallest distance of a raw score from the clamp's ends, where the gradient jumps.
double clearance(const Tensors& in, const AttentionPattern& pattern) {
  const at::Tensor row = at::repeat_interleave(at::diff(pattern.row_start));
  at::Tensor score = in[0].index_select(0, row) *
                     in[1].index_select(0, pattern.column.to(at::kLong)) /
                     std::sqrt(static_cast<double>(in[0].size(2)));
  if (in.size() > 3) score = score * in[3];
  return (score.sum(2).abs() - 5).abs().min().item<double>();
}

TEST(EdgeAttention, EqualsItsCompositeOnOddGraphsInDoubleAndFloat) {
  at::manual_seed(1);
  const AttentionPattern pattern = neighbours(support::pack_odd_graphs());
  for (const auto& options : {kGt, kExphormer, kNodes}) {
    for (const auto& [heads, width] :
         {std::pair{8, 8}, {2, 8}, {4, 16}, {8, 10}, {1, 33}, {3, 5}}) {
      SCOPED_TRACE(testing::Message() << heads << " heads of " << width);
      const Tensors in = inputs(pattern, heads, width, options.epsilon > 0);
      ASSERT_GT(clearance(in, pattern), 1e-4);
      support::expect_kernel_law(op(pattern, options), composite(pattern, options), in);
    }
  }
}

TEST(EdgeAttention, EqualsItsCompositeInSixteenBits) {
  at::manual_seed(2);
  const AttentionPattern pattern = neighbours(support::pack_odd_graphs());
  const EdgeAttentionOptions wide{.clamp = 40, .edge_output = true};  // rounding crosses no clamp
  for (const auto& [heads, width] : {std::pair{8, 8}, {4, 16}, {3, 5}}) {
    Tensors in = inputs(pattern, heads, width, true);
    for (at::Tensor& t : in) t = t * 0.5;
    support::expect_kernel_law(op(pattern, wide), composite(pattern, wide), in,
                               {at::kBFloat16, at::kHalf});
  }
}

TEST(EdgeAttention, EqualsItsCompositeOnRandomGraphs) {
  at::manual_seed(3);
  const auto batches = support::random_batches();
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{8, 8}, {4, 16}, {2, 12}, {3, 8}};
  for (std::size_t i = 0; i < batches.size(); ++i) {
    SCOPED_TRACE(i);
    const AttentionPattern pattern = neighbours(batches[i]);
    const auto [heads, width] = shapes[i % 4];
    const EdgeAttentionOptions options = i % 3 == 0 ? kGt : i % 3 == 1 ? kExphormer : kNodes;
    Tensors in = inputs(pattern, heads, width, i % 3 != 2);
    while (pattern.pairs() > 0 && clearance(in, pattern) < 1e-4) {
      in = inputs(pattern, heads, width, i % 3 != 2);
    }
    support::expect_kernel_law(op(pattern, options), composite(pattern, options), in);
  }
}

TEST(EdgeAttention, EqualsItsCompositeOnHubsCutIntoPieces) {
  at::manual_seed(4);
  const AttentionPattern pattern =
      neighbours(support::pack({support::star(9000), support::edgeless(2)}));
  for (const auto& [heads, width] : {std::pair{8, 8}, {2, 5}}) {
    Tensors in = inputs(pattern, heads, width, true);
    for (at::Tensor& t : in) t = t * 0.5;
    ASSERT_GT(clearance(in, pattern), 1e-5);
    support::expect_kernel_law(op(pattern, kGt), composite(pattern, kGt), in, support::all_types());
  }
}

TEST(EdgeAttention, GradientsEqualFiniteDifferencesOnBothSidesOfTheClamp) {
  at::manual_seed(5);
  const AttentionPattern pattern =
      neighbours(support::pack({support::star(4), support::self_loop(), support::edgeless(1)}));
  for (const bool edges : {true, false}) {
    Tensors in = inputs(pattern, 2, 3, edges);
    in[0].mul_(2);
    ASSERT_GT(clearance(in, pattern), 1e-3);
    const EdgeAttentionOptions options{.clamp = 1.5, .edge_output = true};
    support::expect_gradients(op(pattern, options), in);
  }
}

TEST(EdgeAttention, ClampedPairsHaveNoGradientThroughTheScore) {
  const AttentionPattern pattern = neighbours(support::pack({support::path(3)}));
  Tensors in;
  for (int i = 0; i < 3; ++i) in.push_back(at::full({3, 1, 8}, 10.0, at::kDouble));
  in[2] = at::randn({3, 1, 8}, at::kDouble);
  const Tensors result = support::run_with_gradients(op(pattern, kNodes), in);
  EXPECT_LE(support::distance(result[0][1], (in[2][0] + in[2][2]) / 2), 1e-15);
  EXPECT_EQ(result[1].abs().max().item<double>(), 0);
  EXPECT_EQ(result[2].abs().max().item<double>(), 0);
  EXPECT_GT(result[3].abs().max().item<double>(), 0);
}

TEST(EdgeAttention, EpsilonShrinksASingleNeighbour) {
  const AttentionPattern pattern = neighbours(support::pack({support::path(2)}));
  const at::Tensor zero = at::zeros({2, 1, 4}, at::kDouble), v = at::ones({2, 1, 4}, at::kDouble);
  const auto [out, w] = ops::edge_attention(zero, zero, v, {}, pattern, {.epsilon = 0.25});
  EXPECT_LE(support::distance(out, v / 1.25), 1e-15);
  EXPECT_FALSE(w.defined());
}

TEST(EdgeAttention, BitsDoNotDependOnTheThreadCount) {
  at::manual_seed(6);
  const EdgeBatch b = support::pack({support::star(9000), support::grid(40, 50)});
  const AttentionPattern pattern = neighbours(b);
  Tensors in = inputs(pattern, 8, 8, true);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  support::expect_thread_independent(op(pattern, kGt), in);
}

TEST(EdgeAttention, GraphsWithoutPairsGiveZerosAndZeroGradients) {
  for (const std::int64_t n : {0, 1, 600}) {
    const AttentionPattern pattern = neighbours(support::pack({support::edgeless(n)}));
    for (const at::Tensor& t :
         support::run_with_gradients(op(pattern, kGt), inputs(pattern, 8, 8, true))) {
      EXPECT_TRUE(t.eq(0).all().item<bool>());
    }
  }
}

TEST(EdgeAttention, RefusesWhatDoesNotFit) {
  const AttentionPattern pattern = neighbours(support::pack({support::path(3)}));
  const at::Tensor x = at::zeros({3, 2, 4}), e = at::zeros({4, 2, 4});
  EXPECT_NO_THROW(ops::edge_attention(x, x, x, e, pattern));
  EXPECT_NO_THROW(ops::edge_attention(x, x, x, e.view({4, 8}), pattern));
  EXPECT_THROW(ops::edge_attention(x, x, x, at::zeros({3, 2, 4}), pattern), c10::Error);
  EXPECT_THROW(ops::edge_attention(x, x, x, at::zeros({4, 4, 2}), pattern), c10::Error);
  EXPECT_THROW(ops::edge_attention(x, x, x, e.to(at::kDouble), pattern), c10::Error);
  EXPECT_THROW(ops::edge_attention(x, x, at::zeros({2, 2, 4}), e, pattern), c10::Error);
  EXPECT_THROW(ops::edge_attention(x, x, x, e, pattern, {.clamp = 0}), c10::Error);
  EXPECT_THROW(ops::edge_attention(x, x, x, e, pattern, {.epsilon = -1}), c10::Error);
}

}  // namespace
}  // namespace gtrain
