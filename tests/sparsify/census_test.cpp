#include "gtrain/sparsify/census.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {
namespace {

// The net as `rule` leaves it at once.
std::unique_ptr<SmallNet> settled(const Options& options) {
  auto net = std::make_unique<SmallNet>();
  attach(*net, options);
  Sparsity(*net, options, {}).begin(0);
  return net;
}

at::Tensor forward(SmallNet& net, const at::Tensor& start) {
  const at::NoGradGuard guard;
  nn::Context evaluation = support::context(false);
  at::manual_seed(1);
  return net.forward(at::randn({start[-1].item<std::int64_t>(), 8}), start, evaluation);
}

TEST(Census, SaysWhichHeadsAndBranchesAreOff) {
  LayerRule layers;
  layers.method = "learned";
  layers.branches = "all";
  Options options = one_rule(HeadRule(), 0.5);
  layers.timing.keep = 0.5;
  options.rules.push_back(layers);
  const auto net = settled(options);
  const std::vector<Switches> all = switches(*net);
  ASSERT_EQ(all.size(), 2u + 4u);
  std::int64_t branches = 0;
  for (const Switches& s : all) {
    const auto open = std::count(s.open.begin(), s.open.end(), true);
    if (s.heads) {
      EXPECT_EQ(s.open.size(), 2u);
      EXPECT_EQ(open, 1) << s.of;
      EXPECT_TRUE(s.probability.empty());
    } else {
      branches += open;
      EXPECT_NEAR(s.probability.at(0), 0.8318, 1e-4) << s.of;  // sigmoid(log(11) 2/3)
    }
  }
  EXPECT_EQ(branches, 2);
  EXPECT_EQ(all[0].of, "layer_0.attention.heads");
  EXPECT_EQ(all[2].of.substr(0, 8), "layer_0.");
}

TEST(Census, OfADenseModelIsEmpty) {
  SmallNet net;
  EXPECT_TRUE(switches(net).empty());
  EXPECT_TRUE(densities(net, one_rule(WeightRule(), 1.0)).empty());
  EXPECT_TRUE(TokenWatch(net).empty());
}

TEST(Census, CountsTheWeightsThatLiveInEachMatrix) {
  WeightRule rule;
  rule.scope = "global";
  const Options options = one_rule(rule, 0.3);
  const auto net = settled(options);
  std::int64_t living = 0, total = 0;
  double least = 1, most = 0;
  for (const Density& d : densities(*net, options)) {
    living += d.living;
    total += d.all;
    const double share = static_cast<double>(d.living) / static_cast<double>(d.all);
    least = std::min(least, share);
    most = std::max(most, share);
  }
  EXPECT_EQ(living, std::llround(0.3 * static_cast<double>(total)));
  EXPECT_LT(least, most) << "over all matrices together";
}

TEST(TokenWatch, NumbersTheNodesThatStayAndChangesNothing) {
  const auto net = settled(one_rule(TokenRule(), 0.5));
  const at::Tensor start = at::tensor({0, 5, 5, 6, 12}, at::kLong);
  const at::Tensor want = forward(*net, start);
  {
    TokenWatch watch(*net);
    EXPECT_TRUE(support::same_bits(forward(*net, start), want));
    const std::vector<TokenWatch::Choice> seen = watch.take(start);
    ASSERT_EQ(seen.size(), 2u);
    for (const TokenWatch::Choice& choice : seen) {
      EXPECT_FALSE(choice.all);
      ASSERT_EQ(choice.stayed.size(), 3u + 1u + 3u);
      EXPECT_LT(choice.stayed[2], 5);
      EXPECT_EQ(choice.stayed[3], 5) << "a lone node stays";
      EXPECT_TRUE(std::is_sorted(choice.stayed.begin(), choice.stayed.end()));
    }
    EXPECT_EQ(seen[1].of, "layer_1.attention");
    EXPECT_TRUE(watch.take(start).empty());
  }
  EXPECT_NE(dynamic_cast<nn::Layer*>(sites(*net)[0].gated->token_gate.get()), nullptr)
      << "its own gate again";
}

TEST(TokenWatch, NumbersFromTheEndWhereAModelReadsTheLastNodesOfAGraph) {
  const auto net = settled(one_rule(TokenRule(), 0.5));
  const at::Tensor read = at::tensor({0, 3, 3, 4, 7}, at::kLong);
  const at::Tensor whole = at::tensor({0, 5, 5, 6, 12}, at::kLong);
  TokenWatch watch(*net);
  forward(*net, read);
  const TokenWatch::Choice as_read = watch.take(read).at(0);
  forward(*net, read);
  const TokenWatch::Choice choice = watch.take(whole).at(0);
  EXPECT_TRUE(as_read.absent.empty());
  EXPECT_EQ(choice.absent, (std::vector<std::int64_t>{0, 1, 6, 7, 8}));
  const std::int64_t number[] = {2, 3, 4, 5, 9, 10, 11};  // of the rows in the batch
  ASSERT_EQ(choice.stayed.size(), 2u + 1u + 2u);
  for (std::size_t i = 0; i < choice.stayed.size(); ++i) {
    EXPECT_EQ(choice.stayed[i], number[as_read.stayed[i]]);
  }
}

}  // namespace
}  // namespace gtrain::sparsify
