#include "train/export_sample.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <set>

#include "train/sample_run.h"

namespace gtrain::train {
namespace {

class ExportSample : public TrainedSample {
 protected:
  Material material(int graphs, const std::vector<std::string>& overrides = {}) const {
    write_rings(root() / "rings", graphs);
    return prepare(recipe(overrides));
  }
};

TEST_F(ExportSample, ComesFromTheTestSplit) {
  const Material m = material(500);  // 100 in test
  const SampleChoice chosen = choose_samples({m, m}, 0);
  const std::set<std::int64_t> test(m.split.test.begin(), m.split.test.end());
  EXPECT_EQ(chosen.ids.size(), 100u);
  for (const std::int64_t g : chosen.ids) EXPECT_TRUE(test.contains(g));
}

TEST_F(ExportSample, IsCompletedFromTheOtherSplitsWhereTestIsSmall) {
  const Material m = material(150);  // 30 in test
  const SampleChoice chosen = choose_samples({m, m}, 0);
  EXPECT_EQ(chosen.ids.size(), 64u);
  EXPECT_EQ(std::set<std::int64_t>(chosen.ids.begin(), chosen.ids.end()).size(), 64u);
  for (const std::int64_t g : m.split.test) EXPECT_THAT(chosen.ids, ::testing::Contains(g));
}

TEST_F(ExportSample, TakesAllGraphsWhereThereAreFew) {
  const Material m = material(40);
  EXPECT_EQ(choose_samples({m, m}, 0).ids.size(), 40u);
}

TEST_F(ExportSample, LeavesOutGraphsAboveTheLimit) {
  const Material m = material(40);  // rings of 3 to 7
  const SampleChoice chosen = choose_samples({m, m}, 6);
  EXPECT_EQ(chosen.too_large, 8);
  EXPECT_EQ(chosen.ids.size(), 32u);
  EXPECT_TRUE(choose_samples({m, m}, 2).ids.empty());
}

TEST_F(ExportSample, IsBatchedInThreeWaysAndWithItsEdgesTurned) {
  const Material m = material(500, {"encode=[{name: degree}]"});
  const auto model = models::build(recipe().model, m.signature);
  const SampleChoice chosen = choose_samples({m, m}, 0);
  const auto samples = export_samples({m, m}, *model, deploy::Encodings::kInside, chosen.ids);
  std::map<std::int64_t, int> sizes;
  for (const deploy::Sample& s : samples) ++sizes[s.batch.graphs];
  EXPECT_EQ(sizes, (std::map<std::int64_t, int>{{100, 2}, {7, 9}, {1, 65}}));
  EXPECT_TRUE(samples[1].arguments[1].equal(samples[0].arguments[1].flip(1)));
  EXPECT_TRUE(samples[1].arguments[2].equal(samples[0].arguments[2].flip(0)));
}

TEST_F(ExportSample, OfOneGraphIsThatGraph) {
  write_one_graph(root() / "one", 50);
  const Recipe own = recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
                             "dataset.metric=acc", "model.head={name: node}"});
  const Material m = prepare(own);
  const SampleChoice chosen = choose_samples({m, m}, 0);
  EXPECT_EQ(chosen.ids, (std::vector<std::int64_t>{0}));
  const auto model = models::build(own.model, m.signature);
  EXPECT_EQ(export_samples({m, m}, *model, deploy::Encodings::kInside, chosen.ids).size(), 2u);
}

TEST_F(ExportSample, RowsOfNodesThatATransformAddedAreLeftOut) {
  write_one_graph(root() / "one", 50);
  Recipe own = recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
                       "dataset.metric=acc", "model.head={name: node}"});
  const Material raw = prepare(own);
  own.dataset.transform = {data::VirtualNodeOptions{}};
  const Material seen = prepare(own);
  const auto model = models::build(own.model, seen.signature);
  const auto samples =
      export_samples({seen, raw}, *model, deploy::Encodings::kInside, {std::int64_t{0}});
  EXPECT_EQ(samples[0].batch.nodes(), 51);
  EXPECT_EQ(samples[0].arguments[0].size(0), 50);
  EXPECT_TRUE(samples[0].rows.equal(at::arange(50)));
}

}  // namespace
}  // namespace gtrain::train
