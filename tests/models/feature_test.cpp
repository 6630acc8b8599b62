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

}  // namespace
}  // namespace gtrain::models
