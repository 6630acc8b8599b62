#include "gtrain/ops/sparse_attention.h"

#include <cmath>
#include <limits>

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using ops::AttentionPattern;
using support::EdgeBatch;
using Tensors = std::vector<at::Tensor>;

struct Form {
  bool pair_bias = false, type_bias = false;
  double dropout = 0;
};

ops::SparseAttentionOptions options_of(const Tensors& in, const Form& form) {
  ops::SparseAttentionOptions options;
  std::size_t next = 3;
  if (form.pair_bias) options.pair_bias = in[next++];
  if (form.type_bias) options.type_bias = in[next];
  options.dropout = form.dropout;
  options.key = 17;
  return options;
}
support::Operation op(const AttentionPattern& pattern, const Form& form = {}) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::sparse_attention(in[0], in[1], in[2], pattern, options_of(in, form))};
  };
}
support::Operation composite(const AttentionPattern& pattern, const Form& form = {}) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::reference::sparse_attention(in[0], in[1], in[2], pattern, options_of(in, form))};
  };
}

Tensors inputs(const AttentionPattern& pattern, std::int64_t heads, std::int64_t width,
               const Form& form = {}) {
  const std::int64_t n = pattern.rows(), m = pattern.columns();
  Tensors in;
  for (const std::int64_t rows : {n, m, m}) {
    in.push_back(at::randn({rows, heads, width}, at::kDouble));
  }
  if (form.pair_bias) in.push_back(at::randn({pattern.pairs(), heads}, at::kDouble));
  if (form.type_bias) in.push_back(at::randn({pattern.types, heads}, at::kDouble));
  return in;
}

AttentionPattern neighbours(const EdgeBatch& b) {
  return ops::neighbour_pattern(b.graph_start, b.edges);
}

// Rows and columns of different numbers, columns in any order and repeated, hubs of both kinds.
AttentionPattern irregular(std::int64_t rows, std::int64_t columns, std::int64_t pairs,
                           std::int64_t types) {
  const at::Tensor row = at::randint(rows, {pairs}, at::kLong).floor_divide(3).mul(2);
  const at::Tensor column = at::randint(columns, {pairs}, at::kLong).floor_divide(2);
  const at::Tensor order = at::argsort(row, true, 0);
  return ops::csr_pattern(at::tensor({std::int64_t{0}, rows}, at::kLong),
                          support::starts_of(row.index_select(0, order), rows), column.to(at::kInt),
                          columns, at::randint(types, {pairs}, at::kLong).to(at::kByte), types);
}

TEST(SparseAttention, EqualsItsCompositeOnOddGraphsInAllTypes) {
  at::manual_seed(1);
  const AttentionPattern pattern = neighbours(support::pack_odd_graphs());
  for (const auto& [heads, width] : {std::pair{8, 8},
                                     {2, 8},
                                     {3, 8},
                                     {4, 16},
                                     {1, 64},
                                     {8, 10},
                                     {4, 24},
                                     {3, 5},
                                     {1, 1},
                                     {5, 4},
                                     {2, 128},
                                     {32, 2}}) {
    SCOPED_TRACE(testing::Message() << heads << " heads of " << width);
    support::expect_kernel_law(op(pattern), composite(pattern), inputs(pattern, heads, width),
                               support::all_types());
  }
}

TEST(SparseAttention, EqualsItsCompositeOnRandomGraphs) {
  at::manual_seed(2);
  const auto batches = support::random_batches();
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{8, 8}, {4, 16}, {2, 12}, {3, 8}};
  for (std::size_t i = 0; i < batches.size(); ++i) {
    SCOPED_TRACE(i);
    const AttentionPattern pattern = neighbours(batches[i]);
    const auto [heads, width] = shapes[i % 4];
    support::expect_kernel_law(
        op(pattern), composite(pattern), inputs(pattern, heads, width),
        i % 5 == 0 ? support::all_types() : std::vector<at::ScalarType>{at::kDouble, at::kFloat});
  }
}

TEST(SparseAttention, EqualsItsCompositeWithBiasesAndDropout) {
  at::manual_seed(3);
  const AttentionPattern pattern = irregular(60, 45, 700, 4);
  for (const Form form : {Form{true, false, 0}, Form{false, true, 0}, Form{true, true, 0},
                          Form{false, false, 0.4}, Form{true, true, 0.3}}) {
    for (const auto& [heads, width] : {std::pair{8, 8}, {6, 8}, {4, 32}, {3, 7}}) {
      SCOPED_TRACE(testing::Message() << form.pair_bias << form.type_bias << form.dropout << " "
                                      << heads << " " << width);
      support::expect_kernel_law(op(pattern, form), composite(pattern, form),
                                 inputs(pattern, heads, width, form), support::all_types());
    }
  }
}

