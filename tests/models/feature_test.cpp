#include "gtrain/models/feature.h"

#include <gtest/gtest.h>

namespace gtrain::models {
namespace {

TEST(EncoderOptions, NameTheEncodingTheyRead) {
  EXPECT_EQ(encoding_of(EncoderOptions(DeepSetEncoderOptions{})), "laplacian");
  LinearEncoderOptions linear;
  linear.of = "degree";
  EXPECT_EQ(encoding_of(EncoderOptions(linear)), "degree");
}

TEST(EncoderOptions, OnlyConcatenatedOnesTakeWidth) {
  LinearEncoderOptions side, onto;
  side.dim = 5;
  onto.dim = 16;
  onto.join = "add";
  const std::vector<EncoderOptions> all{side, onto, StableEncoderOptions{}};
  EXPECT_EQ(joined_width(all), 5);
  EXPECT_TRUE(has_gate(all));
  EXPECT_FALSE(has_gate({side, onto}));
}

TEST(EdgeOptions, OfNoneAndIdleMakeNoVectors) {
  EXPECT_FALSE(makes_edge_vectors(NoneOptions{}));
  EXPECT_FALSE(makes_edge_vectors(IdleOptions{}));
  EXPECT_TRUE(makes_edge_vectors(ConstantOptions{}));
  EXPECT_TRUE(makes_edge_vectors(StandardisedOptions{}));
}

TEST(HeadOptions, KnowWhetherTheyReadAGraphToken) {
  EXPECT_TRUE(pools_graph_token(GraphormerHeadOptions{}));
  EXPECT_FALSE(pools_graph_token(MlpHeadOptions{}));
  EXPECT_FALSE(pools_graph_token(NodeHeadOptions{}));
}

}  // namespace
}  // namespace gtrain::models
