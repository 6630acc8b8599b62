#include "gtrain/sparsify/compact.h"

#include <ATen/ATen.h>

#include "gtrain/ops/sparse_linear.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {
namespace {

at::Tensor start() { return at::tensor({0, 5, 5, 6, 12}, at::kLong); }

std::unique_ptr<SmallNet> small_net() {
  auto net = std::make_unique<SmallNet>();
  net->to(at::kDouble);
  return net;
}

at::Tensor run(SmallNet& net, const at::Tensor& x) {
  const at::NoGradGuard guard;
  nn::Context evaluation = support::context(false);
  return net.forward(x, start(), evaluation);
}

std::int64_t size(const torch::nn::Module& net) {
  std::int64_t sum = 0;
  for (const at::Tensor& p : net.parameters()) sum += p.numel();
  return sum;
}

std::map<std::string, at::Tensor> tensors(const torch::nn::Module& net) {
  std::map<std::string, at::Tensor> out;
  for (const auto& p : net.named_parameters()) out.emplace(p.key(), p.value().detach());
  for (const auto& b : net.named_buffers()) out.emplace(b.key(), b.value());
  return out;
}

// A whole net that takes the state of a cut one puts out the same.
void expect_state_fits(SmallNet& cut, const at::Tensor& x,
                       std::unique_ptr<SmallNet> fresh = small_net()) {
  const auto state = tensors(cut);
  fit(*fresh, state);
  const auto own = tensors(*fresh);
  ASSERT_EQ(own.size(), state.size());
  const at::NoGradGuard guard;
  for (const auto& [name, value] : own) {
    ASSERT_EQ(value.sizes(), state.at(name).sizes()) << name;
    value.copy_(state.at(name));
  }
  EXPECT_TRUE(support::same_bits(run(*fresh, x), run(cut, x)));
}

TEST(Compact, CutsHeadsThatAMaskSwitchedOff) {
  for (const bool reference : {false, true}) {
    const auto net = small_net();
    HeadRule rule;
    if (reference) rule.quirks = {"reference"};
    attach(*net, one_rule(rule, 0.5));
    net->to(at::kDouble);
    const at::NoGradGuard guard;
    auto& gated = *net->layers[1];
    const Site site = sites(*net)[1];
    auto* attention = dynamic_cast<nn::Attention*>(site.module);
    const auto mask = std::dynamic_pointer_cast<HeadMask>(site.gated->head_gate);
    ASSERT_TRUE(mask);
    mask->mask[0] = 0;
    attention->in_bias.uniform_(-1, 1);
    if (reference) attention->in_weight.mul_(head_rows(mask->mask, 8).to(at::kDouble));
    const at::Tensor x = at::randn({12, 8}, at::kDouble), want = run(*net, x);
    const std::int64_t before = size(*net);
    const std::vector<Cut> cuts = compact(*net);
    ASSERT_EQ(cuts.size(), 1);
    EXPECT_EQ(cuts[0].path, "layer_1.attention");
    EXPECT_EQ(cuts[0].after, 1);
    EXPECT_EQ(before - size(*net), 3 * 4 * 9 + 4 * 8);
    EXPECT_LT(support::distance(run(*net, x), want), 1e-12);
    EXPECT_FALSE(net->named_buffers().contains("layer_1.attention.head_gate.mask"));
    EXPECT_EQ(gated.named_buffers().size(), 0);
    expect_state_fits(*net, x);
  }
}

TEST(Compact, CutsClosedBranchesWhole) {
  const auto net = small_net();
  LayerRule rule;
  rule.method = "learned";
  rule.branches = "all";
  attach(*net, one_rule(rule, 0.5));
  net->to(at::kDouble);
  const std::vector<Branch> all = branches(*net, rule);
  ASSERT_EQ(all.size(), 4);
  for (const Branch& b : all) {
    const bool open = b.path != "layer_0.attention.branch_gate" && b.path != "layer_1.feed_gate";
    std::dynamic_pointer_cast<BranchConcrete>(*b.gate)->settle(at::full({1}, open ? 1.0 : 0.0));
  }
  const at::Tensor x = at::randn({12, 8}, at::kDouble), want = run(*net, x);
  const std::vector<Cut> cuts = compact(*net);
  ASSERT_EQ(cuts.size(), 2);
  EXPECT_EQ(cuts[0].after, 0);
  EXPECT_EQ(cuts[1].path, "layer_1.feed_0");
  EXPECT_EQ(cuts[1].after, 1);
  EXPECT_LT(support::distance(run(*net, x), want), 1e-12);
  EXPECT_EQ(net->named_parameters()["layer_0.attention.in_weight"].numel(), 0);
  expect_state_fits(*net, x);
}

TEST(Compact, CutsHiddenUnitsThatSayNothing) {
  const auto net = small_net();
  const at::NoGradGuard guard;
  auto p = net->named_parameters();
  for (const std::int64_t unit : {0, 3, 15}) {
    p["layer_0.feed_0.weight"][unit].zero_();
    p["layer_0.feed_0.bias"][unit] = 0;
  }
  p["layer_0.feed_1.weight"].select(1, 7).zero_();
  p["layer_1.feed_0.weight"][2].zero_();  // its bias still speaks
  const at::Tensor x = at::randn({12, 8}, at::kDouble), want = run(*net, x);
  const std::vector<Cut> cuts = compact(*net);
  ASSERT_EQ(cuts.size(), 1);
  EXPECT_EQ(cuts[0].path, "layer_0.feed_0");
  EXPECT_EQ(cuts[0].before, 16);
  EXPECT_EQ(cuts[0].after, 12);
  EXPECT_LT(support::distance(run(*net, x), want), 1e-12);
  expect_state_fits(*net, x);
}

std::unique_ptr<SmallNet> wide_net() {
  auto net = std::make_unique<SmallNet>(24);
  net->to(at::kDouble);
  return net;
}

// Of two matrices a fifth is left, of one a half.
std::unique_ptr<SmallNet> sparse_net() {
  auto net = wide_net();
  const at::NoGradGuard guard;
  auto p = net->named_parameters();
  for (const char* name : {"layer_0.feed_0.weight", "layer_1.attention.in_weight"}) {
    p[name].mul_(at::rand(p[name].sizes(), at::kDouble) < 0.2);
  }
  p["layer_0.feed_1.weight"].mul_(at::rand({24, 48}, at::kDouble) < 0.5);  // too many are left
  return net;
}

TEST(Compact, LeavesTheZerosOfSparseMatricesOut) {
  const auto net = sparse_net();
  const at::Tensor x = at::randn({12, 24}, at::kDouble), want = run(*net, x);
  const std::int64_t before = size(*net);
  const std::vector<Cut> cuts = compact(*net);
  ASSERT_EQ(cuts.size(), 2);
  EXPECT_EQ(cuts[0].path, "layer_0.feed_0.weight");
  EXPECT_EQ(cuts[0].what, "weights");
  EXPECT_EQ(cuts[1].before, 3 * 24 * 24);
  EXPECT_EQ(cuts[1].before - cuts[1].after, cuts[1].parameters);
  const double work = 2 * 4 * 24 * 24 + 4 * 24;  // of both projections, with biases
  EXPECT_DOUBLE_EQ(cuts[1].gone, 2 * static_cast<double>(cuts[1].parameters) / work);
  EXPECT_EQ(size(*net), before);
  EXPECT_TRUE(compact(*net).empty());
  EXPECT_LT(support::distance(run(*net, x), want), 1e-12);
  EXPECT_NE(ops::kept_pattern(net->layers[0]->named_parameters()["feed_0.weight"]), nullptr);
  nn::Context training = support::context(true);
  net->forward(x, start(), training).sum().backward();
  const at::Tensor w = net->named_parameters()["layer_0.feed_0.weight"];
  EXPECT_EQ(w.grad().masked_select(w == 0).abs().max().item<double>(), 0);
  expect_state_fits(*net, x, wide_net());
}

TEST(Compact, CutsAgainWhatWasCutBefore) {
  const auto net = sparse_net();
  compact(*net);
  auto p = net->named_parameters();
  const at::Tensor feed = p["layer_0.feed_0.weight"], in = p["layer_1.attention.in_weight"];
  const at::NoGradGuard guard;
  p["layer_0.feed_1.weight"].slice(1, 0, 12).zero_();  // nothing reads these units
  in.mul_(at::rand(in.sizes(), at::kDouble) < 0.5);
  const at::Tensor x = at::randn({12, 24}, at::kDouble), want = run(*net, x);
  const std::int64_t before = size(*net) - zeros_left_out(*net);
  std::int64_t gone = 0;
  for (const Cut& cut : compact(*net)) gone += cut.parameters;
  EXPECT_EQ(size(*net) - zeros_left_out(*net), before - gone);
  EXPECT_EQ(feed.size(0), 36);
  const auto state = tensors(*net);
  for (const char* name : {"layer_0.feed_0.weight", "layer_1.attention.in_weight"}) {
    const at::Tensor value = net->named_parameters()[name];
    const auto left = value.count_nonzero().item<std::int64_t>();
    EXPECT_EQ(state.at(std::string(name) + "_entries").item<std::int64_t>(), left) << name;
    ASSERT_NE(ops::kept_pattern(value), nullptr) << name;
    EXPECT_EQ(ops::kept_pattern(value)->entries(), left) << name;
  }
  EXPECT_LT(support::distance(run(*net, x), want), 1e-12);
  EXPECT_TRUE(compact(*net).empty());
  expect_state_fits(*net, x, wide_net());
}

TEST(Compact, WhatWasLeftOutLearnsUnderARuleThatExchangesWeights) {
  for (const char* method : {"gmp", "granet", "set", "rigl"}) {
    const auto net = sparse_net();
    compact(*net);
    WeightRule rule;
    rule.method = method;
    rule.of = {"layer_0"};
    const Sparsity sparsity(*net, one_rule(rule, 0.1), {});
    const at::Tensor x = at::randn({12, 24}, at::kDouble);
    nn::Context training = support::context(true);
    net->forward(x, start(), training).sum().backward();
    const auto most_at_zeros = [&](const char* name) {
      const at::Tensor w = net->named_parameters()[name];
      return w.grad().masked_select(w == 0).abs().max().item<double>();
    };
    EXPECT_EQ(most_at_zeros("layer_0.feed_0.weight") > 0, rule.method != "gmp") << method;
    EXPECT_EQ(most_at_zeros("layer_1.attention.in_weight"), 0) << method;  // of no rule
    expect_state_fits(*net, x, wide_net());
  }
}

TEST(Compact, LeavesAWholeModelAlone) {
  const auto net = small_net();
  const std::int64_t before = size(*net);
  EXPECT_TRUE(compact(*net).empty());
  fit(*net, tensors(*net));
  EXPECT_EQ(size(*net), before);
}

// The bias of Graphormer has a number for each head; a cut attention reads those of its own.
TEST(Compact, ABiasedAttentionRemembersItsHeads) {
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 4, 0.0, true));
  const at::Tensor x = at::randn({12, 8}, at::kDouble);
  ops::AttentionBias bias;
  bias.pair = at::randn({25 + 1 + 36, 4}, at::kDouble);
  const at::NoGradGuard guard;
  for (const std::int64_t dead : {0, 2}) layer->out_weight.slice(1, 2 * dead, 2 * dead + 2).zero_();
  const auto output = [&] {
    nn::Context c = support::context(false);
    return layer->forward({.x = x, .graph_start = start(), .bias = bias}, c);
  };
  const at::Tensor want = output();
  layer->keep_heads({1, 2, 3});
  layer->keep_heads({0, 2});
  EXPECT_EQ(layer->named_buffers()["kept_heads"].sum().item<std::int64_t>(), 1 + 3);
  EXPECT_LT(support::distance(output(), want), 1e-12);
}

}  // namespace
}  // namespace gtrain::sparsify
