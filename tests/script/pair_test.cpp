#include "gtrain/script/pair.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/edge_batch.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

at::Tensor numbers(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::kLong);
}

// Pairs as a mask, bool [N, N]: row attends to column. Columns of a row have to ascend.
at::Tensor mask_of(const std::vector<at::Tensor>& pattern) {
  const at::Tensor start = pattern[0], column = pattern[1].to(at::kLong);
  const std::int64_t n = start.numel() - 1;
  const at::Tensor row = at::repeat_interleave(at::arange(n), start.diff());
  EXPECT_TRUE((row * n + column).diff().gt(0).all().item<bool>());
  return at::zeros({n, n}, at::kBool).index_put_({row, column}, at::ones({}, at::kBool));
}

// Neighbours in the numbering, itself among them, and pairs with the first `global` of a graph.
at::Tensor near_or_global(const support::EdgeBatch& b, std::int64_t window, std::int64_t global) {
  const at::Tensor node = at::arange(b.nodes);
  const at::Tensor local = node - b.graph_start.index_select(0, b.graph);
  const at::Tensor near = (node.unsqueeze(1) - node).abs() <= window;
  const at::Tensor first = local < global;
  return (near | first.unsqueeze(1) | first) & (b.graph.unsqueeze(1) == b.graph);
}

TEST(ScriptPair, BigBirdsPairsAreAWindowTheFirstNodesAndSoManyRandomOnes) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  constexpr std::int64_t kWindow = 2, kRandom = 3, kGlobal = 1;
  const at::Tensor self = at::eye(b.nodes, at::kBool);
  const at::Tensor drawn = mask_of(bigbird_pattern(b.graph, 0, kRandom, 0, 5));
  EXPECT_TRUE(drawn.masked_select(self).all().item<bool>());
  const at::Tensor inside = b.graph.unsqueeze(1) == b.graph;
  EXPECT_FALSE((drawn & ~inside).any().item<bool>());
  const at::Tensor others = inside.sum(1) - 1;
  EXPECT_TRUE((drawn & ~self).sum(1).equal(others.clamp_max(kRandom)));
  EXPECT_FALSE(mask_of(bigbird_pattern(b.graph, 0, kRandom, 0, 6)).equal(drawn));
  EXPECT_TRUE(mask_of(bigbird_pattern(b.graph, kWindow, 0, kGlobal, 5))
                  .equal(near_or_global(b, kWindow, kGlobal)));
  EXPECT_TRUE(mask_of(bigbird_pattern(b.graph, kWindow, kRandom, kGlobal, 5))
                  .equal(near_or_global(b, kWindow, kGlobal) | drawn));
}

TEST(ScriptPair, AttendsOverThePairsOfBigBird) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const at::Tensor qkv = at::randn({b.nodes, 24}, at::kDouble);
  const std::vector<at::Tensor> pattern = bigbird_pattern(b.graph, 1, 2, 1, 5);
  const std::vector<at::Tensor> parts = qkv.view({b.nodes, 3, 2, 4}).unbind(1);
  const at::Tensor score = at::einsum("ihc,jhc->hij", {parts[0], parts[1]}) / 2;
  const at::Tensor weight = score.masked_fill(~mask_of(pattern), -INFINITY).softmax(-1);
  const at::Tensor want = at::einsum("hij,jhc->ihc", {weight, parts[2]}).flatten(1);
  EXPECT_TRUE(sparse_attention(qkv, pattern, 2).allclose(want, 1e-12, 1e-12));
}

TEST(ScriptPair, PairsOutsideTheNodesAreRefused) {
  const at::Tensor qkv = at::randn({2, 6}), start = numbers({0, 1, 2});
  const auto attend = [&](const at::Tensor& row_start, const std::vector<int>& column) {
    return sparse_attention(qkv, {row_start, at::tensor(column, at::kInt)}, 1);
  };
  EXPECT_EQ(attend(start, {0, 1}).size(0), 2);
  EXPECT_THAT(
      [&] {
        attend(start, {0, 2});
      },
      ThrowsMessage<std::exception>(HasSubstr("column: holds 2; expected 0 to 1")));
  EXPECT_THAT(
      [&] {
        attend(numbers({0, 2}), {0, 1});
      },
      ThrowsMessage<std::exception>(HasSubstr("row_start: has 2 entries; expected 3")));
  EXPECT_THAT(
      [&] {
        attend(numbers({0, 3, 2}), {0, 1});
      },
      ThrowsMessage<std::exception>(HasSubstr("row_start: goes from 0 to 2")));
  EXPECT_THAT([&] { sparse_attention(qkv, {start}, 1); },
              ThrowsMessage<std::exception>(HasSubstr("pattern: has 1 tensors")));
}

