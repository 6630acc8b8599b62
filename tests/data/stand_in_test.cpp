#include "gtrain/data/stand_in.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "data/sample.h"
#include "gtrain/data/catalog.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

Card molecules() {
  Card card;
  card.name = "m";
  card.task = "graph_multilabel";
  card.metric = "ap";
  card.split = "scaffold";
  card.add_inverse_edge = true;
  card.features = "ogb_mol";
  card.graphs = 1000;
  card.nodes = 25000;
  card.edges = 27000;
  card.shape.labels = 3;
  return card;
}

TEST(StandIn, LooksAsTheCardSays) {
  const Dataset d = stand_in(molecules());
  EXPECT_EQ(d.graphs(), 60);
  EXPECT_EQ(d.info.node_categories.size(), 9U);
  EXPECT_EQ(d.edge_features.width, 3);
  EXPECT_EQ(d.labels.width, 3);
  EXPECT_EQ(d.outputs(), 3);
  EXPECT_TRUE(d.info.undirected);
  EXPECT_EQ(d.info.metric, "ap");
  const double nodes = static_cast<double>(d.nodes()) / 60;
  EXPECT_NEAR(nodes, 25, 5);
  EXPECT_NEAR(static_cast<double>(d.edges()) / static_cast<double>(d.nodes()), 2 * 1.08, 0.1);
  EXPECT_EQ(d.splits.at("scaffold").train.size(), 36U);
}

TEST(StandIn, SameSeedGivesTheSameBytesAndAnotherOthers) {
  const auto sources = [](std::uint64_t seed) {
    return values_of<std::int32_t>(stand_in(molecules(), {.seed = seed}).source);
  };
  EXPECT_EQ(sources(1), sources(1));
  EXPECT_NE(sources(1), sources(2));
}

TEST(StandIn, EdgeTasksHavePairsOfBothKinds) {
  Card card = molecules();
  card.task = "edge_binary";
  card.metric = "mrr";
  card.shape.labels = 1;
  card.shape.pairs = 6;
  const Dataset d = stand_in(card, {.graphs = 12});
  EXPECT_EQ(d.pairs.rows, 72);
  EXPECT_EQ(d.labels.rows, 72);
  const auto labels = values_of<float>(d.labels);
  EXPECT_EQ(std::count(labels.begin(), labels.end(), 1.0F), 36);
}

TEST(StandIn, OneGraphKeepsItsDegreeAndShrinks) {
  Card card = molecules();
  card.features = "numeric";
  card.shape.node_columns = 7;
  card.shape.labels = 1;
  card.task = "node_class";
  card.classes = 5;
  card.split = "split0";
  card.graphs = 1;
  card.nodes = 5000;
  card.edges = 50000;
  const Dataset d = stand_in(card);
  EXPECT_TRUE(d.single_graph());
  EXPECT_EQ(d.nodes(), 1000);
  EXPECT_EQ(d.edges(), 20000);
  EXPECT_EQ(d.node_features.width, 7);
  EXPECT_EQ(d.outputs(), 5);
  EXPECT_EQ(d.splits.count("split9"), 1U);
}

TEST(StandIn, CardWithoutSizesIsRefused) {
  Card card = molecules();
  card.edges.reset();
  EXPECT_THAT(message_of<base::RecipeError>([&] { stand_in(card); }), HasSubstr("shape.edges"));
}

TEST(StandIn, RecipeGoesBeforeTheCard) {
  DatasetOptions options;
  options.name = "molhiv";
  options.features = "degree_onehot";
  options.degree_cap = 3;
  const Opened opened = open_stand_in(options);
  EXPECT_THAT(opened.dataset.info.node_categories, testing::ElementsAre(4));
  EXPECT_TRUE(opened.store.empty());
  EXPECT_EQ(opened.default_split, "scaffold");
  EXPECT_NO_THROW(select_split(opened, options));
  options.name = "no-such-set";
  EXPECT_THROW(open_stand_in(options), base::RecipeError);
}

TEST(StandIn, EveryShippedCardHasOne) {
  for (const Listing& listing : list_datasets()) {
    SCOPED_TRACE(listing.card.name);
    const Card& card = listing.card;
    const Dataset d = stand_in(card, {.graphs = 10});
    EXPECT_GT(d.edges(), 0);
    EXPECT_GT(d.outputs(), 0);
    EXPECT_GT(d.node_features.width, 0);
    EXPECT_EQ(d.splits.count(card.split.empty() ? "random" : card.split), 1U);
  }
}

}  // namespace
}  // namespace gtrain::data
