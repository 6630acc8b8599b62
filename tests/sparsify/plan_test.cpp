#include "gtrain/sparsify/plan.h"

#include <algorithm>

#include "gtrain/base/error.h"
#include "gtrain/nn/graph_token.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/token_gate.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {
namespace {

std::string refusal(torch::nn::Module& model, const Options& options) {
  try {
    attach(model, options);
  } catch (const base::RecipeError& e) {
    return e.what();
  }
  return "";
}

TEST(Plan, FindsAttentionsAndTheirFeedForwardBlocks) {
  SmallNet net;
  EXPECT_EQ(sites(net).size(), 2);
  EXPECT_EQ(sites(net)[1].path, "layer_1.attention");
  WeightRule rule;
  EXPECT_EQ(weight_groups(net, rule).size(), 9);  // in, out, two of the feed, twice; the last layer
  rule.structure = "neuron";
  ASSERT_EQ(weight_groups(net, rule).size(), 2);
  EXPECT_EQ(weight_groups(net, rule)[0].parts.size(), 3);
  rule.structure = "none";
  rule.of = {"layer_1.feed_0"};
  EXPECT_EQ(weight_groups(net, rule).size(), 1);
}

TEST(Plan, LeavesFrozenWeightsAndGatesAlone) {
  SmallNet net;
  TokenRule tokens;
  attach(net, one_rule(tokens, 0.5));
  EXPECT_EQ(weight_groups(net, WeightRule()).size(), 9);
  net.last->weight.set_requires_grad(false);
  EXPECT_EQ(weight_groups(net, WeightRule()).size(), 8);
}

TEST(Plan, AttachesNothingWhereAllIsKept) {
  SmallNet net;
  Options all;
  for (const Rule& rule : {Rule(TokenRule()), Rule(HeadRule()), Rule(LayerRule())}) {
    all.rules.push_back(rule);
    timing_of(all.rules.back()).keep = 1.0;
  }
  attach(net, all);
  for (const Site& site : sites(net)) {
    EXPECT_EQ(site.gated->token_gate, nullptr);
    EXPECT_EQ(site.gated->head_gate, nullptr);
    EXPECT_EQ(site.gated->branch_gate, nullptr);
  }
}

TEST(Plan, GatesAreChildrenOfTheirLayer) {
  SmallNet net;
  attach(net, one_rule(TokenRule(), 0.5));
  EXPECT_TRUE(net.named_parameters().contains("layer_0.attention.token_gate.weight"));
  EXPECT_TRUE(net.named_buffers().contains("layer_1.attention.token_gate.billionths"));
}

TEST(Plan, ATokenInFrontOfEachGraphIsSeen) {
  SmallNet net;
  EXPECT_EQ(leading_tokens(net), 0);
  net.register_module("token", std::make_shared<nn::GraphToken>(8));
  EXPECT_EQ(leading_tokens(net), 1);
}

TEST(Plan, RefusesWhatAModelCannotDo) {
  SmallNet net(6);  // rows of 6 and 12
  WeightRule fours;
  fours.structure = "2:4";
  EXPECT_NE(refusal(net, one_rule(fours, 0.5)).find("whole fours"), std::string::npos);
  WeightRule elsewhere;
  elsewhere.of = {"encoder"};
  EXPECT_NE(refusal(net, one_rule(elsewhere, 0.5)).find("sparsify.rules[0].of"), std::string::npos);
  EXPECT_NE(refusal(net, one_rule(HeadRule(), 0.9)).find("leaves all"), std::string::npos);
  LayerRule learned;
  learned.method = "learned";
  learned.costs = {1, 2, 3};  // of two attentions
  EXPECT_NE(refusal(net, one_rule(learned, 0.5)).find(".costs: 3 numbers for 2 branches"),
            std::string::npos);
  TokenRule leaving;
  leaving.depth = "network";
  EXPECT_NE(refusal(net, one_rule(leaving, 0.5)).find(".depth: nodes cannot leave"),
            std::string::npos);
  net.register_module("token", std::make_shared<nn::GraphToken>(6, true));
  EXPECT_NE(refusal(net, one_rule(TokenRule(), 0.5)).find("port_token_sort"), std::string::npos);
  nn::Linear bare(4, 4);
  EXPECT_NE(refusal(bare, one_rule(TokenRule(), 0.5)).find("no attention"), std::string::npos);
}

TEST(Plan, NamesEveryRuleOnce) {
  std::vector<std::string_view> names;
  for (const Entry& e : catalog()) names.push_back(e.name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"tokens", "heads", "layers", "weights"}));
}

}  // namespace
}  // namespace gtrain::sparsify