TEST(SparseAttention, EqualsItsCompositeOnHubsCutIntoPieces) {
  at::manual_seed(4);
  const EdgeBatch b =
      support::pack({support::star(9000), support::edgeless(3), support::star(4100)});
  const AttentionPattern pattern =
      ops::union_pattern({neighbours(b), ops::window_pattern(b.graph_start, {.width = 1})});
  const Form form{true, true, 0.2};
  for (const auto& [heads, width] : {std::pair{8, 8}, {2, 5}}) {
    support::expect_kernel_law(op(pattern, form), composite(pattern, form),
                               inputs(pattern, heads, width, form), support::all_types());
  }
}

TEST(SparseAttention, GradientsEqualFiniteDifferencesAlsoUnderDropout) {
  at::manual_seed(5);
  const AttentionPattern pattern = irregular(7, 6, 25, 3);
  for (const Form form : {Form{}, Form{true, true, 0}, Form{true, true, 0.4}}) {
    support::expect_gradients(op(pattern, form), inputs(pattern, 2, 3, form));
    support::expect_gradients(op(pattern, form), inputs(pattern, 1, 8, form));
  }
}

TEST(SparseAttention, BitsDoNotDependOnTheThreadCount) {
  at::manual_seed(6);
  const EdgeBatch b = support::pack({support::star(9000), support::grid(40, 50)});
  const AttentionPattern pattern = ops::union_pattern(
      {neighbours(b), ops::random_pattern(b.graph_start, {.degree = 5, .seed = 1})});
  const Form form{true, true, 0.2};
  Tensors in = inputs(pattern, 8, 8, form);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  support::expect_thread_independent(op(pattern, form), in);
}

TEST(SparseAttention, RowWithoutPairsGivesZeros) {
  const AttentionPattern pattern = ops::pair_pattern(
      at::tensor({0, 3}, at::kLong), at::tensor({1}, at::kLong), at::tensor({2}, at::kLong), 3, 3);
  Tensors in = inputs(pattern, 2, 4);
  const Tensors result = support::run_with_gradients(op(pattern), in);
  EXPECT_EQ(result[0][0].abs().max().item<double>(), 0);
  EXPECT_EQ(support::distance(result[0][1], in[2][2]), 0);
  for (const at::Tensor& t : result) EXPECT_TRUE(t.isfinite().all().item<bool>());
}

TEST(SparseAttention, PatternWithoutAnyPairGivesZerosAndZeroGradients) {
  for (const std::int64_t n : {0, 1, 600}) {
    const EdgeBatch b = support::pack({support::edgeless(n)});
    const AttentionPattern pattern = neighbours(b);
    const Form form{true, true, 0.5};
    for (const at::Tensor& t :
         support::run_with_gradients(op(pattern, form), inputs(pattern, 8, 8, form))) {
      EXPECT_TRUE(t.eq(0).all().item<bool>());
    }
  }
}

TEST(SparseAttention, LargeScoresNeitherOverflowNorVanish) {
  at::manual_seed(7);
  const AttentionPattern pattern = ops::listed(ops::full_pattern(at::tensor({0, 300}, at::kLong)));
  Tensors in = inputs(pattern, 8, 8);
  for (const double shift : {200.0, -200.0, 1e4, 0.0}) {
    Tensors moved = in;
    moved.push_back(at::full({pattern.pairs(), 8}, shift, at::kDouble));
    for (at::Tensor& t : moved) t = t.to(at::kFloat);
    const Form form{true, false, 0};
    const at::Tensor out = op(pattern, form)(moved)[0];
    EXPECT_LE(support::distance(out, op(pattern)({in[0].to(at::kFloat), in[1].to(at::kFloat),
                                                  in[2].to(at::kFloat)})[0]),
              shift == 0 ? 0 : 1e-3 * std::max(1.0, std::abs(shift) / 1000));
  }
  const at::Tensor zero = at::zeros_like(in[0]);
  EXPECT_LE(
      support::distance(op(pattern)({zero, in[1], in[2]})[0], in[2].mean(0, true).expand_as(in[2])),
      1e-13);
}

TEST(SparseAttention, PairsOfWeightMinusInfinityDoNotCount) {
  at::manual_seed(8);
  const AttentionPattern pattern = ops::listed(ops::full_pattern(at::tensor({0, 5}, at::kLong)));
  const Form form{true, false, 0};
  for (const at::ScalarType type : support::all_types()) {
    Tensors in = inputs(pattern, 8, 8, form);
    in[3] = at::full({5, 5, 8}, -std::numeric_limits<double>::infinity(), at::kDouble);
    in[3].select(0, 1).select(0, 3).zero_();  // row 1 attends to 3 alone, the others to nobody
    in[3] = in[3].view({25, 8});
    for (at::Tensor& t : in) t = t.to(type);
    const Tensors result = support::run_with_gradients(op(pattern, form), in);
    EXPECT_EQ(support::distance(result[0][1], in[2][3]), 0);
    for (const std::int64_t row : {0, 2, 3, 4}) {
      EXPECT_EQ(result[0][row].abs().max().item<double>(), 0);
    }
    for (std::size_t i = 1; i < result.size(); ++i) {
      EXPECT_TRUE(result[i].isfinite().all().item<bool>()) << i;
    }
    EXPECT_EQ(result[1].abs().max().item<double>(), 0);  // one weight of 1: no gradient to q
  }
}

