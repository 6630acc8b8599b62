#include "gtrain/nn/feed_block.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

std::shared_ptr<nn::FeedBlock> block_of(const nn::FeedBlock::Options& options) {
  return support::ready(std::make_shared<nn::FeedBlock>(options));
}

at::Tensor plain(const nn::FeedBlock& block, const nn::FeedBlock::Options& o, const at::Tensor& a,
                 const at::Tensor& attended) {
  const auto p = block.named_parameters();
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::linear(x, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto norm = [&](const std::string& name, const at::Tensor& x) {
    if (o.norm == "none") return x;
    const at::Tensor &w = p[name + ".weight"], &b = p[name + ".bias"];
    if (o.norm == "batch") return x / std::sqrt(1 + 1e-5) * w + b;  // fresh running statistics
    return at::layer_norm(x, {x.size(1)}, w, b);
  };
  const at::Tensor mixed = linear("out", attended);
  const at::Tensor b = norm("norm_0", o.residual ? a + mixed : mixed);
  const at::Tensor h = linear("feed_1", at::relu(linear("feed_0", b)));
  return norm("norm_1", o.residual ? b + h : h);
}

TEST(FeedBlock, IsItsEquationWithAnyNormAndWithoutResiduals) {
  const at::Tensor a = at::randn({7, 6}, at::kDouble), attended = at::randn({7, 6}, at::kDouble);
  for (const char* norm : {"batch", "row", "none"}) {
    for (const bool residual : {true, false}) {
      const nn::FeedBlock::Options o{.width = 6, .norm = norm, .residual = residual};
      const auto block = block_of(o);
      nn::Context c = support::context(false);
      EXPECT_LT(support::distance(block->forward(a, attended, c), plain(*block, o, a, attended)),
                1e-12)
          << norm << residual;
    }
  }
}

// Masks in order of call: the attended rows, then the hidden ones.
TEST(FeedBlock, DropsWhatWasAttendedAndWhatIsHidden) {
  const nn::FeedBlock::Options o{.width = 4, .norm = "none", .dropout = 0.5};
  const auto block = block_of(o);
  const at::Tensor a = at::randn({5, 4}, at::kDouble), attended = at::randn({5, 4}, at::kDouble);
  const std::vector<at::Tensor> masks{at::zeros({5, 4}, at::kByte), at::zeros({5, 8}, at::kByte)};
  nn::Context c = support::context(true);
  c.masks = &masks;
  const auto p = block->named_parameters();
  EXPECT_LT(support::distance(block->forward(a, attended, c), a + p["out.bias"] + p["feed_1.bias"]),
            1e-12);
}

TEST(FeedBlock, RefusesANormThatReadsGraphs) {
  EXPECT_THROW(nn::FeedBlock({.width = 4, .norm = "layer"}), c10::Error);
}

}  // namespace
}  // namespace gtrain
