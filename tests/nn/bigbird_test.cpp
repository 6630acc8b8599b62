#include "gtrain/nn/bigbird.h"

#include <set>

#include "support/layer_case.h"

namespace gtrain {
namespace {

const nn::BigBirdOptions kSparse{.window = 1, .random = 2, .global = 1, .seed = 7};

// The columns of row i, from the first node of its graph on.
std::vector<std::int64_t> partners(const ops::AttentionPattern& p, std::int64_t i,
                                   std::int64_t first) {
  std::vector<std::int64_t> out;
  const auto* start = p.row_start.const_data_ptr<std::int64_t>();
  for (std::int64_t k = start[i]; k < start[i + 1]; ++k) {
    out.push_back(p.column.const_data_ptr<std::int32_t>()[k] - first);
  }
  return out;
}

TEST(BigBirdPattern, JoinsWindowRandomAndGlobalPairs) {
  const auto p = nn::bigbird_pattern(at::tensor({0, 30}, at::kLong), kSparse);
  EXPECT_EQ(partners(p, 0, 0).size(), 30U);
  for (std::int64_t i = 1; i < 30; ++i) {
    const auto row = partners(p, i, 0);
    const std::set<std::int64_t> columns(row.begin(), row.end());
    for (const std::int64_t j : {std::int64_t{0}, i - 1, i, std::min<std::int64_t>(29, i + 1)}) {
      EXPECT_TRUE(columns.contains(j)) << i << " to " << j;
    }
    EXPECT_LE(columns.size(), 6U);
  }
  EXPECT_GT(p.pairs(), 30 + 29 * 3 + 29);  // some random ones are new
}

TEST(BigBirdPattern, IsTheSameForAGraphAloneAndAmongOthers) {
  const auto together = nn::bigbird_pattern(at::tensor({0, 12, 12, 40}, at::kLong), kSparse);
  const auto alone = nn::bigbird_pattern(at::tensor({0, 28}, at::kLong), kSparse);
  for (std::int64_t i = 0; i < 28; ++i) {
    EXPECT_EQ(partners(together, 12 + i, 12), partners(alone, i, 0));
  }
}

TEST(BigBirdPattern, HasAllPairsOfSmallGraphsByDefault) {
  const auto p = nn::bigbird_pattern(at::tensor({0, 10, 11}, at::kLong), {});
  EXPECT_EQ(p.pairs(), 101);
}

TEST(BigBird, IsAttentionWhereThePatternHasAllPairs) {
  const auto b = support::pack({support::path(7), support::edgeless(1), support::cycle(9)});
  const auto sparse = support::ready(std::make_shared<nn::BigBird>(8, 2, 0.0, kSparse));
  const auto full = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0));
  const auto all = ops::listed(ops::full_pattern(b.graph_start));
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  nn::Context c = support::context(false);
  const at::Tensor want = full->forward({.x = x, .graph_start = b.graph_start}, c);
  const at::Tensor got =
      sparse->forward({.x = x, .graph_start = b.graph_start, .pattern = &all}, c);
  EXPECT_LT(support::distance(got, want), 1e-12);
  const auto part = nn::bigbird_pattern(b.graph_start, kSparse);
  EXPECT_GT(support::distance(
                sparse->forward({.x = x, .graph_start = b.graph_start, .pattern = &part}, c), want),
            1e-4);
}

TEST(BigBird, DropsWeightsInTrainingOnly) {
  const auto b = support::pack({support::path(6)});
  const auto layer = support::ready(std::make_shared<nn::BigBird>(8, 2, 0.5, kSparse));
  const auto pattern = nn::bigbird_pattern(b.graph_start, kSparse);
  const nn::GlobalInput input{
      .x = at::randn({6, 8}, at::kDouble), .graph_start = b.graph_start, .pattern = &pattern};
  nn::Context evaluation = support::context(false), training = support::context(true);
  EXPECT_GT(support::distance(layer->forward(input, evaluation), layer->forward(input, training)),
            1e-3);
}

}  // namespace
}  // namespace gtrain
