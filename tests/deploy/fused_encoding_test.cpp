#include "gtrain/deploy/fused_encoding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

using ::testing::HasSubstr;

TEST(FusedEncoding, CallsAnOperatorOncePerEncodingAndGivesColumnsInOrder) {
  const std::string text = fused_encoding_script(
      {encode::DegreeOptions{}, encode::HopDistanceOptions{}, encode::LaplacianOptions{.count = 3}},
      {"laplacian.vectors", "degree", "laplacian.values", "hop_distance"});
  EXPECT_THAT(text, HasSubstr("[laplacian[1].to(like.dtype), degree[0].to(like.dtype), "
                              "laplacian[0].to(like.dtype), hop_distance[0].to(4)]"));
  const std::string call =
      "gtrain.encoding(edge_index, batch, '{\"name\":\"laplacian\",\"count\":3";
  EXPECT_THAT(text, HasSubstr(call));
  EXPECT_EQ(text.find(call), text.rfind(call));
}

TEST(FusedEncoding, OfAModelWithoutEncodingsIsEmpty) {
  EXPECT_THAT(fused_encoding_script({}, {}), HasSubstr("out: List[Tensor] = []"));
}

TEST(FusedEncoding, RefusesWhatIsNotComputed) {
  EXPECT_THAT(
      [] { fused_encoding_script({encode::DegreeOptions{}}, {"random_walk"}); },
      ::testing::ThrowsMessage<base::RecipeError>(HasSubstr("random_walk is not computed")));
}

}  // namespace
}  // namespace gtrain::deploy
