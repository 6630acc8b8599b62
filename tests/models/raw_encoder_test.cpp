#include "gtrain/models/raw_encoder.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "support/layer_case.h"

namespace gtrain::models {
namespace {

const std::vector<std::int64_t> kNone;

at::Tensor run(const std::shared_ptr<nn::Layer>& layer, const at::Tensor& raw) {
  support::ready(layer);
  nn::Context c = support::context(true);
  return encode_raw(*layer, raw, raw.size(0), at::kDouble, c);
}

at::Tensor ids(const std::vector<std::int64_t>& values, std::int64_t columns) {
  return at::tensor(values, at::kLong).view({-1, columns});
}

TEST(RawEncoder, SyntaxTreesClampTheDepth) {
  const std::vector<std::int64_t> categories{98, 10030, 300};
  CategoricalOptions o;
  o.counts = {98, 10030, 21};
  o.clamp = true;
  o.init = "normal";
  const auto layer = make_raw_encoder(NodeOptions(o), {"node", 3, categories}, 8);
  EXPECT_EQ(layer->named_parameters()["column_2"].size(0), 21);
  const at::Tensor y = run(layer, ids({4, 7, 20, 4, 7, 250, 4, 7, 19}, 3));
  EXPECT_EQ(support::distance(y[0], y[1]), 0);
  EXPECT_GT(support::distance(y[0], y[2]), 1e-3);
}

TEST(RawEncoder, TablesHoldEveryCategoryUnlessTheyClamp) {
  const std::vector<std::int64_t> categories{5, 3};
  CategoricalOptions o;
  o.counts = {5, 2};
  EXPECT_THROW(make_raw_encoder(NodeOptions(o), {"node", 2, categories}, 8), base::RecipeError);
  o.counts = {5};
  EXPECT_THROW(make_raw_encoder(NodeOptions(o), {"node", 2, categories}, 8), base::RecipeError);
  o.counts = {6, 3};
  EXPECT_NO_THROW(make_raw_encoder(NodeOptions(o), {"node", 2, categories}, 8));
}

TEST(RawEncoder, FloatColumnsTakeLinearLayers) {
  const at::Tensor x = at::randn({6, 5});
  EXPECT_EQ(run(make_raw_encoder(EdgeOptions(LinearOptions{}), {"edge", 5, kNone}, 4), x).size(1),
            4);
  const auto unit = make_raw_encoder(NodeOptions(UnitMlpOptions{}), {"node", 5, kNone}, 4);
  EXPECT_LT(run(unit, x).norm(2, -1).max().item<double>(), 1 + 1e-12);
  EXPECT_THROW(make_raw_encoder(NodeOptions(UnitMlpOptions{}), {"node", 0, kNone}, 4),
               base::RecipeError);
}

TEST(RawEncoder, OneColumnMayComeWithoutItsDimension) {
  const std::vector<std::int64_t> categories{4};
  const auto layer = make_raw_encoder(EdgeOptions(TypeOptions{}), {"edge", 1, categories}, 3);
  EXPECT_EQ(run(layer, at::tensor({0, 3, 1}, at::kLong)).sizes(),
            (std::vector<std::int64_t>{3, 3}));
}

TEST(RawEncoder, NoneIsNoLayer) {
  EXPECT_EQ(make_raw_encoder(EdgeOptions(NoneOptions{}), {"edge", 0, kNone}, 3), nullptr);
}

}  // namespace
}  // namespace gtrain::models
