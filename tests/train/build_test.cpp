#include "gtrain/train/build.h"

#include <oneapi/tbb/global_control.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "gtrain/base/error.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/train/checkpoint.h"
#include "train/material.h"
#include "train/narrow_case.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using BuiltModel = TrainedSample;

std::string rule(const std::string& text) { return "sparsify={rules: [{" + text + "}]}"; }

// Schedules over the 16 updates of the sample's 4 epochs.
const std::vector<std::string> kRules{
    "name: tokens, keep: 0.5, start: 2, end: 6",
    "name: tokens, keep: 0.5, scorer: pagerank, propagate: 0.5",
    "name: tokens, keep: 0.5, depth: network, start: 2, end: 6",
    "name: tokens, keep: 0.5, depth: network, at: 2, scorer: attention, propagate: 0.5",
    "name: heads, keep: 0.5, start: 2, end: 6, every: 2",
    "name: heads, keep: 0.5, method: l0, start: 2, end: 6",
    "name: layers, keep: 0.5, start: 2, end: 6",
    "name: layers, keep: 0.5, method: learned, start: 2, end: 6",
    "name: weights, keep: 0.3, start: 2, end: 10, every: 2",
    "name: weights, keep: 0.3, method: rigl, end: 10, every: 2",
    "name: weights, keep: 0.5, structure: neuron, start: 2, end: 10, every: 2"};

TEST_F(BuiltModel, HoldsTheGatesOfItsRules) {
  const Recipe r = recipe({rule("name: tokens, keep: 0.5")});
  const Material material = prepare(r);
  EXPECT_TRUE(build_model(r, material.signature)
                  ->named_parameters()
                  .contains("layer_0.attention.token_gate.weight"));
  EXPECT_FALSE(build_model(recipe(), material.signature)
                   ->named_parameters()
                   .contains("layer_0.attention.token_gate.weight"));
}

TEST_F(BuiltModel, RefusesRulesItsModelHasNothingFor) {
  const Recipe r = recipe({rule("name: heads, keep: 0.5"), "model.global=none"});
  const Material material = prepare(r);
  EXPECT_THROW(build_model(r, material.signature), base::RecipeError);
}

TEST_F(BuiltModel, SparsifiedRunsGoOnBitForBitAndEvaluateAsTheyWereSaved) {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    const std::string whole = "whole" + std::to_string(i), parts = "parts" + std::to_string(i);
    const std::vector<std::string> keys{rule(kRules[i])};
    ASSERT_EQ(run(recipe(keys), options(whole)).code, base::ExitCode::kOk) << kRules[i];
    const std::atomic<int> interrupt{2};  // stops after each update, to the end
    RunOptions o = options(parts);
    o.interrupt = &interrupt;
    RunOutcome outcome = run(recipe(keys), o);
    for (int n = 0; n < 40 && outcome.code == base::ExitCode::kInterrupted; ++n) {
      outcome = resume(root() / parts, o);
    }
    ASSERT_EQ(outcome.code, base::ExitCode::kOk) << kRules[i];
    EXPECT_EQ(timeless_lines(parts), timeless_lines(whole)) << kRules[i];
    EXPECT_EQ(text_of(root() / parts / "last.safetensors"),
              text_of(root() / whole / "last.safetensors"))
        << kRules[i];
    const auto said = nlohmann::json::parse(evaluate(root() / whole, "test"));
    EXPECT_EQ(said["mae"], result(whole)["test"]["mae"]) << kRules[i];
  }
}

TEST_F(BuiltModel, AnEpochCountsOnceTheModelIsSparse) {
  run(recipe({rule("name: weights, keep: 0.3, start: 1, end: 3, unit: epoch")}), options("a"));
  EXPECT_GE(result("a")["best_epoch"].get<int>(), 3);
}

