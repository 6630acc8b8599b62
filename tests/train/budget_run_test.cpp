#include "train/budget_run.h"

#include <gmock/gmock.h>
#include <oneapi/tbb/global_control.h>

#include "gtrain/base/error.h"
#include "gtrain/train/build.h"
#include "gtrain/train/prune_run.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

// 4 updates an epoch, 16 in all.
const char* const kMeasured =
    "sparsify={flops: 0.75, trade_off: measured, rules: [{name: tokens, start: 6, end: 10}, {name: "
    "heads, start: 7, end: 9}, {name: layers, method: learned, start: 6, end: 10}, "
    "{name: weights, scope: global, start: 6, end: 12, every: 2}]}";

class MeasuredBudget : public TrainedSample {
 protected:
  json decision(const std::string& name) const {
    return json::parse(text_of(root() / name / "budget.json"));
  }
  // A gate that does nothing yet costs a comparison; the chosen recipe may have fewer of them.
  std::vector<json> uncounted_lines(const std::string& name) const {
    std::vector<json> out = timeless_lines(name);
    for (json& line : out) line.erase("sparse_flops_per_graph");
    return out;
  }
  std::string state(const std::string& name) const {
    return text_of(root() / name / "last.safetensors");
  }
};

TEST_F(MeasuredBudget, IsDividedBeforeTheFirstRuleBeginsAndWrittenDown) {
  ASSERT_EQ(run(recipe({kMeasured}), options("a")).code, base::ExitCode::kOk);
  const json told = decision("a");
  EXPECT_EQ(told["updates"], 5);
  EXPECT_EQ(told["split"], "valid");
  ASSERT_EQ(told["rules"].size(), 4u);
  EXPECT_LE(told["leaves"].get<double>(), 0.75);
  for (const json& rule : told["rules"]) {
    EXPECT_GE(rule["tried"].size(), 2u) << rule["name"];
    double before = 2;
    for (const json& trial : rule["tried"]) {
      EXPECT_LT(trial["keep"].get<double>(), before);
      before = trial["keep"];
      EXPECT_TRUE(std::isfinite(trial["loss"].get<double>()));
    }
    EXPECT_EQ(rule["tried"][0]["flops"], 1.0) << rule["name"];
    EXPECT_EQ(rule["tried"][0]["loss"], 0.0) << rule["name"];
    EXPECT_LT(rule["tried"].back()["flops"].get<double>(), 1) << rule["name"];
  }
  const Recipe chosen = load_recipe(root() / "a/recipe.yaml", {});
  EXPECT_FALSE(chosen.sparsify->flops);
  for (std::size_t r = 0; r < 4; ++r) {
    EXPECT_EQ(*sparsify::timing_of(chosen.sparsify->rules[r]).keep, told["rules"][r]["keep"]);
  }
  const json r = result("a");
  EXPECT_EQ(r["budget"]["rules"], told["rules"]);
  EXPECT_NEAR(r["sparse_flops_per_graph"].get<double>() / r["flops_per_graph"].get<double>(),
              told["leaves"].get<double>(), 0.03)
      << "training decides which of the weights of all matrices die";
}

TEST_F(MeasuredBudget, IsTheRunOfTheRecipeThatItChose) {
  run(recipe({kMeasured}), options("a"));
  run(load_recipe(root() / "a/recipe.yaml", {}), options("b"));
  EXPECT_TRUE(state("a") == state("b"));
  EXPECT_EQ(uncounted_lines("a"), uncounted_lines("b"));
}

TEST_F(MeasuredBudget, GoesOnBitForBitWhereverItWasStopped) {
  run(recipe({kMeasured}), options("whole"));
  const std::atomic<int> interrupt{2};  // stops after each update, and puts the decision off
  RunOptions o = options("parts");
  o.interrupt = &interrupt;
  for (int n = 0; n < 7; ++n) {  // as a table does it, and as gtrain resume
    const RunOutcome outcome =
        n % 2 == 0 ? run(recipe({kMeasured}), o) : resume(root() / "parts", o);
    EXPECT_EQ(outcome.code, base::ExitCode::kInterrupted);
    o.resume = true;
  }
  EXPECT_FALSE(fs::exists(root() / "parts/budget.json"));
  RunOptions last = options("parts");
  last.resume = true;
  ASSERT_EQ(run(recipe({kMeasured}), last).code, base::ExitCode::kOk);
  EXPECT_EQ(decision("parts"), decision("whole"));
  EXPECT_TRUE(state("parts") == state("whole"));
  EXPECT_EQ(timeless_lines("parts"), timeless_lines("whole"));
}

TEST_F(MeasuredBudget, ADecisionThatTheStateDoesNotKnowYetIsCarriedOver) {
  run(recipe({kMeasured}), options("whole"));
  RunOptions o = options("parts");
  const std::atomic<int> interrupt{2};
  o.interrupt = &interrupt;
  run(recipe({kMeasured}), o);  // one update
  fs::copy_file(root() / "whole/budget.json", root() / "parts/budget.json");
  RunOutcome outcome = resume(root() / "parts", o);
  for (int n = 0; n < 40 && outcome.code == base::ExitCode::kInterrupted; ++n) {
    outcome = resume(root() / "parts", o);
  }
  ASSERT_EQ(outcome.code, base::ExitCode::kOk);
  EXPECT_TRUE(state("parts") == state("whole"));
}

