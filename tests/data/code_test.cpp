#include "gtrain/data/code.h"

#include <gmock/gmock.h>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/data/open.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two trees: 0 -> 1, 0 -> 2 -> 3 with tokens at 1 and 3, and one node; labels are names.
void write_code(const std::filesystem::path& folder) {
  const auto raw = folder / "raw";
  write_text(raw / "num-node-list.csv.gz", gzip("4\n1\n"));
  write_text(raw / "num-edge-list.csv.gz", gzip("3\n0\n"));
  write_text(raw / "edge.csv.gz", gzip("0,1\n0,2\n2,3\n"));
  write_text(raw / "node-feat.csv.gz", gzip("90,10000\n1,7\n2,8\n3,9\n4,10029\n"));
  write_text(raw / "node_depth.csv.gz", gzip("0\n1\n1\n35\n0\n"));
  write_text(raw / "node_is_attributed.csv.gz", gzip("0\n1\n0\n1\n1\n"));
  write_text(raw / "node_dfs_order.csv.gz", gzip("0\n1\n2\n3\n0\n"));
  write_text(raw / "graph-label.csv.gz", gzip("get the value\nset value\n"));
  write_text(folder / "split/project/train.csv.gz", gzip("0\n"));
  write_text(folder / "split/project/valid.csv.gz", gzip("1\n"));
  write_text(folder / "split/project/test.csv.gz", gzip(""));
}

class Code : public testing::Test {
 protected:
  Code() { write_code(folder_); }
  DatasetOptions options() const {
    DatasetOptions o;
    o.path = folder_.string();
    o.task = "graph_subtoken";
    o.metric = "f1";
    o.features = "ogb_code";
    o.add_inverse_edge = false;
    return o;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "code";
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
};

TEST_F(Code, GainsDepthNextTokensAndReverseEdges) {
  Folder folder = read_folder(folder_, Level::kGraph, true);
  add_code_structure(folder);
  EXPECT_THAT(values_of<int>(folder.node_features),
              ElementsAre(90, 10000, 0, 1, 7, 1, 2, 8, 1, 3, 9, 20, 4, 10029, 0));
  EXPECT_THAT(values_of<int>(folder.edges),
              ElementsAre(0, 1, 1, 0, 0, 2, 2, 0, 2, 3, 3, 2, 1, 3, 3, 1));
  EXPECT_THAT(values_of<int>(folder.edge_features),
              ElementsAre(0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1));
  EXPECT_THAT(values_of<int>(folder.num_edges), ElementsAre(8, 0));
}

TEST_F(Code, OpensWithAVocabularyOfTheTrainingSplitThatTheStoreKeeps) {
  for (int time = 0; time < 2; ++time) {  // imported, then from the store
    const Opened opened = open_dataset(options());
    const Dataset& d = opened.dataset;
    EXPECT_THAT(d.info.vocabulary, ElementsAre("get", "the", "value", "__UNK__", "__EOS__"));
    EXPECT_EQ(d.info.classes, 5);
    EXPECT_EQ(d.info.positions, 5);
    EXPECT_EQ(d.outputs(), 25);
    EXPECT_THAT(d.info.node_categories, ElementsAre(98, 10030, 21));
    EXPECT_THAT(d.info.edge_categories, ElementsAre(2, 2));
    EXPECT_THAT(values_of<int>(d.labels), ElementsAre(0, 1, 2, 5, 2, -1));  // "set" is outside
    EXPECT_TRUE(d.info.undirected);
  }
}

TEST_F(Code, NamesTheFileThatIsMissing) {
  std::filesystem::remove(folder_ / "raw/node_depth.csv.gz");
  EXPECT_THAT(message_of([&] { open_dataset(options()); }),
              HasSubstr("node_depth.csv.gz: missing"));
  write_text(folder_ / "raw/node_depth.csv.gz", gzip("0\n"));
  EXPECT_THAT(message_of([&] { open_dataset(options()); }), HasSubstr("1 rows; expected 5"));
}

TEST_F(Code, RefusesToReverseEdgesTwice) {
  DatasetOptions o = options();
  o.add_inverse_edge = true;
  EXPECT_THAT(message_of<base::RecipeError>([&] { open_dataset(o); }), HasSubstr("expected false"));
}

TEST_F(Code, WantsALabelForEachGraphAndASplitForTheVocabulary) {
  write_text(folder_ / "raw/graph-label.csv.gz", gzip("get\n"));
  EXPECT_THAT(message_of([&] { open_dataset(options()); }), HasSubstr("graph-label.csv.gz"));
  write_code(folder_);
  std::filesystem::remove_all(folder_ / "split");
  EXPECT_THAT(message_of([&] { open_dataset(options()); }), HasSubstr("vocabulary"));
}

}  // namespace
}  // namespace gtrain::data