TEST_F(BuiltModel, KeepingEverythingIsTheDenseRun) {
  run(recipe(), options("dense"));
  run(recipe({"sparsify={rules: [{name: tokens, keep: 1}, {name: heads, keep: 1}, {name: layers, "
              "keep: 1}, {name: weights, keep: 1}]}"}),
      options("sparse"));
  const Checkpoint want = read_checkpoint(root() / "dense/last.safetensors");
  const Checkpoint got = read_checkpoint(root() / "sparse/last.safetensors");
  ASSERT_EQ(got.model.size(), want.model.size());
  for (const auto& [name, t] : got.model) EXPECT_TRUE(t.equal(want.model.at(name))) << name;
}

TEST_F(BuiltModel, InfeasibleRulesAreRefusedWithTheRecipe) {
  for (const char* text :
       {"name: tokens, keep: 0", "name: heads", "name: weights, keep: 0.5, end: 9, unit: epoch",
        "name: weights, keep: 0.5, structure: '2:4'", "name: heads, keep: 0.5, start: 9, end: 3",
        "name: layer, keep: 0.5"}) {
    EXPECT_THROW(recipe({rule(text), "model.width=6"}), base::RecipeError) << text;
  }
}

TEST_F(BuiltModel, EveryAttentionOfTheZooIsMadeSparser) {
  const std::string parts =
      "width: 8, layers: 2, heads: 2, node: {name: type}, head: {name: halving, layers: 1, ";
  const std::vector<std::vector<std::string>> models{
      {"model={name: gt, edge: {name: type}, " + parts + "pool: mean}}"},
      {"model={name: gt, edge: {name: none}, pattern: full, " + parts + "pool: mean}}"},
      {"model={name: san, edge: {name: type}, " + parts + "pool: mean}}"},
      {"model.global=performer", "model.performer={head_width: 4, features: 8}"},
      {"model.global=bigbird", "model.bigbird={window: 1, random: 1, global: 1}"},
      {"encode=[{name: degree}, {name: hop_distance}]",
       "model={name: graphormer, hidden: 8, bias: {degrees: 8, max_distance: 4, path: none, token: "
       "true}, " +
           parts + "pool: graph_token}}"}};
  const std::string rules =
      "sparsify={rules: [{name: tokens, keep: 0.5, start: 2, end: 6}, {name: heads, keep: 0.5, "
      "start: 2, end: 6}, {name: layers, keep: 0.5, method: learned, start: 2, end: 6}, {name: "
      "weights, keep: 0.5, start: 2, end: 6}]}";
  for (std::size_t i = 0; i < models.size(); ++i) {
    std::vector<std::string> keys = models[i];
    keys.push_back(rules);
    keys.push_back("train.epochs=2");
    const std::string name = "zoo" + std::to_string(i);
    ASSERT_EQ(run(recipe(keys), options(name)).code, base::ExitCode::kOk) << models[i].back();
    const auto said = nlohmann::json::parse(evaluate(root() / name, "test"));
    EXPECT_EQ(said["mae"], result(name)["test"]["mae"]) << models[i].back();
  }
}

TEST_F(BuiltModel, AnyNumberOfThreadsGivesTheSameBits) {
  const std::string rules =
      "sparsify={rules: [{name: tokens, scorer: pagerank, propagate: 0.5, keep: 0.5, end: 6}, "
      "{name: heads, keep: 0.5, start: 2, end: 6}, {name: layers, keep: 0.5, method: learned, end: "
      "6}, {name: weights, keep: 0.5, scope: global, end: 6}]}";
  const std::string leaving =
      "sparsify={rules: [{name: tokens, depth: network, scorer: pagerank, propagate: 0.5, keep: "
      "0.5, end: 6}]}";
  for (const auto& [name, keys] : {std::pair("all", rules), std::pair("leaving", leaving)}) {
    std::map<std::size_t, std::string> state;
    for (const std::size_t threads : {1, 2, 4}) {
      const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
      const std::string folder = name + std::to_string(threads);
      run(recipe({keys, "train.epochs=2"}), options(folder));
      state[threads] = text_of(root() / folder / "last.safetensors");
    }
    EXPECT_TRUE(state[2] == state[1]) << name;
    EXPECT_TRUE(state[4] == state[1]) << name;
  }
}

