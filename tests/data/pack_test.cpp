#include "gtrain/data/pack.h"

#include <gmock/gmock.h>
#include <tbb/global_control.h>

#include <algorithm>
#include <tuple>

#include "data/sample.h"
#include "gtrain/base/random.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Folder sample_folder(const std::filesystem::path& path) {
  write_sample(path);
  return read_folder(path, Level::kGraph);
}

TEST(Pack, DoublesSortsByDestinationAndCarriesFeaturesAlong) {
  const Dataset d = sample_dataset();
  EXPECT_THAT(values_of<int>(d.node_start), ElementsAre(0, 3, 4, 6));
  EXPECT_THAT(values_of<int>(d.edge_start), ElementsAre(0, 6, 6, 8));
  EXPECT_THAT(values_of<int>(d.row_start), ElementsAre(0, 2, 4, 6, 6, 7, 8));
  EXPECT_THAT(values_of<int>(d.source), ElementsAre(1, 2, 0, 2, 0, 1, 1, 0));
  EXPECT_THAT(values_of<int>(d.edge_features), ElementsAre(1, 3, 1, 2, 3, 2, 4, 4));
  EXPECT_TRUE(d.info.undirected);
  EXPECT_EQ(d.info.node_categories, (std::vector<std::int64_t>{6, 6}));
}

TEST(Pack, KeepsDirectedEdgesAsStored) {
  const test::TemporaryDirectory directory;
  PackRules rules = sample_rules();
  rules.add_inverse_edge = false;
  const Dataset d = pack(sample_folder(directory.path()), rules);
  EXPECT_THAT(values_of<int>(d.row_start), ElementsAre(0, 0, 1, 3, 3, 4, 4));
  EXPECT_THAT(values_of<int>(d.source), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(values_of<int>(d.edge_features), ElementsAre(1, 3, 2, 4));
  EXPECT_FALSE(d.info.undirected);
}

TEST(Pack, SetsThatHoldBothDirectionsAreSeenToBeUndirected) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/num-edge-list.csv.gz", gzip("2\n0\n2\n"));
  write_text(directory.path() / "raw/edge.csv.gz", gzip("0,1\n1,0\n1,0\n0,1\n"));
  PackRules rules = sample_rules();
  rules.add_inverse_edge = false;
  EXPECT_TRUE(pack(read_folder(directory.path(), Level::kGraph), rules).info.undirected);
}

TEST(Pack, RepeatedEdgesAndLoopsKeepTheirOrder) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/edge.csv.gz", gzip("1,1\n0,1\n0,1\n1,0\n"));
  PackRules rules = sample_rules();
  const Dataset d = pack(read_folder(directory.path(), Level::kGraph), rules);
  // Doubled as OGB does: the loop twice, each repeated edge twice.
  EXPECT_THAT(values_of<int>(d.source), ElementsAre(1, 1, 0, 0, 1, 1, 1, 0));
  EXPECT_THAT(values_of<int>(d.edge_features), ElementsAre(2, 3, 2, 3, 1, 1, 4, 4));
}

TEST(Pack, EdgeEndsOutOfRangeAreRefusedWithFileRowAndGraph) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/edge.csv.gz", gzip("0,1\n1,2\n0,2\n1,2\n"));
  EXPECT_THAT(
      message_of([&] { pack(read_folder(directory.path(), Level::kGraph), sample_rules()); }),
      HasSubstr("edge.csv.gz (row 4): edge 1,2 in graph 2, which has 2 nodes; expected ends from "
                "0 to 1"));
  write_text(directory.path() / "raw/edge.csv.gz", gzip("0,1\n1,-1\n0,2\n1,0\n"));
  EXPECT_THAT(
      message_of([&] { pack(read_folder(directory.path(), Level::kGraph), sample_rules()); }),
      HasSubstr("edge.csv.gz (row 2): edge 1,-1 in graph 0"));
}

TEST(Pack, GraphsWithoutNodesOrEdgesAreLegal) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/num-node-list.csv.gz", gzip("3\n0\n3\n"));
  write_text(directory.path() / "raw/num-edge-list.csv.gz", gzip("4\n0\n0\n"));
  write_text(directory.path() / "raw/edge.csv.gz", gzip("0,1\n1,2\n0,2\n1,0\n"));
  const Dataset d = pack(read_folder(directory.path(), Level::kGraph), sample_rules());
  EXPECT_EQ(d.nodes_of(1), 0);
  EXPECT_THAT(values_of<int>(d.edge_start), ElementsAre(0, 8, 8, 8));
}

TEST(Pack, EdgesInAGraphWithoutNodesAreRefused) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/num-node-list.csv.gz", gzip("6\n0\n0\n"));
  EXPECT_THAT(
      message_of([&] { pack(read_folder(directory.path(), Level::kGraph), sample_rules()); }),
      HasSubstr("graph 2, which has 0 nodes; expected no edges"));
}

