#include "gtrain/sparsify/rule.h"

#include <gtest/gtest.h>

namespace gtrain::sparsify {
namespace {

// Collects what require() reports and ignores the fields.
class Problems final : public base::FieldVisitor {
 public:
  using base::FieldVisitor::operator();
  void operator()(const base::Field&, bool&) override {}
  void operator()(const base::Field&, std::int64_t&) override {}
  void operator()(const base::Field&, double&) override {}
  void operator()(const base::Field&, std::string&) override {}
  void operator()(const base::Field&, std::optional<bool>&) override {}
  void operator()(const base::Field&, std::optional<std::int64_t>&) override {}
  void operator()(const base::Field&, std::optional<double>&) override {}
  void operator()(const base::Field&, std::vector<std::int64_t>&) override {}
  void operator()(const base::Field&, std::vector<double>&) override {}
  void operator()(const base::Field&, std::vector<std::string>&) override {}
  void rest(const base::Field&, std::map<std::string, double>&) override {}
  void object(const base::Field&, const Body&) override {}
  void maybe(const base::Field&, base::MaybeAccess&) override {}
  void list(const base::Field&, base::ListAccess&) override {}
  void choice(const base::Field&, base::ChoiceAccess&) override {}
  void require(bool holds, std::string_view path, const std::string& message) override {
    if (!holds) text += std::string(path) + ": " + message + "\n";
  }
  std::string text;
};

template <class T>
std::string problems(T options) {
  Problems found;
  options.fields(found);
  return found.text;
}

Options rules(std::vector<Rule> list) {
  Options out;
  for (Rule& rule : list) {
    if (!timing_of(rule).keep) timing_of(rule).keep = 0.5;
    out.rules.push_back(std::move(rule));
  }
  return out;
}

TEST(Rule, DefaultsGoTogether) {
  EXPECT_EQ(problems(rules({TokenRule(), HeadRule(), LayerRule(), WeightRule()})), "");
  for (const Rule& rule : rules({TokenRule(), HeadRule(), LayerRule(), WeightRule()}).rules) {
    EXPECT_EQ(std::visit([](const auto& r) { return problems(r); }, rule), "");
  }
}

TEST(Rule, KeepingNothingIsRefused) {
  TokenRule rule;
  rule.timing.keep = 0.0;
  EXPECT_NE(problems(rule).find("nothing would be left"), std::string::npos);
}

TEST(Rule, KeepComesFromTheRuleOrFromABudget) {
  Options options;
  options.rules = {HeadRule()};
  EXPECT_NE(problems(options).find("rules[0].keep: is missing"), std::string::npos);
  options.flops = 0.7;
  EXPECT_EQ(problems(options), "");
}

TEST(Rule, OneTargetHasOneSchedule) {
  EXPECT_NE(problems(rules({HeadRule(), HeadRule()})).find("a second schedule of heads"),
            std::string::npos);
  WeightRule one, two;
  EXPECT_NE(problems(rules({one, two})).find("a second schedule"), std::string::npos);
  one.of = {"layer_0"};
  two.of = {"layer_0.feed_0"};
  EXPECT_NE(problems(rules({one, two})).find("a second schedule"), std::string::npos);
  two.of = {"layer_1"};
  EXPECT_EQ(problems(rules({one, two})), "");
}

TEST(Rule, RowsOfDeadHeadsAreNotPrunedTwice) {
  HeadRule heads;
  heads.quirks = {"reference"};
  EXPECT_NE(problems(rules({WeightRule(), heads})).find("rows of weights"), std::string::npos);
}

TEST(Rule, NodesLeaveTheNetworkInAFormThatExists) {
  TokenRule rule;
  rule.at = 2;
  EXPECT_NE(problems(rule).find("belongs to depth: network"), std::string::npos);
  rule.depth = "network";
  EXPECT_EQ(problems(rule), "");
  rule.quirks = {"reference"};
  EXPECT_NE(problems(rule).find("depth: attention"), std::string::npos);
}

TEST(Rule, NodesAreNotChosenByAnAttentionThatMayBeClosed) {
  TokenRule tokens;
  tokens.depth = "network";
  tokens.scorer = "pagerank";
  LayerRule layers;
  layers.method = "learned";
  layers.timing.end = 5;
  EXPECT_NE(problems(rules({layers, tokens})).find("need the attention of every layer"),
            std::string::npos);
  tokens.scorer = "learned";
  EXPECT_EQ(problems(rules({layers, tokens})), "");
  tokens.scorer = "pagerank";
  tokens.depth = "attention";
  EXPECT_EQ(problems(rules({layers, tokens})), "");
}

TEST(Rule, StructuresAreRefusedWhatTheyCannotKeep) {
  WeightRule fours;
  fours.structure = "2:4";
  fours.timing.keep = 0.3;
  EXPECT_NE(problems(fours).find("2:4 leaves half"), std::string::npos);
  WeightRule neuron;
  neuron.structure = "neuron";
  neuron.method = "rigl";
  neuron.timing.end = 10;
  EXPECT_NE(problems(neuron).find("expected granet or gmp"), std::string::npos);
}

TEST(Rule, WhatLearnsOrExchangesNeedsTimeToDoSo) {
  LayerRule learned;
  learned.method = "learned";
  EXPECT_NE(problems(learned).find("expected end after start"), std::string::npos);
  WeightRule set;
  set.method = "set";
  EXPECT_NE(problems(set).find("expected end after start"), std::string::npos);
}

TEST(Rule, CostsAreOfLearnedBranchesAndNotBesideABudget) {
  LayerRule layers;
  layers.costs = {1, 2};
  EXPECT_NE(problems(layers).find("belong to method: learned"), std::string::npos);
  layers.method = "learned";
  layers.timing.end = 5;
  EXPECT_EQ(problems(layers), "");
  Options budget = rules({layers});
  budget.flops = 0.5;
  EXPECT_NE(problems(budget).find("rules[0].costs"), std::string::npos);
  layers.costs = {0, 0};
  EXPECT_NE(problems(layers).find("are all 0"), std::string::npos);
}

TEST(Rule, AnEndBeforeTheStartIsRefused) {
  HeadRule rule;
  rule.timing.start = 10;
  rule.timing.end = 5;
  EXPECT_NE(problems(rule).find("comes before start"), std::string::npos);
}

}  // namespace
}  // namespace gtrain::sparsify
