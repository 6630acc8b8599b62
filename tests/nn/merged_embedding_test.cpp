#include "gtrain/nn/merged_embedding.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(MergedEmbedding, SumsRowsOfOneTableWithAStridePerColumn) {
  const auto layer = support::ready(std::make_shared<nn::MergedEmbedding>(
      std::vector<std::int64_t>{3, 4}, nn::MergedEmbedding::Shape{16, 8, 5}));
  const at::Tensor y = layer->forward(at::tensor({2, 3}, at::kLong).view({1, 2}));
  EXPECT_LT(support::distance(y[0], layer->table[4] + layer->table[13]), 1e-15);
}

TEST(MergedEmbedding, RefusesCategoriesOutsideAndTablesTooSmall) {
  nn::MergedEmbedding layer({3}, {5, 8, 2});
  EXPECT_THROW(layer.forward(at::tensor({3}, at::kLong).view({1, 1})), c10::Error);
  EXPECT_THROW(nn::MergedEmbedding({4}, {5, 8, 2}), c10::Error);
}

}  // namespace
}  // namespace gtrain