TEST_F(BuiltModel, ABudgetSetsWhatIsKeptAndTheRunSaysSo) {
  const std::string rules = "rules: [{name: tokens, start: 2, end: 6}, {name: weights, end: 6}]}";
  run(recipe({"sparsify={flops: 0.7, " + rules, "train.epochs=2"}), options("a"));
  const Recipe told = load_recipe(root() / "a/recipe.yaml", {});
  ASSERT_TRUE(told.sparsify.has_value());
  EXPECT_FALSE(told.sparsify->flops);
  for (const sparsify::Rule& rule : told.sparsify->rules) {
    EXPECT_LT(*sparsify::timing_of(rule).keep, 1);
    EXPECT_GT(*sparsify::timing_of(rule).keep, 0.05);
  }
  EXPECT_THROW(
      run(recipe({"sparsify={flops: 0.5, rules: [{name: heads, keep: 0.5}]}"}), options("b")),
      base::RecipeError);
}

using models::zoo_case::case_named;
using models::zoo_case::leaving_rule;
using models::zoo_case::Narrowed;
using models::zoo_case::narrowing_names;
using models::zoo_case::Specimen;

std::vector<Specimen> specimens() {
  std::vector<Specimen> out;
  for (const std::int64_t n : {12, 1, 7, 2, 9}) {
    const auto seed = static_cast<std::uint64_t>(n);
    out.push_back(models::zoo_case::specimen(support::random_graph(seed, n, 0.4), seed));
  }
  return out;
}

std::map<std::string, double> flops_of(Narrowed& net, const data::GraphBatch& batch) {
  const at::NoGradGuard no_grad;
  ops::FlopCount count;
  for (const auto& item : net.model->named_parameters()) {
    count.name(item.value(), item.key().substr(0, item.key().rfind('.')));
  }
  net.forward(batch, false);
  std::map<std::string, double> out{{"all", count.total().total()}};
  for (const auto& [name, flops] : count.modules()) out[name] = flops.total();
  return out;
}

// What a layer does costs as much as the nodes that are there.
TEST(Leaving, FlopsFallWithTheNodesThatLeft) {
  const data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (const std::string& name : narrowing_names()) {
    SCOPED_TRACE(name);
    Narrowed dense(case_named(name), leaving_rule(1));
    Narrowed half(case_named(name), leaving_rule(0.5));
    Narrowed quarter(case_named(name), leaving_rule(0.25, 1));
    const auto all = flops_of(dense, batch), left = flops_of(half, batch);
    EXPECT_LT(left.at("all"), 0.95 * all.at("all"));
    EXPECT_LT(flops_of(quarter, batch).at("all"), left.at("all"));
    for (const char* feed : {"layer_1.feed_0", "block_1.feed_1", "layer_1.node.feed_0"}) {
      const auto found = all.find(feed);
      if (found == all.end()) continue;
      const bool token = name.starts_with("graph") ||
                         name == "gps_biased";  // 12, 1, 7, 2, 9 nodes: 6, 1, 4, 1, 5 are left
      const double share = token ? (17.0 + 5) / (31 + 5) : 17.0 / 31;
      EXPECT_NEAR(left.at(feed), share * found->second, 1e-9 * found->second) << feed;
    }
  }
}

// Whatever batch a graph is in.
TEST(Leaving, BatchingChangesNothingInEvaluation) {
  const std::vector<Specimen> graphs = specimens();
  for (const std::string& name : narrowing_names()) {
    for (const char* scorer : {"learned", "pagerank"}) {
      const bool pairs = name.starts_with("g") && !name.starts_with("gt") &&
                         name.find("performer") == std::string::npos &&
                         name.find("bigbird") == std::string::npos;
      if (std::string(scorer) == "pagerank" && !pairs) continue;
      SCOPED_TRACE(name + " " + scorer);
      Narrowed net(case_named(name), leaving_rule(0.4, 0, scorer));
      const at::Tensor all = net.forward(models::zoo_case::packed(graphs), false);
      std::vector<at::Tensor> each;
      for (const Specimen& g : graphs) {
        each.push_back(net.forward(models::zoo_case::packed({g}), false));
      }
      EXPECT_LT((at::cat(each) - all).abs().max().item<double>(), 1e-9);
    }
  }
}

