#include "gtrain/data/transform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using Ints = std::vector<std::int64_t>;

Transformed added(const Dataset& dataset, std::vector<Column> encodings = {},
                  VirtualNodeOptions options = {}) {
  const std::string stage = options.after;
  return transform(dataset, std::move(encodings), {options}, stage);
}

// The three graphs of the sample: a triangle, a single node, one edge.
TEST(VirtualNode, IsTheLastNodeOfEveryGraphAndJoinsAllOthers) {
  const Dataset d = added(sample_dataset()).dataset;
  EXPECT_EQ(values_of<std::int64_t>(d.node_start), (Ints{0, 4, 6, 9}));
  EXPECT_EQ(values_of<std::int64_t>(d.edge_start), (Ints{0, 12, 14, 20}));
  EXPECT_EQ(values_of<std::int64_t>(d.row_start), (Ints{0, 3, 6, 9, 12, 13, 14, 16, 18, 20}));
  EXPECT_EQ(values_of<std::int64_t>(d.source),
            (Ints{1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2, 1, 0, 1, 2, 0, 2, 0, 1}));
  EXPECT_TRUE(d.info.virtual_node);
}

TEST(VirtualNode, HasZerosWhereOthersHaveColumns) {
  const Dataset plain = sample_dataset();
  const Dataset d = added(plain).dataset;
  EXPECT_EQ(values_of<std::int64_t>(d.node_features),
            (Ints{0, 5, 1, 4, 2, 3, 0, 0, 3, 2, 0, 0, 4, 1, 5, 0, 0, 0}));
  const Ints edges = values_of<std::int64_t>(d.edge_features);
  const Ints old = values_of<std::int64_t>(plain.edge_features);
  const Ints of_triangle{old[0], old[1], 0, old[2], old[3], 0, old[4], old[5], 0, 0, 0, 0};
  EXPECT_EQ(Ints(edges.begin(), edges.begin() + 12), of_triangle);
  EXPECT_EQ(values_of<float>(d.labels).size(), values_of<float>(plain.labels).size());
}

TEST(VirtualNode, PureDropsTheGraphsOwnEdges) {
  VirtualNodeOptions pure;
  pure.pure = true;
  const Dataset d = added(sample_dataset(), {}, pure).dataset;
  EXPECT_EQ(values_of<std::int64_t>(d.source), (Ints{3, 3, 3, 0, 1, 2, 1, 0, 2, 2, 0, 1}));
  EXPECT_EQ(values_of<std::int64_t>(d.edge_features), Ints(12, 0));
}

TEST(VirtualNode, KeepsMissingValuesOfEncodingsAndHasZerosItself) {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  auto vectors = make_column<float>("laplacian.vectors", Per::kNode, 6, 2);
  for (int i = 0; i < 12; ++i) vectors.data[i] = i % 2 == 0 ? static_cast<float>(i + 1) : kNone;
  const auto out = values_of<float>(added(sample_dataset(), {vectors.column}).encodings[0]);
  ASSERT_EQ(out.size(), 18U);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_EQ(out[6], 0);  // the first graph's virtual node
  EXPECT_EQ(out[7], 0);
  EXPECT_EQ(out[8], 7);
}

TEST(VirtualNode, HasNoLabelInNodeTasksUnlessTheQuirkSaysZero) {
  Dataset plain = sample_dataset();
  plain.info.task = Task::kNodeClass;
  auto labels = make_column<std::int64_t>("labels", Per::kNode, 6, 1);
  for (int i = 0; i < 6; ++i) labels.data[i] = i + 1;
  plain.labels = labels.column;
  EXPECT_EQ(values_of<std::int64_t>(added(plain).dataset.labels),
            (Ints{1, 2, 3, -1, 4, -1, 5, 6, -1}));
  VirtualNodeOptions zero;
  zero.quirks = {"virtual_label_zero"};
  EXPECT_EQ(values_of<std::int64_t>(added(plain, {}, zero).dataset.labels),
            (Ints{1, 2, 3, 0, 4, 0, 5, 6, 0}));
}

TEST(VirtualNode, ChangesTheHashOnlyWhereEncodingsSeeIt) {
  const Dataset plain = sample_dataset();
  EXPECT_EQ(added(plain).dataset.info.hash, plain.info.hash);
  VirtualNodeOptions early;
  early.after = "import";
  EXPECT_NE(added(plain, {}, early).dataset.info.hash, plain.info.hash);
  EXPECT_EQ(transform(plain, {}, {early}, "encode").dataset.nodes(), plain.nodes());
}

TEST(VirtualNode, RefusesColumnsOfPairsAndASecondOne) {
  auto pairs = make_column<std::uint8_t>("hop_distance", Per::kPair, 14, 1);
  EXPECT_NE(message_of<base::RecipeError>([&] {
              added(sample_dataset(), {pairs.column});
            }).find("hop_distance"),
            std::string::npos);
  const VirtualNodeOptions one;
  EXPECT_NE(message_of<base::RecipeError>([&] {
              transform(sample_dataset(), {}, {one, one}, "encode");
            }).find("twice"),
            std::string::npos);
}

}  // namespace
}  // namespace gtrain::data
