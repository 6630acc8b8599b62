#include "gtrain/nn/embedding.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Embedding, SumsOneRowPerColumn) {
  const auto layer = support::ready(std::make_shared<nn::Embedding>(std::vector<std::int64_t>{4, 2},
                                                                    3, nn::EmbeddingInit::kXavier));
  const at::Tensor x = at::tensor(std::vector<std::int64_t>{3, 0, 1, 1}, at::kLong).view({2, 2});
  const at::Tensor y = layer->forward(x);
  EXPECT_LT(support::distance(y[0], layer->tables[0][3] + layer->tables[1][0]), 1e-14);
  EXPECT_LT(support::distance(y[1], layer->tables[0][1] + layer->tables[1][1]), 1e-14);
}

TEST(Embedding, NamesColumnAndValueOutsideItsTable) {
  nn::Embedding layer({4, 2}, 3, nn::EmbeddingInit::kNormal);
  const at::Tensor x = at::tensor(std::vector<std::int64_t>{3, 2}, at::kLong).view({1, 2});
  try {
    layer.forward(x);
    FAIL() << "accepted category 2 of 2";
  } catch (const c10::Error& e) {
    EXPECT_NE(std::string(e.what()).find("column 1 holds 2"), std::string::npos);
  }
  EXPECT_THROW(layer.forward(at::zeros({1, 2})), c10::Error);
}

TEST(Embedding, ClampsLargeCategoriesWhereAsked) {
  const auto layer = support::ready(std::make_shared<nn::Embedding>(
      std::vector<std::int64_t>{4}, 3, nn::EmbeddingInit::kNormal, /*clamp=*/true));
  const at::Tensor y = layer->forward(at::tensor({3, 99}, at::kLong).view({2, 1}));
  EXPECT_EQ(support::distance(y[0], y[1]), 0);
  EXPECT_THROW(layer->forward(at::tensor({-1}, at::kLong).view({1, 1})), c10::Error);
}

TEST(Constant, RepeatsOneVectorAndSumsItsGradient) {
  const auto layer = support::ready(std::make_shared<nn::Constant>(2));
  layer->forward(5).sum().backward();
  EXPECT_EQ(support::distance(layer->vector.grad(), at::full({1, 2}, 5.0, at::kDouble)), 0);
}

}  // namespace
}  // namespace gtrain
