#include "gtrain/script/packed.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/edge_batch.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Packed, StartsCountEmptyGraphs) {
  const at::Tensor batch = at::tensor({1, 1, 1, 3}, at::kLong);
  EXPECT_TRUE(graph_start(batch).equal(at::tensor({0, 0, 3, 3, 4}, at::kLong)));
  EXPECT_TRUE(graph_start(at::zeros({0}, at::kLong)).equal(at::zeros({1}, at::kLong)));
}

TEST(Packed, StartsRefuseWhatDescendsOrLiesOutside) {
  EXPECT_THAT(
      [] {
        graph_start(at::tensor({1, 0, 2}, at::kLong));
      },
      ThrowsMessage<std::exception>(HasSubstr("batch: is not ascending")));
  EXPECT_THAT(
      [] {
        starts(at::tensor({0, 4}, at::kLong), 3, "index");
      },
      ThrowsMessage<std::exception>(HasSubstr("index: holds 4; expected 0 to 2")));
  EXPECT_THAT(
      [] {
        graph_start(at::tensor({0, 1}, at::kInt));
      },
      ThrowsMessage<std::exception>(HasSubstr("expected int64 [N]")));
  EXPECT_THAT([] { starts(at::zeros({0}, at::kLong), -2, "index"); },
              ThrowsMessage<std::exception>(HasSubstr("index: has -2 segments")));
}

TEST(Packed, SortedEdgesAreThoseOfTheBatchWithTheirColumns) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const std::int64_t count = b.edges.count();
  const at::Tensor sorted = at::stack({b.edges.source, b.edges.target});
  const at::Tensor columns = sorted.t() * 10;  // tell which edge they belong to
  const at::Tensor order = at::randperm(count);
  const auto [index, attr] =
      sort_edges(sorted.index_select(1, order), columns.index_select(0, order), b.nodes);
  EXPECT_TRUE(index.equal(sorted));
  EXPECT_TRUE(attr.equal(columns));
  const at::Tensor again = std::get<0>(sort_edges(sorted, columns, b.nodes));
  EXPECT_TRUE(again.equal(sorted));
  EXPECT_FALSE(again.is_alias_of(sorted));  // torch takes operators at their schema's word
}

TEST(Packed, EdgesOutOfRangeAreRefused) {
  const at::Tensor wrong = at::tensor({0, 5, 1, 2}, at::kLong).view({2, 2});
  EXPECT_THAT(
      [&] {
        sort_edges(wrong, at::zeros({2, 0}), 3);
      },
      ThrowsMessage<std::exception>(HasSubstr("5")));
  EXPECT_THAT([&] { forward_edges(wrong[0], wrong[1], 3); },
              ThrowsMessage<std::exception>(HasSubstr("edge_index: holds 5; expected 0 to 2")));
}

TEST(Packed, ForwardEdgesStartWhereTheBatchsDo) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const ops::EdgeIndex edges = forward_edges(b.edges.source, b.edges.target, b.nodes);
  EXPECT_TRUE(edges.in_start.equal(b.edges.in_start));
  EXPECT_TRUE(edges.source.equal(b.edges.source));
  const ops::AttentionPattern pattern = forward_pattern(b.edges.source, b.edges.target, b.nodes);
  EXPECT_EQ(pattern.rows(), b.nodes);
  EXPECT_EQ(pattern.columns(), b.nodes);
  EXPECT_TRUE(pattern.row_start.equal(b.edges.in_start));
}

}  // namespace
}  // namespace gtrain::script