TEST(Leaving, BeforeTheScheduleStartsTheModelIsDenseToTheBit) {
  const data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (const std::string& name : narrowing_names()) {
    SCOPED_TRACE(name);
    sparsify::Options later = leaving_rule(0.5);
    sparsify::timing_of(later.rules[0]).start = 3;
    for (const bool training : {true, false}) {
      Narrowed gated(case_named(name), later), dense(case_named(name), leaving_rule(1));
      EXPECT_TRUE(gated.forward(batch, training).equal(dense.forward(batch, training)));
    }
  }
}

TEST(Leaving, KeptNodesFollowTheScheduleInEveryLayerAtEveryUpdate) {
  models::zoo_case::ZooCase c = case_named("graphormer");
  c.options.get_if<models::GraphormerOptions>()->layers = 4;
  sparsify::Options rule = leaving_rule(0.3);
  sparsify::Timing& timing = sparsify::timing_of(rule.rules[0]);
  timing.start = 2;
  timing.end = 9;
  Narrowed net(c, rule);
  net.watch();
  const data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (std::int64_t update = 0; update < 12; ++update) {
    net.sparsity->begin(update);
    net.told.clear();
    net.forward(batch, update % 2 == 0, 7);
    const double t = std::clamp((static_cast<double>(update) - 2) / 7, 0.0, 1.0);
    const double keep = update < 2 ? 1 : 0.3 + 0.7 * std::pow(1 - t, 3);
    ASSERT_EQ(net.told.size(), keep == 1 ? 0 : 3) << update;
    for (std::size_t l = 0; l < net.told.size(); ++l) {
      const double share = std::pow(keep, static_cast<double>(l + 1) / 3);
      const at::Tensor n = (net.told[l].whole - 1).to(at::kDouble);  // without the token
      const at::Tensor want = (n * share - 1e-7).ceil().clamp_min(1) + 1;
      EXPECT_TRUE(at::equal(net.told[l].left.to(at::kDouble), want)) << update << " " << l;
    }
  }
}

// The nodes of a batch in `rows`, and what is between them.
data::GraphBatch induced(const data::GraphBatch& batch, const at::Tensor& rows) {
  data::GraphBatch out;
  const at::Tensor number =
      at::full({batch.nodes()}, -1, at::kLong).index_copy(0, rows, at::arange(rows.size(0)));
  const at::Tensor source = number.index_select(0, batch.source);
  const at::Tensor target = number.index_select(0, batch.target);
  const at::Tensor which = at::nonzero((source >= 0) & (target >= 0)).view(-1);
  out.source = source.index_select(0, which);
  out.target = target.index_select(0, which);
  out.edge = batch.edge.index_select(0, which);
  out.node = batch.node.index_select(0, rows);
  out.graph = batch.graph.index_select(0, rows);
  data::finish(out, rows.size(0), batch.graphs);
  return out;
}

TEST(Leaving, WhoStaysSeesTheInducedGraphAlone) {
  data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (const std::string name : {"gps_nodes", "gt_nodes"}) {
    SCOPED_TRACE(name);
    Narrowed net(case_named(name), leaving_rule(0.6, 1)), dense(case_named(name), leaving_rule(1));
    net.watch();
    const at::Tensor got = net.forward(batch, false);
    ASSERT_EQ(net.told.size(), 1);
    const at::Tensor& rows = net.told[0].rows;
    const at::Tensor want = dense.forward(induced(batch, rows), false);
    EXPECT_LT((got.index_select(0, rows) - want).abs().max().item<double>(), 1e-12);
  }
}

