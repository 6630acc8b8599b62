#include "gtrain/models/model.h"

#include <gtest/gtest.h>

namespace gtrain::models {
namespace {

TEST(Signature, TakesShapesAndVocabulariesFromTheDataSet) {
  data::Dataset d;
  d.info.task = data::Task::kNodeClass;
  d.info.classes = 7;
  d.info.node_categories = {4, 2};
  d.node_features.width = 2;
  d.edge_features.width = 3;
  const Signature s = signature_of(d, {{"degree", 2}});
  EXPECT_EQ(s.level, data::Level::kNode);
  EXPECT_EQ(s.outputs, 7);
  EXPECT_EQ(s.node_width, 2);
  EXPECT_EQ(s.edge_width, 3);
  EXPECT_EQ(s.node_categories, (std::vector<std::int64_t>{4, 2}));
  EXPECT_EQ(s.encodings.at("degree"), 2);
}

}  // namespace
}  // namespace gtrain::models
