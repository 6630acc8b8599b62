#include "gtrain/nn/embedding_encoder.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(EmbeddingEncoder, SumsOneTableRowPerColumnAndKeepsLargeValuesInTheLast) {
  const auto encoder = support::ready(std::make_shared<nn::EmbeddingEncoder>(2, 4, 3));
  nn::Context c = support::context(true);
  const at::Tensor x = at::tensor({0, 3, 2, 1, 9, 0}, at::kDouble).view({3, 2});
  const at::Tensor y = encoder->encode({x}, {}, c);
  const auto p = encoder->named_parameters();
  const at::Tensor a = p["column_0"], b = p["column_1"];
  const at::Tensor want = at::stack({a[0] + b[3], a[2] + b[1], a[3] + b[0]});
  EXPECT_EQ(support::distance(y, want), 0);
}

}  // namespace
}  // namespace gtrain
