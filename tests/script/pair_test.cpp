#include "gtrain/script/pair.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/ops/sparse_attention.h"
#include "support/edge_batch.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

at::Tensor numbers(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::kLong);
}

TEST(ScriptPair, AttendsOverThePairsOfBigBird) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const at::Tensor qkv = at::randn({b.nodes, 24});
  const ops::AttentionPattern pattern =
      ops::union_pattern({ops::window_pattern(b.graph_start, {.width = 1}),
                          ops::global_pattern(b.graph_start, {.count = 1}),
                          ops::random_pattern(b.graph_start, {.degree = 2, .seed = 5})});
  const at::Tensor want = ops::sparse_attention(qkv.slice(1, 0, 8), qkv.slice(1, 8, 16),
                                                qkv.slice(1, 16, 24), pattern, {.heads = 2});
  EXPECT_TRUE(sparse_attention(qkv, bigbird_pattern(b.graph, 1, 2, 1, 5), 2).equal(want));
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
