#include "train/material.h"

#include <algorithm>

#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using TrainedMaterial = TrainedSample;

constexpr const char* kVirtualNode = "dataset.transform=[{name: virtual_node}]";
constexpr const char* kWalk = "encode=[{name: random_walk, steps: 3}]";

TEST_F(TrainedMaterial, AddsAVirtualNodeAfterTheEncodings) {
  const Material plain = prepare(recipe({kWalk}));
  const Material with = prepare(recipe({kWalk, kVirtualNode}));
  ASSERT_EQ(with.dataset().nodes(), plain.dataset().nodes() + plain.dataset().graphs());
  ASSERT_EQ(with.encodings[0].rows, with.dataset().nodes());
  const std::int64_t last = with.dataset().nodes() - 1;
  const auto* walk = with.encodings[0].as<float>();
  EXPECT_EQ(std::count(walk + 3 * last, walk + 3 * (last + 1), 0.0F), 3);
  EXPECT_EQ(plain.encodings[0].as<float>()[1], walk[1]);
  EXPECT_EQ(with.signature.encodings, plain.signature.encodings);
  EXPECT_NE(recipe_hash(recipe({kWalk})), recipe_hash(recipe({kWalk, kVirtualNode})));
}

TEST_F(TrainedMaterial, EncodesTheVirtualNodeWhereItComesFirst) {
  const Material m =
      prepare(recipe({kWalk, "dataset.transform=[{name: virtual_node, after: import}]"}));
  const auto* walk = m.encodings[0].as<float>();
  EXPECT_GT(walk[3 * (m.dataset().nodes() - 1) + 1], 0.0F);  // there and back in two steps
}

TEST_F(TrainedMaterial, PredictsTheNodesOfTheFilesAlone) {
  write_one_graph(root() / "one", 30);
  run(recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
              "dataset.metric=acc", "model.head={name: node, layers: 1}", "train.epochs=2",
              kVirtualNode}),
      options("a"));
  predict(root() / "a", nullptr, "all", root() / "p.csv");
  const std::string rows = text_of(root() / "p.csv");
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 31);
  EXPECT_EQ(rows.find("\n0,30,"), std::string::npos);
}

TEST_F(TrainedMaterial, TrainsAndPredictsGraphsWithAVirtualNode) {
  run(recipe({kVirtualNode, "train.epochs=2"}), options("a"));
  const auto figures = nlohmann::json::parse(evaluate(root() / "a", "test"));
  EXPECT_DOUBLE_EQ(figures["mae"], result("a")["test"]["mae"]);
}

}  // namespace
}  // namespace gtrain::train
