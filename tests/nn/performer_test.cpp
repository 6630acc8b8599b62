#include "gtrain/nn/performer.h"

#include "gtrain/ops/reference.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Performer, ProjectsAttendsLinearlyAndProjects) {
  const auto b = support::pack_odd_graphs();
  const auto layer = support::ready(
      std::make_shared<nn::Performer>(6, 2, 0.0, nn::PerformerOptions{.head_width = 4}));
  const auto p = layer->named_parameters();
  const at::Tensor x = at::randn({b.nodes, 6}, at::kDouble);
  const at::Tensor qkv =
      at::cat({at::matmul(x, p["q.weight"].t()), at::matmul(x, p["k.weight"].t()),
               at::matmul(x, p["v.weight"].t())},
              1);
  const at::Tensor mixed =
      ops::reference::linear_attention(qkv, layer->projection, b.graph_start, 2, {});
  const at::Tensor want = at::matmul(mixed, p["out.weight"].t()) + p["out.bias"];
  nn::Context c = support::context(false);
  EXPECT_LT(support::distance(layer->forward({.x = x, .graph_start = b.graph_start}, c), want),
            1e-12);
}

TEST(Performer, HasTheFeaturesOfTheOriginalUnlessTold) {
  EXPECT_EQ(nn::Performer(16, 4, 0.0, {}).projection.sizes(), (std::vector<std::int64_t>{266, 64}));
  EXPECT_EQ(nn::Performer(16, 4, 0.0, {.head_width = 8, .features = 5}).projection.sizes(),
            (std::vector<std::int64_t>{5, 8}));
  EXPECT_EQ(nn::Performer(4, 1, 0.0, {.head_width = 1}).projection.size(0), 1);
}

TEST(Performer, SeesTheLargestGraphOfTheBatchOnlyWherePadded) {
  const auto together = support::pack({support::path(3), support::path(9)});
  const auto alone = support::pack({support::path(3)});
  const at::Tensor x = at::randn({12, 8}, at::kDouble);
  for (const bool padded : {false, true}) {
    nn::PerformerOptions options{.head_width = 4};
    options.padded = padded;
    const auto layer = support::ready(std::make_shared<nn::Performer>(8, 2, 0.0, options));
    nn::Context c = support::context(false);
    const at::Tensor all = layer->forward({.x = x, .graph_start = together.graph_start}, c);
    const at::Tensor own =
        layer->forward({.x = x.slice(0, 0, 3), .graph_start = alone.graph_start}, c);
    const double apart = support::distance(all.slice(0, 0, 3), own);
    EXPECT_EQ(apart > 1e-6, padded) << apart;
  }
}

TEST(Performer, DrawsAnotherProjectionForAnotherSeedAndDropsItsOutput) {
  const auto b = support::pack({support::path(5)});
  const auto make = [](std::uint64_t seed) {
    return support::ready(std::make_shared<nn::Performer>(8, 2, 0.5, nn::PerformerOptions{}), seed);
  };
  const auto layer = make(3);
  EXPECT_TRUE(support::same_bits(layer->projection, make(3)->projection));
  EXPECT_GT(support::distance(layer->projection, make(4)->projection), 0.1);
  const at::Tensor x = at::randn({5, 8}, at::kDouble);
  nn::Context c = support::context(true);
  const at::Tensor out = layer->forward({.x = x, .graph_start = b.graph_start}, c);
  const auto dropped = (out == 0).sum().item<std::int64_t>();
  EXPECT_GT(dropped, 8);
  EXPECT_LT(dropped, 32);
}

}  // namespace
}  // namespace gtrain