TEST(SparseAttention, AllPairsEqualDenseSoftmax) {
  at::manual_seed(9);
  const at::Tensor start = at::tensor({0, 4, 4, 11}, at::kLong);
  const AttentionPattern pattern = ops::full_pattern(start);
  const Tensors in = inputs(pattern, 2, 8);
  const at::Tensor out = op(pattern)(in)[0];
  for (const auto& [first, last] : {std::pair{0, 4}, {4, 11}}) {
    const auto heads = [&, f = first, l = last](const at::Tensor& t) {
      return t.slice(0, f, l).transpose(0, 1);
    };
    const at::Tensor weights =
        at::softmax(at::matmul(heads(in[0]), heads(in[1]).transpose(1, 2)) / std::sqrt(8.0), -1);
    EXPECT_LE(support::distance(heads(out), at::matmul(weights, heads(in[2]))), 1e-14);
  }
}

TEST(SparseAttention, TakesSlicesOfPackedProjectionsAsTheyAre) {
  at::manual_seed(10);
  const AttentionPattern pattern = neighbours(support::pack_odd_graphs());
  const std::int64_t n = pattern.rows();
  const at::Tensor qkv = at::randn({n, 3 * 64}, at::kFloat);
  const auto parts = qkv.chunk(3, 1);
  const at::Tensor whole =
      ops::sparse_attention(parts[0], parts[1], parts[2], pattern, {.heads = 8});
  const at::Tensor apart = ops::sparse_attention(parts[0].contiguous().view({n, 8, 8}),
                                                 parts[1].contiguous().view({n, 8, 8}),
                                                 parts[2].contiguous().view({n, 8, 8}), pattern);
  EXPECT_TRUE(support::same_bits(whole, apart.view({n, 64})));
}

TEST(SparseAttention, DropoutKeepsTheExpectedShareAndDependsOnTheKey) {
  const AttentionPattern pattern = ops::listed(ops::full_pattern(at::tensor({0, 200}, at::kLong)));
  const at::Tensor zero = at::zeros({200, 8, 8}), one = at::ones({200, 8, 8});
  const auto mean = [&](std::uint64_t key) {
    ops::SparseAttentionOptions options;
    options.dropout = 0.3;
    options.key = key;
    return ops::sparse_attention(zero, zero, one, pattern, options);
  };
  EXPECT_NEAR(mean(1).mean().item<double>(), 1, 0.005);
  EXPECT_GT(support::distance(mean(1), mean(2)), 0.01);
  EXPECT_TRUE(support::same_bits(mean(1), mean(1)));
}

TEST(SparseAttention, RefusesWhatDoesNotFit) {
  const AttentionPattern pattern = neighbours(support::pack({support::path(3)}));
  const at::Tensor x = at::zeros({3, 2, 4});
  const auto run = [&](const at::Tensor& q, const at::Tensor& k,
                       const ops::SparseAttentionOptions& options) {
    return ops::sparse_attention(q, k, x, pattern, options);
  };
  EXPECT_NO_THROW(run(x, x, {}));
  EXPECT_THROW(run(at::zeros({4, 2, 4}), x, {}), c10::Error);
  EXPECT_THROW(run(x, at::zeros({3, 4, 2}), {}), c10::Error);
  EXPECT_THROW(run(x, x.to(at::kDouble), {}), c10::Error);
  EXPECT_THROW(run(x, x, {.heads = 4}), c10::Error);
  EXPECT_THROW(run(x, x, {.pair_bias = at::zeros({3, 2})}), c10::Error);
  EXPECT_THROW(run(x, x, {.type_bias = at::zeros({1, 3})}), c10::Error);
  EXPECT_THROW(run(x, x, {.type_bias = at::zeros({1, 2}, at::kDouble)}), c10::Error);
  EXPECT_THROW(run(x, x, {.dropout = 1}), c10::Error);
  EXPECT_THROW(ops::sparse_attention(x.view({3, 8}), x.view({3, 8}), x.view({3, 8}), pattern),
               c10::Error);
  EXPECT_THROW(run(x.to(at::kLong), x.to(at::kLong), {}), c10::Error);
}

}  // namespace
}  // namespace gtrain
