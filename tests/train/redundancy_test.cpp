#include "train/redundancy.h"

#include <gmock/gmock.h>

#include "train/redundancy_html.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using testing::HasSubstr;

class Redundancy : public TrainedSample {
 protected:
  nlohmann::json written(const std::string& name) const {
    return nlohmann::json::parse(text_of(root() / name / "redundancy.json"));
  }
  std::string rules(const std::string& text) const { return "sparsify={rules: [" + text + "]}"; }
};

TEST_F(Redundancy, SaysAfterWhichEpochEachHeadClosedForGood) {
  // 4 updates an epoch: one of two heads of each layer dies after the 10th, in the third epoch.
  run(recipe({rules("{name: heads, keep: 0.5, start: 10}"), "train.epochs=5"}), options("a"));
  const auto heads = written("a")["heads"];
  ASSERT_EQ(heads.size(), 2u);
  for (const auto& one : heads) {
    const std::size_t gone = one["open"][0].get<bool>() ? 1 : 0;
    EXPECT_FALSE(one["open"][gone].get<bool>());
    EXPECT_TRUE(one["open"][1 - gone].get<bool>());
    EXPECT_EQ(one["closed_after_epoch"][gone], 3);
    EXPECT_TRUE(one["closed_after_epoch"][1 - gone].is_null());
    std::int64_t said = 0;
    for (const auto& line : metric_lines("a")) {
      if (line["split"] != "train" || !line.contains("switched_off")) continue;
      ++said;
      EXPECT_GE(line["epoch"].get<int>(), 3);
      EXPECT_EQ(line["switched_off"][one["of"].get<std::string>()],
                (nlohmann::json::array({gone})));
    }
    EXPECT_EQ(said, 3) << "epochs 3, 4 and 5";
  }
}

TEST_F(Redundancy, OfBranchesHasTheProbabilityOfTheirGates) {
  run(recipe({rules("{name: layers, keep: 0.5, method: learned, start: 4, end: 12}")}),
      options("a"));
  const auto branches = written("a")["branches"];
  ASSERT_EQ(branches.size(), 2u);
  std::int64_t open = 0;
  for (const auto& one : branches) {
    EXPECT_GT(one["probability"].get<double>(), 0);
    EXPECT_LT(one["probability"].get<double>(), 1);
    open += one["open"].get<bool>() ? 1 : 0;
    if (!one["open"].get<bool>()) {
      EXPECT_EQ(one["closed_after_epoch"], 3);
    }
  }
  EXPECT_EQ(open, 1);
}

TEST_F(Redundancy, OfNodesCountsTypesAndDegreesOnTheTestSplit) {
  run(recipe({rules("{name: tokens, keep: 0.5}, {name: weights, keep: 0.3, scope: global}")}),
      options("a"));
  const auto found = written("a");
  ASSERT_EQ(found["nodes"]["split"], "test");
  ASSERT_EQ(found["nodes"]["places"].size(), 2u);
  for (const auto& place : found["nodes"]["places"]) {
    // Graphs 4, 9, …, 39 have 7 nodes each: 4 stay.
    EXPECT_EQ(place["nodes"], 8 * 7);
    EXPECT_EQ(place["left"], 8 * 3);
    for (const char* kind : {"by_type", "by_degree"}) {
      std::int64_t nodes = 0, left = 0;
      for (const auto& one : place[kind]) {
        nodes += one["nodes"].get<int>();
        left += one["left"].get<int>();
      }
      EXPECT_EQ(nodes, 8 * 7) << kind;
      EXPECT_EQ(left, 8 * 3) << kind;
    }
    EXPECT_EQ(place["by_degree"].size(), 1u) << "rings";
    EXPECT_EQ(place["by_degree"][0]["degree"], 2);
  }
  std::int64_t living = 0, all = 0;
  for (const auto& one : found["weights"]) {
    living += one["living"].get<int>();
    all += one["all"].get<int>();
  }
  EXPECT_EQ(living, std::llround(0.3 * static_cast<double>(all)));
}

TEST_F(Redundancy, CountsNodesThatLeaveTheNetworkOnce) {
  run(recipe(
          {rules("{name: tokens, keep: 0.2, depth: network}"), "model.layers=3", "train.epochs=1"}),
      options("a"));
  const auto places = written("a")["nodes"]["places"];
  ASSERT_EQ(places.size(), 2u) << "all are there in the first layer";
  // ceil(7 sqrt(0.2)) = 4 stay before the second layer, ceil(7 · 0.2) = 2 before the third.
  EXPECT_EQ(places[0]["nodes"], 8 * 7);
  EXPECT_EQ(places[0]["left"], 8 * 3);
  EXPECT_EQ(places[1]["nodes"], 8 * 7);
  EXPECT_EQ(places[1]["left"], 8 * 5);
}

TEST_F(Redundancy, CountsOnlyNodesThatTheModelReads) {
  run(recipe({rules("{name: tokens, keep: 0.5}"),
              "model={name: graphtrans, width: 8, hidden: 8, layers: 1, heads: 2, max_nodes: 3, "
              "node: {name: type}, edge: {name: type}, gnn: {width: 8, layers: 1}, head: {name: "
              "halving, layers: 1, pool: graph_token}}",
              "train.epochs=1"}),
      options("a"));
  const auto places = written("a")["nodes"]["places"];
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0]["nodes"], 8 * 3) << "of 7 each";
  EXPECT_EQ(places[0]["left"], 8);
}

TEST_F(Redundancy, IsOnThePageOfTheRunAndNotOnThatOfADenseOne) {
  run(recipe({rules("{name: heads, keep: 0.5, start: 4}, {name: tokens, keep: 0.5}"),
              "train.epochs=2"}),
      options("a"));
  const std::string page = text_of(root() / "a/report.html");
  for (const char* wanted :
       {"What went first", "layer_1.attention.heads", "Nodes that leave, split test",
        "<td class='gone'>epoch 1</td>", "FLOPs a graph, made sparse"}) {
    EXPECT_THAT(page, HasSubstr(wanted));
  }
  run(recipe({"train.epochs=1"}), options("b"));
  EXPECT_FALSE(std::filesystem::exists(root() / "b/redundancy.json"));
  EXPECT_THAT(text_of(root() / "b/report.html"), testing::Not(HasSubstr("What went first")));
}

TEST(RedundancyPage, OfADamagedFileIsNoError) {
  EXPECT_EQ(redundancy_html(Json::object()), "");
  const Json odd = {{"heads", {{{"of", 3}, {"open", "x"}}}},
                    {"branches", 4},
                    {"weights", {1, "a", {{"of", "<w>"}, {"living", "b"}, {"all", 0}}}},
                    {"nodes", {{"places", {{{"by_type", {1, 2}}}}}}}};
  EXPECT_THAT(redundancy_html(odd), HasSubstr("&lt;w&gt;"));
}

}  // namespace
}  // namespace gtrain::train
