#include "gtrain/data/clip.h"

#include <gmock/gmock.h>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/data/open.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Clip : public testing::Test {
 protected:
  Clip() { write_sample(folder_); }
  DatasetOptions options(std::int64_t most) const {
    DatasetOptions o;
    o.path = folder_.string();
    o.task = "graph_regression";
    o.metric = "mae";
    o.add_inverse_edge = true;
    o.clip_nodes = most;
    return o;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "sample";
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
};

TEST_F(Clip, KeepsTheFirstNodesAndTheEdgesAmongThem) {
  Folder folder = read_folder(folder_, Level::kGraph);
  keep_first_nodes(folder, 2);
  EXPECT_THAT(values_of<int>(folder.num_nodes), ElementsAre(2, 1, 2));
  EXPECT_THAT(values_of<int>(folder.num_edges), ElementsAre(1, 0, 1));
  EXPECT_THAT(values_of<int>(folder.edges), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(values_of<int>(folder.edge_features), ElementsAre(1, 4));
  EXPECT_THAT(values_of<int>(folder.node_features), ElementsAre(0, 5, 1, 4, 3, 2, 4, 1, 5, 0));
  EXPECT_EQ(folder.labels.rows, 3);
}

TEST_F(Clip, LeavesWhatIsSmallEnoughAlone) {
  Folder folder = read_folder(folder_, Level::kGraph);
  const void* edges = folder.edges.data;
  keep_first_nodes(folder, 3);
  EXPECT_EQ(folder.edges.data, edges);
  keep_first_nodes(folder, 1);
  EXPECT_THAT(values_of<int>(folder.num_nodes), ElementsAre(1, 1, 1));
  EXPECT_EQ(folder.edges.rows, 0);
}

TEST_F(Clip, StillSaysWhichEdgeLeavesItsGraph) {
  write_text(folder_ / "raw/edge.csv.gz", gzip("0,1\n1,2\n0,3\n1,0\n"));
  Folder folder = read_folder(folder_, Level::kGraph);
  EXPECT_THAT(message_of([&] { keep_first_nodes(folder, 2); }),
              HasSubstr("edge.csv.gz (row 3): edge 0,3 in graph 0, which has 3 nodes"));
}

TEST_F(Clip, IsPartOfWhatAnImportIsKeptUnder) {
  const Opened two = open_dataset(options(2)), many = open_dataset(options(50));
  EXPECT_EQ(two.dataset.nodes(), 5);
  EXPECT_EQ(many.dataset.nodes(), 6);
  EXPECT_NE(two.store, many.store);
  EXPECT_NE(two.dataset.info.hash, many.dataset.info.hash);
  DatasetOptions plain = options(2);
  plain.clip_nodes.reset();
  EXPECT_EQ(open_dataset(plain).dataset.info.hash, many.dataset.info.hash);
}

TEST_F(Clip, OfAStoreIsRefusedWhereItWouldTakeSomethingAway) {
  DatasetOptions o = options(2);
  o.path = open_dataset(o).store.string();
  EXPECT_EQ(open_dataset(o).dataset.nodes(), 5);
  o.clip_nodes = 1;
  EXPECT_THAT(message_of<base::RecipeError>([&] { open_dataset(o); }),
              HasSubstr("clip_nodes: 1, but graph 0"));
}

TEST_F(Clip, FitsGraphTasksAlone) {
  DatasetOptions o = options(2);
  o.task = "node_regression";
  EXPECT_THAT(message_of<base::RecipeError>([&] { open_dataset(o); }),
              HasSubstr("clip_nodes: does not fit the task node_regression"));
}

}  // namespace
}  // namespace gtrain::data
