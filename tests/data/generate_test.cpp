#include "gtrain/data/generate.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/data/report.h"

namespace gtrain::data {
namespace {

class Generate : public testing::Test {
 protected:
  Generate() { base::set_quiet(true); }
  ~Generate() override { base::set_quiet(false); }
  Opened open(const std::string& name, std::int64_t graphs, std::uint64_t seed = 1) {
    DatasetOptions options;
    options.path = (directory_.path() / (name + std::to_string(seed))).string();
    data::generate(name, {.graphs = graphs, .seed = seed}, options.path);
    return open_dataset(options);
  }

  test::TemporaryDirectory directory_;
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
};

TEST_F(Generate, EveryGeneratorMakesASetThatImports) {
  for (const std::string_view name : generators()) {
    const Opened opened = open(std::string(name), 50);
    EXPECT_EQ(opened.dataset.graphs(), 50) << name;
    const Split& split = select_split(opened, {});
    EXPECT_EQ(split.train.size() + split.valid.size() + split.test.size(), 50U) << name;
    EXPECT_GE(split.train.size(), 30U) << name;
  }
}

TEST_F(Generate, SameSeedGivesTheSameBytesAndAnotherSeedOthers) {
  const std::string a = (directory_.path() / "a").string();
  const std::string b = (directory_.path() / "b").string();
  const std::string c = (directory_.path() / "c").string();
  data::generate("sbm_cluster", {.graphs = 5, .seed = 1}, a);
  data::generate("sbm_cluster", {.graphs = 5, .seed = 1}, b);
  data::generate("sbm_cluster", {.graphs = 5, .seed = 2}, c);
  EXPECT_EQ(base::read_file(a + "/raw/edge.csv.gz"), base::read_file(b + "/raw/edge.csv.gz"));
  EXPECT_NE(base::read_file(a + "/raw/edge.csv.gz"), base::read_file(c + "/raw/edge.csv.gz"));
}

TEST_F(Generate, SkipLinkGraphsAreFourRegularWithBalancedFolds) {
  const Opened opened = open("csl", 150);
  const Statistics s = statistics(opened.dataset);
  EXPECT_EQ(s.in_degree.min, 4);
  EXPECT_EQ(s.in_degree.max, 4);
  EXPECT_EQ(s.bonds_per_graph.mean, 82);
  for (const auto& [value, count] : s.labels[0].count) EXPECT_EQ(count, 15) << value;
  EXPECT_EQ(folds(opened.dataset), 5);
  EXPECT_EQ(opened.dataset.splits.at("fold2").train.size(), 90U);
}

// Densities of 200 graphs against their published parameters, five standard errors wide.
TEST_F(Generate, ClusterAndPatternHaveThePublishedSizes) {
  const Statistics cluster = statistics(open("sbm_cluster", 200).dataset);
  EXPECT_NEAR(cluster.nodes_per_graph.mean, 6 * 19.5, 5 * 21.2 / std::sqrt(200.0));
  EXPECT_EQ(cluster.labels[0].count.size(), 6U);
  const Statistics pattern = statistics(open("sbm_pattern", 200).dataset);
  EXPECT_NEAR(pattern.nodes_per_graph.mean, 6 * 19.5, 5 * 21.2 / std::sqrt(100.0));
  const double share = static_cast<double>(pattern.labels[0].count.at(1)) /
                       static_cast<double>(pattern.labels[0].present);
  EXPECT_NEAR(share, 1.0 / 6, 0.04);
}

TEST_F(Generate, ContactsAreListedOnceAndCountedByTheirNodes) {
  const Opened opened = open("contacts", 40);
  const Dataset& d = opened.dataset;
  EXPECT_EQ(d.info.task, Task::kEdgeBinary);
  EXPECT_EQ(d.edges(), 2 * (d.nodes() - d.graphs()));  // chains
  std::vector<int> touched(static_cast<std::size_t>(d.nodes()), 0);
  const auto* ends = d.pairs.as<std::int32_t>();
  for (std::int64_t g = 0; g < d.graphs(); ++g) {
    const std::int64_t first = d.pair_start.as<std::int64_t>()[g];
    const std::int64_t last = d.pair_start.as<std::int64_t>()[g + 1];
    EXPECT_GT(last, first) << "graph " << g;
    for (std::int64_t i = 2 * first; i < 2 * last; ++i) {
      ++touched[static_cast<std::size_t>(d.node_start.as<std::int64_t>()[g] + ends[i])];
    }
  }
  EXPECT_EQ(values_of<int>(d.node_features), touched);
  EXPECT_THAT(values_of<int>(d.labels), testing::Each(1));
}

TEST_F(Generate, ExistingFoldersAndUnknownNamesAreRefused) {
  EXPECT_THAT(message_of([&] { data::generate("csl", {}, directory_.path()); }),
              testing::HasSubstr("exists; expected a new folder"));
  EXPECT_THAT(
      message_of<base::RecipeError>([&] { data::generate("x", {}, directory_.path() / "x"); }),
      testing::HasSubstr("known: sbm_pattern"));
}

}  // namespace
}  // namespace gtrain::data