TEST(ScriptPair, OthersAreThePairsWithoutAnEdge) {
  // A path 0 - 1 - 2, a node alone, and an arc 4 -> 5 with a loop at 5.
  const at::Tensor source = numbers({1, 0, 2, 1, 4, 5}), target = numbers({0, 1, 1, 2, 5, 5});
  const at::Tensor got = other_pairs(source, target, numbers({0, 0, 0, 1, 2, 2}));
  EXPECT_TRUE(got.equal(at::stack({numbers({2, 0, 5}), numbers({0, 2, 4})}))) << got;
  EXPECT_EQ(other_pairs(numbers({}), numbers({}), numbers({})).sizes(), at::IntArrayRef({2, 0}));
}

// A path 0 - 1 - 2 - 3; kinds of the pairs next to each other are 2, 3, 4.
struct Path {
  at::Tensor hops = numbers({0, 1, 2, 3, 1, 0, 1, 2, 2, 1, 0, 1, 3, 2, 1, 0});
  at::Tensor inner = numbers({-1, -1, 1, 2, -1, -1, -1, 2, 1, -1, -1, -1, 2, 2, -1, -1});
  at::Tensor kind = numbers({1, 2, 1, 1, 2, 1, 3, 1, 1, 3, 1, 4, 1, 1, 4, 1});
  at::Tensor batch = numbers({0, 0, 0, 0});
};

TEST(ScriptPair, SumsTheStepsOfPathsEachFromItsTable) {
  const Path p;
  const at::Tensor table = at::randn({3, 5, 2});
  const at::Tensor got = path_sum(p.hops, p.inner, p.kind, table, p.batch, 3).view({4, 4, 2});
  EXPECT_TRUE(got[0][3].allclose(table[0][2] + table[1][3] + table[2][4]));
  EXPECT_TRUE(got[3][1].allclose(table[0][4] + table[1][3] + table[2][0]));
  EXPECT_TRUE(got[2][2].allclose(table[0][0] + table[1][0] + table[2][0]));
  const at::Tensor cut = path_sum(p.hops, p.inner, p.kind, table, p.batch, 2).view({4, 4, 2});
  EXPECT_TRUE(cut[0][3].allclose(table[0][2] + table[1][3] + table[2][0]));
  EXPECT_EQ(
      path_sum(p.hops, p.inner, p.kind, table.slice(0, 0, 0), p.batch, 3).abs().max().item<float>(),
      0);
}

TEST(ScriptPair, PathsThatLeadInACircleAreRefused) {
  Path p;
  const at::Tensor table = at::randn({3, 5, 2});
  p.inner = p.inner.clone();
  p.inner[3] = 0;
  EXPECT_THAT([&] { path_sum(p.hops, p.inner, p.kind, table, p.batch, 3); },
              ThrowsMessage<std::exception>(HasSubstr("lead in a circle")));
  p.inner[3] = 7;
  EXPECT_THAT([&] { path_sum(p.hops, p.inner, p.kind, table, p.batch, 3); },
              ThrowsMessage<std::exception>(HasSubstr("shortest_path: holds 7")));
  EXPECT_THAT([&] { path_sum(p.hops, p.hops, p.kind + 1, table, p.batch, 3); },
              ThrowsMessage<std::exception>(HasSubstr("kind: has other numbers")));
  EXPECT_THAT([&] { path_sum(p.hops, p.inner, p.kind, table, p.batch, -1); },
              ThrowsMessage<std::exception>(HasSubstr("cap: is -1")));
}

// Both halves of a path lead on, and none comes to a step: twice the work with every node.
TEST(ScriptPair, PathsThatBranchWithoutAnEndAreRefused) {
  const std::int64_t n = 60;
  at::Tensor hops = at::ones({n, n}, at::kLong);
  hops.select(0, 0).zero_();
  hops.select(1, 0).zero_();
  const at::Tensor number = at::arange(n);
  const at::Tensor inner = at::minimum(number.unsqueeze(1), number) - 1;
  const at::Tensor zeros = at::zeros({n * n}, at::kLong);
  EXPECT_THAT(
      [&] {
        path_sum(hops.flatten(), inner.flatten(), zeros, at::randn({3, 1, 2}),
                 at::zeros({n}, at::kLong), 3);
      },
      ThrowsMessage<std::exception>(HasSubstr("lead in a circle")));
}

}  // namespace
}  // namespace gtrain::script
