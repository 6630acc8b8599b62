#include "gtrain/nn/global.h"

#include "gtrain/nn/bigbird.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Global, MakesEveryNameItLists) {
  const auto b = support::pack_odd_graphs();
  const auto pattern = nn::bigbird_pattern(b.graph_start, {});
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  for (const std::string_view name : nn::global_names()) {
    SCOPED_TRACE(name);
    const auto layer = support::ready(nn::make_global(std::string(name), {.width = 8, .heads = 2}));
    nn::Context c = support::context(true);
    const at::Tensor h =
        layer->forward({.x = x, .graph_start = b.graph_start, .pattern = &pattern}, c);
    EXPECT_EQ(h.sizes(), x.sizes());
    EXPECT_TRUE(h.isfinite().all().item<bool>());
  }
  EXPECT_THROW(nn::make_global("attentive", {}), c10::Error);
}

TEST(Global, ChangesNoBitWithTheNumberOfThreads) {
  const auto b = support::pack({support::random_graph(1, 200, 0.05), support::path(40)});
  const auto pattern = nn::bigbird_pattern(b.graph_start, {});
  const at::Tensor x = at::randn({b.nodes, 16});
  for (const std::string_view name : nn::global_names()) {
    SCOPED_TRACE(name);
    const auto layer =
        support::ready(nn::make_global(std::string(name), {.width = 16, .heads = 2}));
    layer->to(at::kFloat);
    support::expect_thread_independent(
        [&](const std::vector<at::Tensor>& in) {
          nn::Context c = support::context(true);
          return std::vector<at::Tensor>{
              layer->forward({.x = in[0], .graph_start = b.graph_start, .pattern = &pattern}, c)};
        },
        {x});
  }
}

}  // namespace
}  // namespace gtrain