// Along a random direction of all parameters, with the choice as it is.
TEST(Leaving, GradientsAreThoseOfFiniteDifferences) {
  const data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (const std::string& name : narrowing_names()) {
    if (name == "graphtrans_nodes") continue;  // starts in the kink of a relu
    const bool attends = name == "gps" || name == "gps_biased" || name.starts_with("graph");
    if (!attends) continue;
    SCOPED_TRACE(name);
    Narrowed net(case_named(name), leaving_rule(0.5, 0, "attention"));
    const auto loss = [&] { return net.forward(batch, true).sin().sum(); };
    loss().backward();
    base::Random random(3);
    std::vector<std::pair<at::Tensor, at::Tensor>> along;
    double want = 0;
    for (at::Tensor p : net.model->parameters()) {
      if (!p.grad().defined()) continue;
      along.emplace_back(p, models::zoo_case::draw(p.numel(), 1, random).view(p.sizes()));
      want += (p.grad() * along.back().second).sum().item<double>();
    }
    const at::NoGradGuard no_grad;
    const auto at_step = [&](double h) {
      for (auto& [p, d] : along) p.add_(d, h);
      const double out = loss().item<double>();
      for (auto& [p, d] : along) p.sub_(d, h);
      return out;
    };
    constexpr double kStep = 1e-6;
    const double got = (at_step(kStep) - at_step(-kStep)) / (2 * kStep);
    EXPECT_NEAR(got, want, 1e-5 * std::max(1.0, std::abs(want)));
  }
}

TEST(Leaving, PrunedModelsLetTheSameNodesLeave) {
  const data::GraphBatch batch = models::zoo_case::packed(specimens());
  for (const char* name : {"gps", "gps_biased", "graphormer", "graphtrans", "gt", "san"}) {
    SCOPED_TRACE(name);
    const bool pairs = name == std::string("gt") || name == std::string("san");
    sparsify::Options rules = leaving_rule(0.5, 0, pairs ? "learned" : "pagerank");
    if (!pairs) std::get<sparsify::TokenRule>(rules.rules[0]).propagate = 0.5;
    sparsify::HeadRule heads;
    heads.method = "static";
    heads.timing.keep = 0.5;
    rules.rules.emplace_back(heads);
    Narrowed net(case_named(name), rules);
    net.watch();
    const at::Tensor want = net.forward(batch, false);
    ASSERT_EQ(net.told.size(), 1);
    EXPECT_FALSE(sparsify::compact(*net.model).empty());
    const at::Tensor got = net.forward(batch, false);
    EXPECT_TRUE(at::equal(net.told[0].rows, net.told[1].rows));
    EXPECT_LT((got - want).abs().max().item<double>(), 1e-10);
  }
}

TEST(Leaving, IsRefusedWhereItMakesNoSense) {
  const auto refusal = [](const std::string& name, const sparsify::Options& options) {
    try {
      Narrowed net(case_named(name), options);
    } catch (const base::RecipeError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("gps", leaving_rule(0.5, 3)).find(".at: 3; the model has 2"),
            std::string::npos);
  EXPECT_NE(refusal("mpnn", leaving_rule(0.5)).find("no attention"), std::string::npos);
  EXPECT_NE(refusal("gps_deep_sets", leaving_rule(0.5)).find("no attention"), std::string::npos);
  EXPECT_NE(refusal("gt", leaving_rule(0.5, 0, "pagerank")).find(".scorer: pagerank needs"),
            std::string::npos);
  models::zoo_case::ZooCase one = case_named("gps");
  one.options.get_if<models::GpsOptions>()->layers = 1;
  EXPECT_THROW(Narrowed(one, leaving_rule(0.5)), base::RecipeError);
  EXPECT_NO_THROW(Narrowed(one, leaving_rule(0.5, 1)));
}

}  // namespace
}  // namespace gtrain::train
