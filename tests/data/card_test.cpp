#include "gtrain/data/card.h"

#include <gmock/gmock.h>

#include "data/sample.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

std::string error(const std::string& yaml) {
  const test::TemporaryDirectory directory;
  write_text(directory.path() / "card.yaml", yaml);
  return message_of([&] { read_card(directory.path() / "card.yaml"); });
}

TEST(Card, EveryKeyIsRead) {
  const test::TemporaryDirectory directory;
  write_text(
      directory.path() / "card.yaml",
      "name: a\ntitle: \"T: x\"\nsource: u\nlicence: MIT\nsha256: ff\nfolders: [b, c]\n"
      "graphs: 3\nnodes: 6\nedges: 4\ntask: graph_class\nmetric: acc\nsplit: s\n"
      "add_inverse_edge: false\nfeatures: ogb_mol\nnode_categories: [1, 2]\n"
      "edge_categories: [3]\nclasses: 5\n"
      "shape: {nodes: 2.5, edges: 3, node_columns: 4, edge_columns: 1, labels: 2, pairs: 0.5}\n"
      "published: [{model: GPS, value: 0.5, std: 0.1, runs: 3, parameters: 7, source: p}]\n");
  const Card card = read_card(directory.path() / "card.yaml");
  EXPECT_EQ(card.title, "T: x");
  EXPECT_THAT(card.folders, testing::ElementsAre("b", "c"));
  EXPECT_EQ(card.nodes, 6);
  EXPECT_EQ(card.add_inverse_edge, false);
  EXPECT_THAT(card.node_categories, testing::ElementsAre(1, 2));
  EXPECT_EQ(card.classes, 5);
  EXPECT_EQ(card.shape.nodes, 2.5);
  EXPECT_EQ(card.shape.edges, 3);
  EXPECT_EQ(card.shape.node_columns, 4);
  EXPECT_EQ(card.shape.edge_columns, 1);
  EXPECT_EQ(card.shape.labels, 2);
  EXPECT_EQ(card.shape.pairs, 0.5);
  ASSERT_EQ(card.published.size(), 1U);
  EXPECT_EQ(card.published[0].std, 0.1);
  EXPECT_EQ(card.published[0].parameters, 7);
}

TEST(Card, AllMistakesAreReportedWithTheirPlaces) {
  const std::string message =
      error("name: a\ntaks: graph_class\ngraphs: many\nname: b\nadd_inverse_edge: yes\n");
  EXPECT_THAT(message, HasSubstr("card.yaml:2:1: taks: unknown key"));
  EXPECT_THAT(message, HasSubstr("card.yaml:3:9: 'many'"));
  EXPECT_THAT(message, HasSubstr("card.yaml:4:1: name: stands twice"));
  EXPECT_THAT(message, HasSubstr("card.yaml:5:19: expected true or false"));
}

TEST(Card, BrokenYamlAndOtherShapesAreRefused) {
  EXPECT_THAT(error("name: [a\n"), HasSubstr("card.yaml:"));
  EXPECT_THAT(error("- a\n"), HasSubstr("expected a mapping"));
  EXPECT_THAT(error("graphs: -1\n"), HasSubstr("expected a number, 0 or more"));
  EXPECT_THAT(error("classes: 9223372036854775807\n"), HasSubstr("expected at most"));
  EXPECT_THAT(error("node_categories: [3, 1000000000000]\n"),
              HasSubstr("card.yaml:1:22: 1000000000000 categories; expected at most"));
}

TEST(Card, EveryShippedCardIsCompleteAndNamedAsItsFolder) {
  std::size_t cards = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(GTRAIN_SOURCE_DIR) / "datasets")) {
    if (!std::filesystem::exists(entry.path() / "card.yaml")) continue;
    const Card card = read_card(entry.path() / "card.yaml");
    EXPECT_EQ(card.name, entry.path().filename().string());
    EXPECT_NO_THROW(task_named(card.task)) << card.name;
    for (const std::string& text : {card.title, card.source, card.licence, card.metric}) {
      EXPECT_FALSE(text.empty()) << card.name;
    }
    EXPECT_TRUE(card.add_inverse_edge.has_value()) << card.name;
    ++cards;
  }
  EXPECT_GE(cards, 20U);
}

}  // namespace
}  // namespace gtrain::data
