#include "gtrain/train/build.h"

#include <oneapi/tbb/global_control.h>

#include "gtrain/base/error.h"
#include "gtrain/train/checkpoint.h"
#include "train/material.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using BuiltModel = TrainedSample;

std::string rule(const std::string& text) { return "sparsify={rules: [{" + text + "}]}"; }

// Schedules over the 16 updates of the sample's 4 epochs.
const std::vector<std::string> kRules{
    "name: tokens, keep: 0.5, start: 2, end: 6",
    "name: tokens, keep: 0.5, scorer: pagerank, propagate: 0.5",
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
  for (const std::size_t threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
    run(recipe({rules, "train.epochs=2"}), options("threads" + std::to_string(threads)));
  }
  const std::string one = text_of(root() / "threads1/last.safetensors");
  EXPECT_TRUE(text_of(root() / "threads2/last.safetensors") == one);
  EXPECT_TRUE(text_of(root() / "threads4/last.safetensors") == one);
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

}  // namespace
}  // namespace gtrain::train