TEST(Pack, GraphWithMoreNodesThanIdsHoldIsRefusedByItsRow) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/num-node-list.csv.gz", gzip("3\n2147483648\n2\n"));
  std::filesystem::remove(directory.path() / "raw/node-feat.csv.gz");
  const Folder folder = read_folder(directory.path(), Level::kGraph);
  EXPECT_THAT(message_of([&] { pack(folder, sample_rules()); }),
              HasSubstr("num-node-list.csv.gz (row 2): 2147483648 nodes in one graph; expected at "
                        "most 2147483647"));
}

TEST(Pack, ClassLabelsOutOfRangeAreRefused) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/graph-label.csv.gz", gzip("0\n3\n1\n"));
  PackRules rules = sample_rules();
  rules.task = Task::kGraphClass;
  rules.classes = 3;
  EXPECT_THAT(message_of([&] { pack(read_folder(directory.path(), Level::kGraph), rules); }),
              HasSubstr("graph-label.csv.gz (row 2): label 3; expected a class from 0 to 2"));
  rules.classes = 0;
  EXPECT_EQ(pack(read_folder(directory.path(), Level::kGraph), rules).info.classes, 4);
}

TEST(Pack, CategoryBeyondTheCardIsRefusedWithTheRowOfTheFile) {
  const test::TemporaryDirectory directory;
  PackRules rules = sample_rules();
  rules.edge_categories = {4};
  EXPECT_THAT(message_of([&] { pack(sample_folder(directory.path()), rules); }),
              HasSubstr("edge-feat.csv.gz (row 4): column 1 is 4; expected 0 to 3"));
}

TEST(Pack, EdgeTasksBringTheirPairs) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  const auto raw = directory.path() / "raw";
  write_text(raw / "num-pair-list.csv.gz", gzip("2\n0\n1\n"));
  write_text(raw / "pair.csv.gz", gzip("0,2\n2,1\n1,0\n"));
  write_text(raw / "pair-label.csv.gz", gzip("1\n0\n1\n"));
  PackRules rules = sample_rules();
  rules.task = Task::kEdgeBinary;
  const Dataset d = pack(read_folder(directory.path(), Level::kEdge), rules);
  EXPECT_THAT(values_of<int>(d.pair_start), ElementsAre(0, 2, 2, 3));
  EXPECT_THAT(values_of<int>(d.pairs), ElementsAre(0, 2, 2, 1, 1, 0));
  write_text(raw / "pair.csv.gz", gzip("0,2\n3,1\n1,0\n"));
  EXPECT_THAT(message_of([&] { pack(read_folder(directory.path(), Level::kEdge), rules); }),
              HasSubstr("pair.csv.gz (row 2): node 3 in graph 0"));
}

// Random multigraphs against a plain sort of (target, source, position) triples.
TEST(Pack, AgreesWithAPlainSortForAnyThreadCount) {
  const test::TemporaryDirectory directory;
  base::Random random(7);
  std::string nodes, edges, counts, features, labels;
  std::vector<std::vector<std::tuple<int, int, int>>> expected;
  int row = 0;
  for (int g = 0; g < 300; ++g) {
    const auto n = 1 + random.below(12);
    const auto m = random.below(30);
    auto& sorted = expected.emplace_back();
    for (std::uint64_t e = 0; e < m; ++e, ++row) {
      const auto a = static_cast<int>(random.below(n));
      const auto b = static_cast<int>(random.below(n));
      edges += std::to_string(a) + "," + std::to_string(b) + "\n";
      features += std::to_string(row) + "\n";
      sorted.emplace_back(b, a, 2 * row);
      sorted.emplace_back(a, b, 2 * row + 1);
    }
    std::sort(sorted.begin(), sorted.end());
    nodes += std::to_string(n) + "\n";
    counts += std::to_string(m) + "\n";
    labels += "0\n";
  }
  const auto raw = directory.path() / "raw";
  write_text(raw / "num-node-list.csv", nodes);
  write_text(raw / "num-edge-list.csv", counts);
  write_text(raw / "edge.csv", edges);
  write_text(raw / "edge-feat.csv", features);
  write_text(raw / "graph-label.csv", labels);
  for (const std::size_t threads : {1U, 2U, 4U}) {
    const tbb::global_control control(tbb::global_control::max_allowed_parallelism, threads);
    const Dataset d = pack(read_folder(directory.path(), Level::kGraph), sample_rules());
    const auto source = values_of<int>(d.source);
    const auto feature = values_of<int>(d.edge_features);
    std::size_t at = 0;
    for (const auto& graph : expected) {
      for (const auto& [target, from, position] : graph) {
        ASSERT_EQ(source[at], from);
        ASSERT_EQ(feature[at], position / 2);
        ++at;
      }
    }
    ASSERT_EQ(at, source.size());
  }
}

}  // namespace
}  // namespace gtrain::data
