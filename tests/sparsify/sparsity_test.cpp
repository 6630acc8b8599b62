#include "gtrain/sparsify/sparsity.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gtrain/base/error.h"
#include "gtrain/sparsify/hard_concrete.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/token_gate.h"
#include "sparsify/training.h"

namespace gtrain::sparsify {
namespace {

std::vector<Options> every_kind() {
  std::vector<Options> out{during(TokenRule(), 0.5, 2, 8), during(HeadRule(), 0.5, 2, 8),
                           during(LayerRule(), 0.5, 2, 8), during(WeightRule(), 0.3, 2, 8)};
  for (const char* scorer : {"attention", "pagerank"}) {
    TokenRule rule;
    rule.scorer = scorer;
    rule.propagate = 0.5;
    out.push_back(during(rule, 0.5, 2, 8));
  }
  HeadRule heads;
  heads.exchange = 0.5;
  heads.method = "static";
  out.push_back(during(heads, 0.5, 0, 8));
  heads.quirks = {"reference"};
  out.push_back(during(heads, 0.5, 0, 8));
  HeadRule learned_heads;
  learned_heads.method = "l0";
  out.push_back(during(learned_heads, 0.5, 2, 8));
  LayerRule learned;
  learned.method = "learned";
  out.push_back(during(learned, 0.5, 2, 8));
  for (const char* method : {"gmp", "set", "rigl"}) {
    WeightRule rule;
    rule.method = method;
    out.push_back(during(rule, 0.3, 2, 8));
  }
  for (const char* structure : {"2:4", "neuron"}) {
    WeightRule rule;
    rule.structure = structure;
    out.push_back(during(rule, 0.5, 2, 8));
  }
  WeightRule authors;
  authors.scope = "global";
  authors.quirks = {"reference"};
  out.push_back(during(authors, 0.3, 2, 8));
  return out;
}

TEST(Sparsity, ARunThatGoesOnRepeatsTheUninterruptedOneBitForBit) {
  for (const Options& options : every_kind()) {
    Training whole(options), first(options), second(options);
    for (int i = 0; i < 11; ++i) whole.step();
    for (int i = 0; i < 5; ++i) first.step();
    const at::NoGradGuard guard;
    auto own = second.everything();
    for (const auto& [name, t] : first.everything()) own.at(name).copy_(t);
    second.sparsity->load_state(first.sparsity->state());
    second.updates = first.updates;
    {
      const at::AutoGradMode on(true);
      for (int i = 0; i < 6; ++i) second.step();
    }
    const auto want = whole.everything();
    for (const auto& [name, t] : second.everything()) {
      EXPECT_TRUE(support::same_bits(t, want.at(name))) << name_of(options.rules[0]) << " " << name;
    }
  }
}

TEST(Sparsity, EverythingKeptIsDenseTrainingToTheBit) {
  Options all;
  for (const Rule& rule :
       {Rule(TokenRule()), Rule(HeadRule()), Rule(LayerRule()), Rule(WeightRule())}) {
    all.rules.push_back(rule);
    timing_of(all.rules.back()).keep = 1.0;
  }
  Training dense((Options())), sparse(all);
  for (int i = 0; i < 4; ++i) {
    dense.step();
    sparse.step();
  }
  const auto want = dense.everything();
  for (const auto& [name, t] : sparse.everything()) {
    EXPECT_TRUE(support::same_bits(t, want.at(name))) << name;
  }
}

TEST(Sparsity, BeforeItsStartARuleChangesNothing) {
  for (const Options& options : every_kind()) {
    if (timing_of(options.rules[0]).start == 0) continue;
    Training dense((Options())), sparse(options);
    dense.step();
    sparse.step();
    for (const auto& [name, t] : dense.everything()) {
      EXPECT_TRUE(support::same_bits(t, sparse.everything().at(name)))
          << name_of(options.rules[0]) << " " << name;
    }
  }
}

TEST(Sparsity, DensityFollowsTheScheduleToOneWeightAtEveryStep) {
  WeightRule rule;
  rule.timing.start = 3;
  rule.timing.end = 20;
  const Options options = one_rule(rule, 0.25);
  Training run(options);
  for (int i = 0; i < 24; ++i) {
    run.step();
    const double t = std::clamp((run.updates - 3) / 17.0, 0.0, 1.0);
    const double want = 0.25 + 0.75 * std::pow(1 - t, 3);
    for (const auto& [name, mask] : run.sparsity->state()) {
      const auto n = static_cast<double>(mask.numel());
      EXPECT_LE(std::abs(mask.sum().item<double>() - want * n), 1.0) << name << " " << run.updates;
    }
  }
}

// Of all masks together; a unit's weights count with it, and SET and RigL begin sparse.
TEST(Sparsity, DensityFollowsTheScheduleInEveryForm) {
  const auto form = [](const char* method, const char* structure, const char* scope,
                       const char* distribution) {
    WeightRule rule;
    rule.method = method;
    rule.structure = structure;
    rule.scope = scope;
    rule.distribution = distribution;
    rule.timing.start = 3;
    rule.timing.end = 12;
    return rule;
  };
  for (const WeightRule& rule :
       {form("gmp", "none", "global", "uniform"), form("granet", "none", "global", "uniform"),
        form("granet", "none", "layer", "erk"), form("gmp", "2:4", "layer", "uniform"),
        form("granet", "2:4", "layer", "uniform"), form("gmp", "neuron", "layer", "uniform"),
        form("set", "none", "layer", "uniform"), form("rigl", "none", "layer", "erk")}) {
    SCOPED_TRACE(rule.method + " " + rule.structure + " " + rule.scope);
    Training run(one_rule(rule, 0.5));
    const bool fixed = rule.method == "set" || rule.method == "rigl";
    for (int i = 0; i < 15; ++i) {
      run.step();
      const double t = std::clamp((run.updates - 3) / 9.0, 0.0, 1.0);
      const double cubic = 0.5 + 0.5 * std::pow(1 - t, 3);
      const double want = !fixed ? cubic : run.updates < 3 ? 1 : 0.5;
      double living = 0, all = 0, rounding = 0;  // half a unit a group, or a quad of two
      for (const auto& [name, mask] : run.sparsity->state()) {
        living += mask.sum().item<double>();
        all += static_cast<double>(mask.numel());
        const bool whole = rule.structure == "neuron";
        rounding += whole ? 0.5 * static_cast<double>(mask.numel()) / 16 : 1;
      }
      EXPECT_LE(std::abs(living - want * all), rounding + 1e-6) << run.updates;
    }
  }
}

TEST(Sparsity, KeptTokensFollowTheScheduleAtEveryStep) {
  Training run(during(TokenRule(), 0.25, 2, 12, 1));
  const at::Tensor start = at::tensor({0, 5, 6, 12}, at::kLong);
  for (int i = 0; i < 14; ++i) {
    run.step();
    const double t = std::clamp((run.updates - 2) / 10.0, 0.0, 1.0);
    const double keep = 0.25 + 0.75 * std::pow(1 - t, 3);
    for (const Site& site : sites(run.net)) {
      nn::Context context = support::context(i % 2 == 0, 5);
      const auto kept = site.gated->token_gate->choose(
          {{.x = at::randn({12, 8}), .graph_start = start}}, context);
      if (keep == 1) {
        EXPECT_FALSE(kept.has_value()) << run.updates;
        continue;
      }
      const at::Tensor count = kept->graph_start.diff();
      for (const auto& [graph, n] : {std::pair{0, 5.0}, {1, 1.0}, {2, 6.0}}) {
        EXPECT_EQ(count[graph].item<double>(), std::max(1.0, std::ceil(keep * n - 1e-7)))
            << run.updates;
      }
    }
  }
}

// Those of dead heads, too.
void expect_dead_weights_rest(const Options& options) {
  Training run(options);
  for (int i = 0; i < 12; ++i) {
    run.step();
    const auto all = run.everything();
    for (const auto& [name, mask] : run.sparsity->state()) {
      if (!name.ends_with(".mask")) continue;
      const std::string own = name.substr(2, name.size() - 2 - std::string(".mask").size());
      const at::Tensor dead = mask == 0;
      if (dead.sum().item<std::int64_t>() == 0) continue;
      EXPECT_EQ(all.at(own).masked_select(dead).abs().max().item<double>(), 0) << own;
      EXPECT_EQ(all.at("momentum." + own).masked_select(dead).abs().max().item<double>(), 0) << own;
    }
  }
}

TEST(Sparsity, DeadWeightsAreZeroAndHaveNoMomentum) {
  Options options = during(WeightRule(), 0.3, 2, 10);
  expect_dead_weights_rest(options);
  options.rules.push_back(during(HeadRule(), 0.5, 2, 10).rules[0]);
  expect_dead_weights_rest(options);
  std::swap(options.rules[0], options.rules[1]);
  expect_dead_weights_rest(options);
}

// Neither momentum nor weight decay moves what is dead; what lives again begins without momentum.
TEST(Sparsity, DeadHeadsSleepUntilTheyLiveAgain) {
  HeadRule exchanged, learned;
  exchanged.exchange = 0.5;
  learned.method = "l0";
  for (const HeadRule& rule : {exchanged, learned}) {
    Training run(during(rule, 0.5, 2, 12));
    run.decay = 0.01;
    at::Tensor awake = at::ones({2}), value = run.everything().at("layer_0.attention.out_weight");
    value = value.clone();
    int slept = 0;
    for (int i = 0; i < 20; ++i) {
      run.step();
      const auto all = run.everything();
      const bool l0 = rule.method == "l0";
      const at::Tensor now =
          all.at(l0 ? "layer_0.attention.head_gate.open" : "layer_0.attention.head_gate.mask");
      const at::Tensor next = all.at("layer_0.attention.out_weight");
      for (int h = 0; h < 2; ++h) {
        const auto columns = [&](const at::Tensor& t) { return t.slice(1, 4 * h, 4 * h + 4); };
        const auto rows = [&](const at::Tensor& t) { return t.view({3, 2, 4, 8}).select(1, h); };
        if (now[h].item<double>() == 0) {
          const auto momentum = [&](const char* name) {
            return all.at(std::string("momentum.layer_0.attention.") + name);
          };
          EXPECT_EQ(columns(momentum("out_weight")).abs().max().item<double>(), 0) << i;
          EXPECT_EQ(rows(momentum("in_weight")).abs().max().item<double>(), 0) << i;
        }
        if (awake[h].item<double>() != 0) {
          EXPECT_FALSE(at::equal(columns(next), columns(value))) << i;
          continue;
        }
        EXPECT_TRUE(at::equal(columns(next), columns(value))) << i;
        ++slept;
      }
      awake = now.clone();
      value = next.clone();
    }
    EXPECT_GE(slept, 7);
  }
}

TEST(Sparsity, HeadsAndBranchesEndAtTheirCount) {
  Training heads(during(HeadRule(), 0.5, 2, 8));
  HeadRule l0;
  l0.method = "l0";
  Training learned(during(l0, 0.5, 2, 8));
  LayerRule layers;
  layers.method = "learned";
  Training branches(during(layers, 0.5, 2, 8));
  for (int i = 0; i < 9; ++i) {
    heads.step();
    learned.step();
    branches.step();
  }
  double open = 0;
  for (const auto& b : branches.net.named_buffers()) {
    if (b.key().ends_with("branch_gate.open")) open += b.value().sum().item<double>();
  }
  EXPECT_EQ(open, 1);
  for (auto* run : {&heads, &learned}) {
    for (const auto& b : run->net.named_buffers()) {
      const bool mask = b.key().ends_with("head_gate.mask") || b.key().ends_with("head_gate.open");
      if (!mask) continue;
      EXPECT_EQ(b.value().sum().item<double>(), 1) << b.key();
    }
  }
}

TEST(Sparsity, SettlesWhenTheLastRuleHas) {
  Options options = during(TokenRule(), 0.5, 2, 8);
  options.rules.push_back(during(HeadRule(), 0.5, 0, 12).rules[0]);
  const Training run(options);
  EXPECT_FALSE(run.sparsity->settled(8));
  EXPECT_TRUE(run.sparsity->settled(12));
}

TEST(Sparsity, RefusesAScheduleThatOutlivesTheRun) {
  EXPECT_THROW(Training(during(HeadRule(), 0.5, 0, 41)), base::RecipeError);
}

TEST(Sparsity, RefusesAnotherRunsState) {
  Training run(during(WeightRule(), 0.3, 2, 8));
  EXPECT_THROW(run.sparsity->load_state({}), base::DataError);
}

}  // namespace
}  // namespace gtrain::sparsify
