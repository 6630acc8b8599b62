#include "gtrain/data/batch.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>

#include <cmath>
#include <initializer_list>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

Ids ids_of(const at::Tensor& t) {
  const auto* p = t.const_data_ptr<std::int64_t>();
  return {p, p + t.numel()};
}

at::Tensor tensor(const Ids& values) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), t.mutable_data_ptr<std::int64_t>());
  return t;
}

GraphBatch collated(const Dataset& d, const Ids& graphs, const std::vector<Column>& columns = {}) {
  return collate(d, columns, graphs);
}

TEST(Batch, PacksGraphsInTheGivenOrder) {
  const GraphBatch b = collated(sample_dataset(), {2, 1, 0});
  EXPECT_EQ(b.graphs, 3);
  EXPECT_THAT(b.graph_ids, ElementsAre(2, 1, 0));
  EXPECT_EQ(ids_of(b.graph_start), (Ids{0, 2, 3, 6}));
  EXPECT_EQ(ids_of(b.graph), (Ids{0, 0, 1, 2, 2, 2}));
  EXPECT_EQ(ids_of(b.source), (Ids{1, 0, 4, 5, 3, 5, 3, 4}));
  EXPECT_EQ(ids_of(b.target), (Ids{0, 1, 3, 3, 4, 4, 5, 5}));
  EXPECT_EQ(ids_of(b.in_start), (Ids{0, 1, 2, 2, 4, 6, 8}));
  EXPECT_EQ(ids_of(b.out_start), (Ids{0, 1, 2, 2, 4, 6, 8}));
  EXPECT_EQ(ids_of(b.out_edge), (Ids{1, 0, 4, 6, 2, 7, 3, 5}));
  EXPECT_EQ(ids_of(b.node), (Ids{4, 1, 5, 0, 3, 2, 0, 5, 1, 4, 2, 3}));
  EXPECT_EQ(ids_of(b.edge), (Ids{4, 4, 1, 3, 1, 2, 3, 2}));
  EXPECT_EQ(b.node.sizes(), (std::vector<std::int64_t>{6, 2}));
  EXPECT_EQ(b.label.sizes(), (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(b.label.const_data_ptr<float>()[0], -1.5F);
  EXPECT_TRUE(std::isnan(b.label.const_data_ptr<float>()[2]));
  EXPECT_FALSE(b.label_row.defined());
}

TEST(Batch, FinishOfShuffledEdgesEqualsCollate) {
  const GraphBatch whole = collated(sample_dataset(), {0, 1, 2});
  GraphBatch b;
  const Ids order{5, 2, 7, 0, 3, 6, 1, 4};
  Ids source, target, edge;
  for (const auto e : order) {
    source.push_back(ids_of(whole.source)[static_cast<std::size_t>(e)]);
    target.push_back(ids_of(whole.target)[static_cast<std::size_t>(e)]);
    edge.push_back(ids_of(whole.edge)[static_cast<std::size_t>(e)]);
  }
  b.source = tensor(source);
  b.target = tensor(target);
  b.edge = tensor(edge).view({8, 1});
  b.graph = whole.graph;
  const Ids permutation = ids_of(finish(b, 6, 3));
  EXPECT_EQ(ids_of(b.source), ids_of(whole.source));
  EXPECT_EQ(ids_of(b.target), ids_of(whole.target));
  EXPECT_EQ(ids_of(b.edge), ids_of(whole.edge));
  EXPECT_EQ(ids_of(b.in_start), ids_of(whole.in_start));
  EXPECT_EQ(ids_of(b.out_start), ids_of(whole.out_start));
  EXPECT_EQ(ids_of(b.out_edge), ids_of(whole.out_edge));
  EXPECT_EQ(ids_of(b.graph_start), ids_of(whole.graph_start));
  for (std::size_t e = 0; e < 8; ++e) {
    EXPECT_EQ(order[static_cast<std::size_t>(permutation[e])], static_cast<std::int64_t>(e));
  }
}

TEST(Batch, FinishRefusesEndsOutOfRange) {
  GraphBatch b;
  b.source = tensor({0, 2});
  b.target = tensor({1, 0});
  b.graph = tensor({0, 0});
  EXPECT_THAT(message_of([&] { finish(b, 2, 1); }), HasSubstr("source of entry 1 is 2"));
}

TEST(Batch, NumericIntegersReachTheModelAsFloats) {
  Dataset d = sample_dataset();
  d.info.node_categories.clear();
  const GraphBatch b = collated(d, {0});
  EXPECT_EQ(b.node.scalar_type(), at::kFloat);
  EXPECT_EQ(b.node.const_data_ptr<float>()[1], 5.0F);
}

TEST(Batch, SetsWithoutFeaturesGiveZeroColumns) {
  Dataset d = sample_dataset();
  d.node_features = d.edge_features = Column{};
  d.node_features.width = d.edge_features.width = 0;
  const GraphBatch b = collated(d, {0, 2});
  EXPECT_EQ(b.node.sizes(), (std::vector<std::int64_t>{5, 0}));
  EXPECT_EQ(b.edge.sizes(), (std::vector<std::int64_t>{8, 0}));
  EXPECT_EQ(b.nodes(), 5);
}

TEST(Batch, EncodingsFollowTheirGraphs) {
  auto walk = make_column<float>("walk", Per::kNode, 6, 2);
  for (int i = 0; i < 12; ++i) walk.data[i] = static_cast<float>(i);
  auto degree = make_column<std::int32_t>("degree", Per::kNode, 6, 1);
  degree.data[5] = 7;
  auto hops = make_column<std::uint8_t>("hops", Per::kPair, 9 + 1 + 4, 1);
  for (int i = 0; i < 14; ++i) hops.data[i] = static_cast<std::uint8_t>(i);
  const GraphBatch b =
      collated(sample_dataset(), {2, 0}, {walk.column, degree.column, hops.column});
  EXPECT_EQ(b.encoding.at("walk").const_data_ptr<float>()[0], 8.0F);
  EXPECT_EQ(b.encoding.at("walk").const_data_ptr<float>()[4], 0.0F);
  EXPECT_EQ(ids_of(b.encoding.at("degree")), (Ids{0, 7, 0, 0, 0}));
  EXPECT_EQ(ids_of(b.pair_start), (Ids{0, 4, 13}));
  const at::Tensor& pairs = b.encoding.at("hops");
  EXPECT_EQ(pairs.scalar_type(), at::kByte);
  EXPECT_EQ(pairs.numel(), 13);
  EXPECT_EQ(pairs.const_data_ptr<std::uint8_t>()[0], 10);
  EXPECT_EQ(pairs.const_data_ptr<std::uint8_t>()[4], 0);
}

Dataset single_graph() {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/num-node-list.csv.gz", gzip("6\n"));
  write_text(directory.path() / "raw/num-edge-list.csv.gz", gzip("4\n"));
  write_text(directory.path() / "raw/node-label.csv.gz", gzip("0\n1\n\n1\n2\n0\n"));
  PackRules rules = sample_rules();
  rules.task = Task::kNodeClass;
  return pack(read_folder(directory.path(), Level::kNode), rules);
}

TEST(Batch, RowsOfASingleGraphSelectLabels) {
  const Dataset d = single_graph();
  ASSERT_TRUE(d.single_graph());
  const Ids graphs{0}, rows{4, 0, 2};
  const GraphBatch b = collate(d, {}, graphs, rows);
  EXPECT_EQ(ids_of(b.label), (Ids{2, 0, -1}));
  EXPECT_EQ(ids_of(b.label_row), rows);
  EXPECT_EQ(b.nodes(), 6);
  EXPECT_EQ(ids_of(collate(d, {}, graphs).label), (Ids{0, 1, -1, 1, 2, 0}));
}

TEST(Batch, EmptyGraphsAndNoGraphsCollate) {
  Dataset d = sample_dataset();
  const GraphBatch lone = collated(d, {1});
  EXPECT_EQ(lone.nodes(), 1);
  EXPECT_EQ(lone.edges(), 0);
  const GraphBatch none = collated(d, {});
  EXPECT_EQ(none.nodes(), 0);
  EXPECT_EQ(ids_of(none.graph_start), (Ids{0}));
  EXPECT_EQ(none.label.size(0), 0);
}

TEST(Batch, PairsOfEdgeTasksBecomeBatchRows) {
  Dataset d = sample_dataset();
  d.info.task = Task::kEdgeBinary;
  auto start = make_column<std::int64_t>("pair_start", Per::kGraph, 4, 1);
  for (const int g : {1, 2}) start.data[g] = 2;
  start.data[3] = 3;
  auto pairs = make_column<std::int32_t>("pairs", Per::kEdge, 3, 2);
  const std::int32_t ends[] = {0, 2, 2, 1, 1, 0};
  std::copy(std::begin(ends), std::end(ends), pairs.data);
  auto labels = make_column<float>("labels", Per::kGraph, 3, 1);
  labels.data[2] = 1;
  d.pair_start = start.column;
  d.pairs = pairs.column;
  d.labels = labels.column;
  const GraphBatch b = collated(d, {2, 0});
  EXPECT_EQ(ids_of(b.pair), (Ids{1, 0, 2, 4, 4, 3}));
  EXPECT_EQ(b.label.const_data_ptr<float>()[0], 1.0F);
}

TEST(Batch, UnknownGraphIsRefused) {
  EXPECT_THAT(message_of([] { collated(sample_dataset(), {3}); }), HasSubstr("graph 3"));
}

}  // namespace
}  // namespace gtrain::data
