#include "gtrain/nn/deep_sets.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

at::Tensor reduce(const at::Tensor& rows, const std::string& how) {
  if (how == "mean") return rows.mean(0);
  if (how == "sum") return rows.sum(0);
  return how == "max" ? rows.amax(0) : rows.amin(0);
}

TEST(DeepSets, AddsWhatItReducesOfEachGraph) {
  const auto b = support::pack_odd_graphs();
  const at::Tensor x = at::randn({b.nodes, 5}, at::kDouble);
  for (const char* how : {"mean", "sum", "max", "min"}) {
    SCOPED_TRACE(how);
    const auto layer = support::ready(
        std::make_shared<nn::DeepSets>(5, nn::DeepSetsOptions{.layers = 2, .reduce = how}));
    const auto p = layer->named_parameters();
    at::Tensor h = x;
    for (const std::string i : {"0", "1"}) {
      at::Tensor next = at::matmul(h, p["layer_" + i + ".alpha"]) + p["layer_" + i + ".bias"];
      for (std::int64_t g = 0; g + 1 < b.graph_start.numel(); ++g) {
        const at::Tensor rows = at::nonzero(b.graph == g).view(-1);
        if (rows.numel() == 0) continue;
        const at::Tensor answer =
            at::matmul(reduce(h.index_select(0, rows), how), p["layer_" + i + ".beta"]);
        next.index_add_(0, rows, answer.expand({rows.numel(), 5}));
      }
      h = at::relu(next) / std::sqrt(1 + 1e-5);  // fresh running statistics
    }
    nn::Context c = support::context(false);
    EXPECT_LT(support::distance(layer->forward({.x = x, .graph_start = b.graph_start}, c), h),
              1e-12);
  }
}

TEST(DeepSets, CountsPaddingInItsStatisticsOnlyWherePadded) {
  const auto b = support::pack({support::path(2), support::path(6)});
  const at::Tensor x = at::randn({8, 4}, at::kDouble);
  for (const bool padded : {false, true}) {
    nn::DeepSetsOptions options;
    options.padded = padded;
    const auto layer = support::ready(std::make_shared<nn::DeepSets>(4, options));
    const auto buffers = layer->named_buffers();
    nn::Context c = support::context(true);
    const at::Tensor out = layer->forward({.x = x, .graph_start = b.graph_start}, c);
    // A batch of 2 graphs padded to 6 places holds 4 rows of zeros.
    const double rows = padded ? 12 : 8;
    const double spread = out.sum(0).abs().max().item<double>();
    EXPECT_EQ(spread < 1e-10, !padded) << spread;  // the statistics are those of the 8 rows alone
    nn::Context again = support::context(true);
    const auto plain = support::ready(std::make_shared<nn::DeepSets>(4, nn::DeepSetsOptions{}));
    plain->forward({.x = x, .graph_start = b.graph_start}, again);
    EXPECT_LT(support::distance(buffers["norm_0.running_mean"] * rows,
                                plain->named_buffers()["norm_0.running_mean"] * 8),
              1e-12);
  }
}

TEST(DeepSets, RefusesAnUnknownReduction) {
  EXPECT_THROW(nn::DeepSets(4, {.layers = 1, .reduce = "median"}), c10::Error);
}

}  // namespace
}  // namespace gtrain
