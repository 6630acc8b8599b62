#include "gtrain/models/raw_encoder.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/nn/linear.h"
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

TEST(RawEncoder, StandardisedColumnsTakeANumberEach) {
  StandardisedOptions o;
  o.mean = {1, -2};
  o.std = {2, 0.5};
  const auto layer = make_raw_encoder(NodeOptions(o), {"node", 2, kNone}, 4);
  const auto plain = std::dynamic_pointer_cast<nn::Linear>(
      make_raw_encoder(EdgeOptions(LinearOptions{}), {"edge", 2, kNone}, 4));
  const at::Tensor x = at::randn({6, 2}, at::kDouble);
  const at::Tensor got = run(layer, x);
  const auto p = layer->named_parameters();
  const at::Tensor unit = (x - at::tensor({1.0, -2.0})) / at::tensor({2.0, 0.5});
  plain->to(at::kDouble);
  plain->weight.set_data(p["linear.weight"]);
  plain->bias.set_data(p["linear.bias"]);
  EXPECT_LT(support::distance(got, plain->forward(unit)), 1e-12);
  EXPECT_THROW(make_raw_encoder(EdgeOptions(o), {"edge", 3, kNone}, 4), base::RecipeError);
}

TEST(RawEncoder, IdleIsWhatWouldEncodeTheColumns) {
  const std::vector<std::int64_t> categories{5, 3};
  const auto tables = make_raw_encoder(EdgeOptions(IdleOptions{}), {"edge", 2, categories}, 4);
  EXPECT_EQ(tables->named_parameters()["column_1"].numel(), 3 * 4);
  const auto linear = make_raw_encoder(EdgeOptions(IdleOptions{}), {"edge", 2, kNone}, 4);
  EXPECT_EQ(linear->named_parameters()["weight"].numel(), 2 * 4);
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