TEST_F(MeasuredBudget, IsTheSameWithAnyNumberOfThreads) {
  for (const std::size_t threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
    run(recipe({kMeasured, "train.epochs=3"}), options("threads" + std::to_string(threads)));
  }
  EXPECT_EQ(decision("threads2"), decision("threads1"));
  EXPECT_EQ(decision("threads4"), decision("threads1"));
}

TEST_F(MeasuredBudget, OfSeveralSeedsIsDecidedForEach) {
  run(recipe({kMeasured, "repeat.seeds=[0, 1]"}), options("a"));
  EXPECT_TRUE(load_recipe(root() / "a/recipe.yaml", {}).sparsify->flops);
  for (const char* seed : {"seed-0", "seed-1"}) {
    EXPECT_FALSE(load_recipe(root() / "a" / seed / "recipe.yaml", {}).sparsify->flops) << seed;
    EXPECT_TRUE(fs::exists(root() / "a" / seed / "budget.json"));
  }
  EXPECT_EQ(resume(root() / "a", options("a")).code, base::ExitCode::kOk);
}

TEST_F(MeasuredBudget, AKeepOfOneIsNoLimit) {
  const std::string rules =
      "sparsify={flops: 0.6, trade_off: measured, rules: [{name: heads, keep: 1, start: 6}, {name: "
      "weights, keep: 1, start: 6, end: 10}]}";
  ASSERT_EQ(run(recipe({rules}), options("a")).code, base::ExitCode::kOk);
  const json told = decision("a")["rules"];
  EXPECT_LT(std::min(told[0]["keep"].get<double>(), told[1]["keep"].get<double>()), 1);
  RunOptions again = options("a");
  again.resume = true;
  EXPECT_EQ(run(recipe({rules}), again).code, base::ExitCode::kOk);
}

TEST_F(MeasuredBudget, OfAPrunedRunIsAShareOfWhatThatHasLeft) {
  run(recipe({"sparsify={rules: [{name: heads, keep: 0.5}, {name: weights, keep: 0.5, structure: "
              "neuron}]}"}),
      options("cut"));
  prune_run(root() / "cut", root() / "pruned");
  const double begun =
      json::parse(text_of(root() / "pruned/prune.json"))["after"]["flops_per_graph"];
  const std::string init = "init={from: " + (root() / "pruned").string() + "}";
  for (const char* trade_off : {"even", "measured"}) {
    const std::string rules = "sparsify={flops: 0.8, trade_off: " + std::string(trade_off) +
                              ", rules: [{name: weights}]}";
    ASSERT_EQ(run(recipe({init, rules, "train.epochs=2"}), options(trade_off)).code,
              base::ExitCode::kOk);
    const json r = result(trade_off);
    const double dense = r["flops_per_graph"], left = r["sparse_flops_per_graph"];
    EXPECT_NEAR(dense / begun, 1, 0.02) << trade_off;
    EXPECT_NEAR(left / dense, 0.8, 0.05) << trade_off;
  }
  const json told = decision("measured");
  EXPECT_EQ(told["updates"], 0);
  EXPECT_EQ(told["rules"][0]["tried"][0]["flops"], 1.0);
  EXPECT_NEAR(told["loss"].get<double>(),
              json::parse(evaluate(root() / "pruned", "valid"))["loss"].get<double>(), 1e-6);
}

TEST_F(MeasuredBudget, OfADenseRunMayBeginAtOnce) {
  run(recipe({"train.epochs=2"}), options("dense"));
  const std::string init = "init={from: " + (root() / "dense").string() + "}";
  const std::string rules =
      "sparsify={flops: 0.8, trade_off: measured, rules: [{name: tokens}, {name: heads}, {name: "
      "layers, method: learned, end: 4}, {name: weights}]}";
  ASSERT_EQ(run(recipe({init, rules, "train.epochs=2"}), options("a")).code, base::ExitCode::kOk);
  EXPECT_EQ(decision("a")["updates"], 0);
}

TEST_F(MeasuredBudget, OnRandomWeightsOrOutOfReachIsRefusedBeforeTraining) {
  const auto problem = [&](const std::string& rules) {
    try {
      run(recipe({"sparsify={trade_off: measured, " + rules + "}"}), options("never"));
    } catch (const base::RecipeError& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(problem("flops: 0.8, rules: [{name: tokens, start: 4}, {name: weights}]"),
              HasSubstr("rules[1] starts with random ones"));
  EXPECT_THAT(problem("flops: 0.8, rules: [{name: tokens, start: 4}, {name: weights, start: 1}]"),
              HasSubstr("rules[1] starts with random ones"));
  EXPECT_THAT(problem("flops: 0.1, rules: [{name: tokens, start: 4}]"),
              HasSubstr("is not reachable"));
  EXPECT_THAT(problem("rules: [{name: tokens, keep: 0.5, start: 4}]"),
              HasSubstr("trade_off: divides flops, which is missing"));
}

}  // namespace
}  // namespace gtrain::train
