#include "gtrain/data/folder.h"

#include <gmock/gmock.h>

#include "data/npz_writer.h"
#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FolderTest : public testing::Test {
 protected:
  FolderTest() { write_sample(root_); }
  // Replaces one file of the sample and reads it all.
  std::string error(const std::string& file, const std::string& text, Level level = Level::kGraph) {
    write_text(root_ / file, file.ends_with(".gz") ? gzip(text) : text);
    return message_of([&] { read_folder(root_, level); });
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path root_ = directory_.path();
};

TEST_F(FolderTest, ReadsWhatStandsOnDisk) {
  const Folder f = read_folder(root_, Level::kGraph);
  EXPECT_THAT(values_of<int>(f.num_nodes), ElementsAre(3, 1, 2));
  EXPECT_THAT(values_of<int>(f.num_edges), ElementsAre(3, 0, 1));
  EXPECT_EQ(f.node_features.dtype, DType::kU8);
  EXPECT_EQ(f.labels.dtype, DType::kF32);
  EXPECT_THAT(f.splits.at("random").train, ElementsAre(2));
}

TEST_F(FolderTest, PlainCsvReadsLikeGzip) {
  std::filesystem::remove(root_ / "raw/edge.csv.gz");
  write_text(root_ / "raw/edge.csv", "0,1\n1,2\n0,2\n1,0\n");
  EXPECT_EQ(read_folder(root_, Level::kGraph).edges.rows, 4);
}

TEST_F(FolderTest, FeaturesAreOptional) {
  std::filesystem::remove(root_ / "raw/node-feat.csv.gz");
  std::filesystem::remove(root_ / "raw/edge-feat.csv.gz");
  const Folder f = read_folder(root_, Level::kGraph);
  EXPECT_EQ(f.node_features.width, 0);
  EXPECT_EQ(f.edge_features.width, 0);
}

TEST_F(FolderTest, MissingFilesAreNamed) {
  for (const char* file : {"edge", "num-node-list", "num-edge-list", "graph-label"}) {
    write_sample(root_);
    std::filesystem::remove(root_ / "raw" / (std::string(file) + ".csv.gz"));
    EXPECT_THAT(message_of([&] { read_folder(root_, Level::kGraph); }),
                HasSubstr(std::string(file) + ".csv.gz: missing"));
  }
  EXPECT_THAT(message_of([&] { read_folder(root_ / "raw", Level::kGraph); }),
              HasSubstr("no folder raw/"));
}

TEST_F(FolderTest, CountsThatDoNotFitAreRefusedWithFileAndRow) {
  EXPECT_THAT(error("raw/graph-label.csv.gz", "1\n2\n"),
              HasSubstr("graph-label.csv.gz (row 3): the file has 2 rows; expected 3"));
  write_sample(root_);
  EXPECT_THAT(error("raw/node-feat.csv.gz", "1\n2\n"),
              HasSubstr("node-feat.csv.gz (row 3): the file has 2 rows; expected 6"));
  write_sample(root_);
  EXPECT_THAT(error("raw/node-feat.csv.gz", ""), HasSubstr("the file has 0 rows; expected 6"));
  write_sample(root_);
  EXPECT_THAT(error("raw/num-edge-list.csv.gz", "3\n0\n2\n"),
              HasSubstr("edge.csv.gz (row 5): the file has 4 rows; expected 5"));
  write_sample(root_);
  EXPECT_THAT(error("raw/num-edge-list.csv.gz", "3\n1\n"), HasSubstr("num-edge-list.csv.gz"));
  write_sample(root_);
  EXPECT_THAT(error("raw/num-node-list.csv.gz", "3\n-1\n2\n"),
              HasSubstr("num-node-list.csv.gz (row 2): -1"));
  write_sample(root_);
  EXPECT_THAT(error("raw/num-node-list.csv.gz", "3\n9223372036854775807\n2\n"),
              HasSubstr("num-node-list.csv.gz (row 2): 9223372036854775807"));
}

TEST_F(FolderTest, EmptyDataSetIsRefused) {
  for (const char* file : {"num-node-list", "num-edge-list", "edge", "graph-label"}) {
    write_text(root_ / "raw" / (std::string(file) + ".csv.gz"), gzip(""));
  }
  EXPECT_THAT(error("raw/node-feat.csv.gz", ""), HasSubstr("the data set is empty"));
}

TEST_F(FolderTest, EdgeRowsThatAreTooLongOrNoNumbersAreRefused) {
  EXPECT_THAT(error("raw/edge.csv.gz", "0,1\n1,2,9\n0,2\n1,0\n"),
              HasSubstr("edge.csv.gz (row 2): 3 columns; expected 2"));
  EXPECT_THAT(error("raw/edge.csv.gz", "0,1\n1,a\n0,2\n1,0\n"),
              HasSubstr("edge.csv.gz (row 2): 'a' is not a number"));
}

