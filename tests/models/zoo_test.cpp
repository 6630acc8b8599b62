#include "gtrain/models/zoo.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

TEST(Zoo, ListsEveryModelOnce) {
  ASSERT_EQ(zoo().size(), std::variant_size_v<ModelOptions>);
  EXPECT_EQ(zoo()[0].name, "gps");
}

TEST(Initialise, IsAFunctionOfTheSeed) {
  const auto draw = [](std::uint64_t seed) {
    const auto m = build(ModelOptions(sample::options()), sample::signature());
    initialise(*m, seed);
    std::vector<at::Tensor> flat;
    for (const at::Tensor& p : m->parameters()) flat.push_back(p.detach().flatten());
    return at::cat(flat);
  };
  EXPECT_TRUE(support::same_bits(draw(1), draw(1)));
  EXPECT_GT(support::distance(draw(1), draw(2)), 0.1);
}

TEST(Initialise, GivesLayersOfTheSameShapeOtherWeights) {
  const auto m = sample::model(sample::options());
  const auto p = m->named_parameters();
  EXPECT_GT(support::distance(p["layer_0.feed_0.weight"], p["layer_1.feed_0.weight"]), 0.01);
  EXPECT_GT(support::distance(p["layer_0.local.mlp_0.weight"], p["layer_0.local.mlp_1.weight"]),
            0.01);
}

}  // namespace
}  // namespace gtrain::models