TEST_F(FolderTest, OverlapsRepetitionsAndIdsOutOfRangeInSplitsAreRefused) {
  EXPECT_THAT(error("split/random/valid.csv.gz", "2\n"),
              HasSubstr("valid.csv.gz (row 1): id 2 stands in train already"));
  write_sample(root_);
  EXPECT_THAT(error("split/random/train.csv.gz", "2\n2\n"),
              HasSubstr("train.csv.gz (row 2): id 2 stands in train already"));
  write_sample(root_);
  EXPECT_THAT(error("split/random/test.csv.gz", "1\n3\n"),
              HasSubstr("test.csv.gz (row 2): id 3; expected 0 to 2"));
}

TEST_F(FolderTest, MissingPartOfASplitIsNamed) {
  std::filesystem::remove(root_ / "split/random/valid.csv.gz");
  EXPECT_THAT(message_of([&] { read_folder(root_, Level::kGraph); }),
              HasSubstr("valid.csv.gz: missing"));
}

TEST_F(FolderTest, SplitDictIsRefusedWithTheCommandThatConvertsIt) {
  write_text(root_ / "split/other/split_dict.pt", "pickle");
  EXPECT_THAT(message_of([&] { read_folder(root_, Level::kGraph); }),
              HasSubstr("python tools/convert/split_dict.py " +
                        (root_ / "split/other/split_dict.pt").string()));
}

TEST_F(FolderTest, SingleGraphNodeTasksSplitNodes) {
  write_text(root_ / "raw/num-node-list.csv.gz", gzip("6\n"));
  write_text(root_ / "raw/num-edge-list.csv.gz", gzip("4\n"));
  write_text(root_ / "raw/node-label.csv.gz", gzip("0\n1\n0\n1\n2\n0\n"));
  write_text(root_ / "split/random/test.csv.gz", gzip("5\n"));
  const Folder f = read_folder(root_, Level::kNode);
  EXPECT_THAT(f.splits.at("random").test, ElementsAre(5));
  EXPECT_EQ(f.labels.per, Per::kNode);
  EXPECT_THAT(error("split/random/test.csv.gz", "6\n", Level::kNode),
              HasSubstr("id 6; expected 0 to 5"));
}

TEST_F(FolderTest, HeterogeneousGraphsAreRefused) {
  EXPECT_THAT(error("raw/triplet-type-list.csv.gz", "a,b,c\n"), HasSubstr("heterogeneous"));
}

class BinaryFolder : public testing::Test {
 protected:
  void write(bool extra = false) {
    using Ids = std::vector<std::int64_t>;
    std::vector<std::pair<std::string, std::string>> members{
        {"edge_index.npy", npy("<i8", "(2, 4)", Ids{0, 1, 1, 0, 1, 0, 0, 1})},
        {"num_nodes_list.npy", npy("<i8", "(2,)", Ids{2, 2})},
        {"num_edges_list.npy", npy("<i8", "(2,)", Ids{2, 2})},
        {"node_feat.npy", npy("<f8", "(4, 1)", std::vector<double>{1, 2, 3, 4.5})}};
    if (extra) members.emplace_back("misc.npy", npy("<i8", "(1,)", Ids{1}));
    write_text(root_ / "raw/data.npz", zip(members, true));
    write_text(root_ / "raw/graph-label.npz",
               zip({{"graph_label.npy", npy("<i8", "(2, 1)", Ids{0, 1})}}, true));
  }
  test::TemporaryDirectory directory_;
  std::filesystem::path root_ = directory_.path();
};

TEST_F(BinaryFolder, ReadsWhatDatasetSaverWrites) {
  write();
  const Folder f = read_folder(root_, Level::kGraph);
  EXPECT_TRUE(f.binary);
  EXPECT_THAT(values_of<int>(f.edges), ElementsAre(0, 1, 1, 0, 1, 0, 0, 1));
  EXPECT_THAT(values_of<int>(f.labels), ElementsAre(0, 1));
  EXPECT_EQ(f.node_features.rows, 4);
}

TEST_F(BinaryFolder, CountsAreOneNumberAGraph) {
  using Ids = std::vector<std::int64_t>;
  write();
  write_text(root_ / "raw/data.npz",
             zip({{"edge_index.npy", npy("<i8", "(2, 4)", Ids{0, 1, 1, 0, 1, 0, 0, 1})},
                  {"num_nodes_list.npy", npy("<i8", "(2, 0)", Ids{})},
                  {"num_edges_list.npy", npy("<i8", "(2,)", Ids{2, 2})}},
                 true));
  EXPECT_THAT(message_of([&] { read_folder(root_, Level::kGraph); }),
              HasSubstr("num_nodes has 0 columns; expected one number a graph"));
}

TEST_F(BinaryFolder, UnknownMembersAreRefused) {
  write(true);
  EXPECT_THAT(message_of([&] { read_folder(root_, Level::kGraph); }),
              HasSubstr("unknown member 'misc'"));
}

}  // namespace
}  // namespace gtrain::data
