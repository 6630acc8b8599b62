#include "gtrain/train/run.h"

#include <csignal>
#include <thread>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/train/run_directory.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

using TrainedRun = TrainedSample;

TEST_F(TrainedRun, WritesEveryFileOfARunDirectory) {
  const RunOutcome outcome = run(recipe(), options("a"));
  EXPECT_EQ(outcome.code, base::ExitCode::kOk);
  for (const char* name : {"recipe.yaml", "metrics.jsonl", "result.json", "last.safetensors",
                           "best.safetensors", "report.html", "log.txt"}) {
    EXPECT_TRUE(fs::exists(root() / "a" / name)) << name;
  }
  const auto r = result("a");
  EXPECT_EQ(r["status"], "ok");
  EXPECT_EQ(r["metric"], "mae");
  for (const char* split : {"train", "valid", "test"}) EXPECT_TRUE(r[split]["mae"].is_number());
  EXPECT_GE(r["best_epoch"], 1);
  EXPECT_EQ(r["last"]["epoch"], 4);
  EXPECT_GT(r["parameters"], 100);
  EXPECT_GT(r["flops_per_graph"], 0.0);
  EXPECT_EQ(metric_lines("a").size(), 12u);
}

TEST_F(TrainedRun, GivenARelativePathIsEvaluatedFromAnotherDirectory) {
  Recipe relative = recipe();
  const fs::path before = fs::current_path();
  relative.dataset.path = fs::relative(relative.dataset.path, before).string();
  run(relative, options("a"));
  fs::current_path(root());
  const std::string judged = evaluate(root() / "a", "test");
  fs::current_path(before);
  EXPECT_NE(judged.find("\"mae\""), std::string::npos);
}

TEST_F(TrainedRun, RepeatsItselfBitForBit) {
  run(recipe(), options("a"));
  run(recipe(), options("b"));
  EXPECT_TRUE(text_of(root() / "a/last.safetensors") == text_of(root() / "b/last.safetensors"));
  EXPECT_TRUE(text_of(root() / "a/best.safetensors") == text_of(root() / "b/best.safetensors"));
  EXPECT_EQ(timeless_lines("a"), timeless_lines("b"));
  run(recipe({"repeat.seeds=[1]"}), options("c"));
  EXPECT_NE(timeless_lines("a"), timeless_lines("c"));
}

TEST_F(TrainedRun, InterruptedInMidEpochGoesOnToTheSameBytes) {
  run(recipe({"train.accumulate=2"}), options("whole"));
  std::atomic<int> signal{SIGTERM};  // pending from the start: every run makes one update
  RunOptions o = options("parts");
  o.interrupt = &signal;
  RunOutcome outcome = run(recipe({"train.accumulate=2"}), o);
  int parts = 1;
  for (; outcome.code == base::ExitCode::kTerminated && parts < 50; ++parts) {
    EXPECT_EQ(result("parts")["status"], "interrupted");
    outcome = resume(root() / "parts", o);
  }
  EXPECT_EQ(outcome.code, base::ExitCode::kOk);
  EXPECT_EQ(parts, 12);  // 24 graphs: 4 batches, so 2 updates and an evaluation an epoch
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") ==
              text_of(root() / "parts/last.safetensors"));
  EXPECT_TRUE(text_of(root() / "whole/best.safetensors") ==
              text_of(root() / "parts/best.safetensors"));
  EXPECT_EQ(timeless_lines("whole"), timeless_lines("parts"));
}

TEST_F(TrainedRun, SkipsADamagedStateForTheOneBefore) {
  run(recipe(), options("whole"));
  run(recipe(), options("hurt"));
  const fs::path last = root() / "hurt/last.safetensors";
  std::string bytes = text_of(last);
  bytes[bytes.size() / 2] ^= 1;
  write_text(last, bytes);
  fs::remove(root() / "hurt/result.json");
  EXPECT_EQ(resume(root() / "hurt", options("hurt")).code, base::ExitCode::kOk);
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") == text_of(last));
  EXPECT_NE(text_of(root() / "hurt/log.txt").find("skipped: "), std::string::npos);
}

TEST_F(TrainedRun, RefusesToGoOnWhereNoStateVerifiesAndChangesNothing) {
  run(recipe(), options("a"));
  for (const char* name : {"last.safetensors", "last.previous.safetensors"}) {
    std::string bytes = text_of(root() / "a" / name);
    bytes[bytes.size() / 2] ^= 1;
    write_text(root() / "a" / name, bytes);
  }
  fs::remove(root() / "a/result.json");
  const std::string lines = text_of(root() / "a/metrics.jsonl");
  EXPECT_THROW(resume(root() / "a", options("a")), base::DataError);
  EXPECT_EQ(text_of(root() / "a/metrics.jsonl"), lines);
}

TEST_F(TrainedRun, RefusesAResultThatHoldsSomethingElse) {
  run(recipe(), options("a"));
  for (const char* text : {"[]", "{", "{\"status\": 1}", "{\"train\": []}"}) {
    write_text(root() / "a/result.json", text);
    EXPECT_THROW(resume(root() / "a", options("a")), base::DataError) << text;
  }
}

TEST_F(TrainedRun, AMistakeSetRightStartsInTheSameDirectory) {
  EXPECT_THROW(run(recipe({"dataset.path=nowhere"}), options("a")), base::DataError);
  EXPECT_THROW(run(recipe({"dataset.metric=rocauc"}), options("a")), base::RecipeError);
  EXPECT_THROW(run(recipe({"model.head={name: node}"}), options("a")), base::RecipeError);
  EXPECT_FALSE(fs::exists(root() / "a"));
  EXPECT_EQ(run(recipe(), options("a")).code, base::ExitCode::kOk);
}

TEST_F(TrainedRun, NothingToLearnFromIsRefused) {
  const auto labels = root() / "rings/raw/graph-label.csv.gz";
  std::string text;
  for (int g = 0; g < 40; ++g) text += g % 5 < 3 ? "\n" : "1.5\n";  // train has none
  write_text(labels, gzip(text));
  EXPECT_THROW(run(recipe(), options("a")), base::DataError);
  write_text(root() / "rings/split/random/train.csv.gz", gzip(""));
  EXPECT_THROW(run(recipe(), options("b")), base::DataError);
}

TEST_F(TrainedRun, StartsOverWhereNoStateWasSavedYet) {
  run(recipe(), options("whole"));
  run(recipe(), options("early"));
  for (const char* name : {"last.safetensors", "last.previous.safetensors", "result.json"}) {
    fs::remove(root() / "early" / name);
  }
  EXPECT_EQ(resume(root() / "early", options("early")).code, base::ExitCode::kOk);
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") ==
              text_of(root() / "early/last.safetensors"));
  EXPECT_EQ(timeless_lines("whole"), timeless_lines("early"));
}

TEST_F(TrainedRun, FinishedRunIsLeftAsItIs) {
  run(recipe(), options("a"));
  const std::string before = text_of(root() / "a/result.json");
  EXPECT_EQ(resume(root() / "a", options("a")).code, base::ExitCode::kOk);
  EXPECT_EQ(before, text_of(root() / "a/result.json"));
}

TEST_F(TrainedRun, RefusesADirectoryThatHoldsARun) {
  run(recipe({"train.epochs=1"}), options("a"));
  EXPECT_THROW(run(recipe({"train.epochs=1"}), options("a")), base::RecipeError);
  RunOptions o = options("a");
  o.resume = true;
  EXPECT_THROW(run(recipe({"train.epochs=9"}), o), base::RecipeError);  // another recipe
}

TEST_F(TrainedRun, RefusesADirectoryInUse) {
  fs::create_directories(root() / "a");
  const RunLock lock(root() / "a");
  try {
    run(recipe(), options("a"));
    FAIL() << "ran beside another process";
  } catch (const base::InUseError& e) {
    EXPECT_NE(std::string(e.what()).find("process " + std::to_string(::getpid())),
              std::string::npos);
  }
}

TEST_F(TrainedRun, SeveralSeedsAndFoldsGetASummary) {
  run(recipe({"train.epochs=2", "repeat.seeds=[3, 4]", "repeat.folds=[0, 1]", "dataset.split=''"}),
      options("a"));
  const auto summary = nlohmann::json::parse(text_of(root() / "a/summary.json"));
  EXPECT_EQ(summary["n"], 4);
  double sum = 0.0, squares = 0.0;
  for (const char* name : {"fold-0/seed-3", "fold-0/seed-4", "fold-1/seed-3", "fold-1/seed-4"}) {
    const double v = result(std::string("a/") + name)["test"]["mae"];
    sum += v;
    squares += v * v;
  }
  EXPECT_DOUBLE_EQ(summary["test"]["mae"]["mean"], sum / 4);
  EXPECT_NEAR(summary["test"]["mae"]["std"], std::sqrt((squares - sum * sum / 4) / 3), 1e-9);
  EXPECT_TRUE(fs::exists(root() / "a/report.html"));
  EXPECT_THROW(evaluate(root() / "a", "test"), base::RecipeError);
}

TEST_F(TrainedRun, DivergenceNamesEpochParameterAndGraphsAndKeepsTheLastState) {
  const RunOutcome outcome =
      run(recipe({"train.optimizer={name: sgd, lr: 1000}", "train.schedule={name: constant}",
                  "train.loss=l2", "train.clip_norm=0", "train.epochs=50"}),
          options("a"));
  EXPECT_EQ(outcome.code, base::ExitCode::kDiverged);
  const auto r = result("a");
  EXPECT_EQ(r["status"], "diverged");
  const std::string problem = r["problem"];
  EXPECT_NE(problem.find("diverged in epoch "), std::string::npos) << problem;
  EXPECT_NE(problem.find("worst parameter"), std::string::npos) << problem;
  EXPECT_NE(problem.find("graphs of the batch"), std::string::npos) << problem;
  EXPECT_EQ(r["epochs"].get<std::size_t>() * 3, metric_lines("a").size());
}

TEST_F(TrainedRun, ScaledTargetsAreReportedInTheirOwnUnits) {
  run(recipe({"dataset.target_scaling=standard", "train.epochs=1"}), options("a"));
  // Labels lie near 11.4 with deviation 0.4: an untrained model of scaled targets is already close.
  EXPECT_LT(result("a")["test"]["mae"], 2.0);
  const LoadedRun loaded = load_run(root() / "a");
  EXPECT_NEAR(loaded.target_mean.item<double>(), 11.5, 0.5);
}

TEST_F(TrainedRun, EvaluateAndPredictAgreeWithTheResult) {
  run(recipe(), options("a"));
  const auto figures = nlohmann::json::parse(evaluate(root() / "a", "test"));
  EXPECT_DOUBLE_EQ(figures["mae"], result("a")["test"]["mae"]);
  const fs::path csv = root() / "p.csv";
  predict(root() / "a", nullptr, "test", csv);
  std::istringstream rows(text_of(csv));
  std::string line;
  std::getline(rows, line);
  EXPECT_EQ(line, "graph,task0");
  double error = 0.0;
  int n = 0, before = -1;
  while (std::getline(rows, line)) {
    const int g = std::stoi(line);
    EXPECT_GT(g, before);
    before = g;
    const double label = 10.0 + 0.3 * (3 + g % 5) + 0.1 * (g % 4);
    error += std::abs(std::stod(line.substr(line.find(',') + 1)) - label);
    ++n;
  }
  EXPECT_EQ(n, 8);
  EXPECT_NEAR(error / n, result("a")["test"]["mae"], 1e-5);
}

TEST_F(TrainedRun, AllNamesEveryGraph) {
  run(recipe({"train.epochs=1"}), options("a"));
  predict(root() / "a", nullptr, "all", root() / "p.csv");
  const std::string rows = text_of(root() / "p.csv");
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 41);
  EXPECT_EQ(nlohmann::json::parse(evaluate(root() / "a", "all"))["split"], "all");
  EXPECT_THROW(evaluate(root() / "a", "tests"), base::RecipeError);
}

TEST_F(TrainedRun, PredictWritesGzip) {
  run(recipe({"train.epochs=1"}), options("a"));
  data::DatasetOptions data;
  data.path = (root() / "rings").string();
  predict(root() / "a", &data, "all", root() / "p.csv");
  predict(root() / "a", &data, "all", root() / "p.csv.gz");
  const std::string rows = text_of(root() / "p.csv");
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 41);
  EXPECT_EQ(text_of(root() / "p.csv.gz"), gzip(rows));
  EXPECT_EQ(text_of(root() / "p.csv.gz").substr(0, 2), "\x1f\x8b");
}

TEST_F(TrainedRun, StepsDecideTheLengthAndSchedulesCountThem) {
  run(recipe({"train.steps=6", "train.schedule={name: linear, unit: step, warmup: 2}",
              "train.optimizer={name: adamw, lr: 0.5}", "select=last"}),
      options("a"));
  EXPECT_EQ(result("a")["updates"], 6);
  EXPECT_EQ(result("a")["epochs"], 2);  // four batches, then two
  const auto lines = metric_lines("a");
  EXPECT_DOUBLE_EQ(lines[0]["lr"], 0.5 * (6 - 3) / (6 - 2.0));  // of the epoch's last update
  EXPECT_FALSE(result("a").contains("last"));
  EXPECT_FALSE(fs::exists(root() / "a/best.safetensors"));
}

TEST_F(TrainedRun, EvaluatesFirstLastAndEveryKthEpoch) {
  run(recipe({"train.epochs=7", "train.eval_every=3"}), options("a"));
  std::vector<int> epochs;
  for (const auto& line : metric_lines("a")) {
    if (line["split"] == "valid") epochs.push_back(line["epoch"]);
  }
  EXPECT_EQ(epochs, (std::vector<int>{1, 3, 6, 7}));
}

TEST_F(TrainedRun, StopsWhenTheRateFallsOrNothingImproves) {
  // Steps too short to change a weight: no epoch is better than the first.
  run(recipe({"train.epochs=50", "train.stop={lr_below: 5e-5}", "train.clip_norm=1e-30",
              "model.norm=layer", "train.optimizer={name: sgd, lr: 1e-3}",
              "train.schedule={name: plateau, patience: 0, factor: 0.1, metric: mae}"}),
      options("a"));
  EXPECT_EQ(result("a")["epochs"], 3);
  run(recipe({"train.epochs=60", "train.stop={patience: 1}", "train.optimizer={name: sgd, lr: 0}",
              "model.norm=layer", "train.schedule={name: constant}"}),
      options("b"));
  EXPECT_EQ(result("b")["epochs"], 2);
}

TEST_F(TrainedRun, AStopBetweenEvaluationsIsEvaluatedAsTheLastEpoch) {
  run(recipe({"train.epochs=50", "train.eval_every=20", "train.stop={hours: 1e-9}"}), options("a"));
  EXPECT_EQ(result("a")["epochs"], 1);
  run(recipe({"train.epochs=50", "train.eval_every=20", "train.stop={lr_below: 9e-4}",
              "train.schedule={name: step, milestones: [3], factor: 0.1}"}),
      options("b"));
  EXPECT_EQ(result("b")["epochs"], 3);
  EXPECT_EQ(metric_lines("b").back()["split"], "test");
  EXPECT_EQ(metric_lines("b").back()["epoch"], 3);
}

TEST_F(TrainedRun, AnInterruptedRunCountsAllItsHours) {
  std::atomic<int> signal{SIGTERM};
  RunOptions o = options("a");
  o.interrupt = &signal;
  run(recipe(), o);
  nlohmann::json before = result("a");
  before["seconds"] = 5000.0;
  write_text(root() / "a/result.json", before.dump());
  run(recipe(), options("fresh"));  // for comparison: counts from 0
  EXPECT_LT(result("fresh")["seconds"], 5000.0);
  EXPECT_EQ(resume(root() / "a", options("a")).code, base::ExitCode::kOk);
  EXPECT_GE(result("a")["seconds"], 5000.0);
}

TEST_F(TrainedRun, EveryLineSaysRateAndSpeed) {
  run(recipe({"train.epochs=1"}), options("a"));
  for (const auto& line : metric_lines("a")) {
    for (const char* key :
         {"epoch", "split", "loss", "mae", "lr", "seconds", "graphs_per_second"}) {
      EXPECT_TRUE(line.contains(key)) << line << " " << key;
    }
  }
}

TEST_F(TrainedRun, APlateauMayWatchAMetricThatIsNotUsual) {
  run(recipe({"train.epochs=4", "train.optimizer={name: sgd, lr: 1e-9}", "model.norm=layer",
              "train.schedule={name: plateau, patience: 0, factor: 0.1, metric: mse}"}),
      options("a"));
  const auto lines = metric_lines("a");
  EXPECT_TRUE(lines[1].contains("mse"));
  EXPECT_THROW(run(recipe({"train.schedule={name: plateau, metric: acc}"}), options("b")),
               base::RecipeError);
}

TEST_F(TrainedRun, WarmUpLongerThanTheRunIsARecipeError) {
  const std::vector<std::string> never{"train.epochs=2",
                                       "train.schedule={name: cosine, unit: step, warmup: 8}"};
  EXPECT_THROW(run(recipe(never), options("a")), base::RecipeError);  // two epochs of four updates
  run(recipe({"train.steps=6", "train.epochs=1", "train.schedule={name: cosine, warmup: 1}"}),
      options("b"));  // steps decide: epochs says nothing
  EXPECT_EQ(result("b")["updates"], 6);
}

TEST_F(TrainedRun, RowsOfOneGraphAreJudgedAlikeTogetherAndAlone) {
  write_one_graph(root() / "one", 60);
  run(recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
              "dataset.metric=acc", "model.head={name: node, layers: 2}"}),
      options("a"));
  const auto r = result("a");
  for (const char* split : {"train", "valid", "test"}) {
    const auto alone = nlohmann::json::parse(evaluate(root() / "a", split));
    for (const char* key : {"loss", "acc", "macro_f1"}) EXPECT_EQ(alone[key], r[split][key]);
  }
  EXPECT_EQ(metric_lines("a").size(), 12u);
}

TEST_F(TrainedRun, ALostBestStateIsRefusedAndNothingChanged) {
  std::atomic<int> signal{SIGTERM};
  RunOptions o = options("a");
  o.interrupt = &signal;
  while (!fs::exists(root() / "a/best.safetensors")) {
    if (fs::exists(root() / "a/recipe.yaml")) {
      resume(root() / "a", o);
    } else {
      run(recipe(), o);
    }
  }
  const fs::path best = root() / "a/best.safetensors";
  std::string bytes = text_of(best);
  bytes[bytes.size() / 2] ^= 1;
  write_text(best, bytes);
  const std::string last = text_of(root() / "a/last.safetensors");
  EXPECT_THROW(resume(root() / "a", options("a")), base::DataError);
  EXPECT_TRUE(last == text_of(root() / "a/last.safetensors"));
}

TEST_F(TrainedRun, OtherDataUnderTheSameNameIsRefused) {
  std::atomic<int> signal{SIGTERM};
  RunOptions o = options("a");
  o.interrupt = &signal;
  run(recipe(), o);
  fs::remove_all(root() / "rings");
  fs::remove_all(root() / "cache");
  write_rings(root() / "rings", 45);
  EXPECT_THROW(resume(root() / "a", options("a")), base::DataError);
}

TEST_F(TrainedRun, SeedsMayBeAddedToSeveralButNotTakenAway) {
  run(recipe({"train.epochs=1", "repeat.seeds=[1, 2]"}), options("a"));
  RunOptions o = options("a");
  o.resume = true;
  EXPECT_THROW(run(recipe({"train.epochs=1", "repeat.seeds=[1]"}), o), base::RecipeError);
  const std::string before = text_of(root() / "a/seed-1/result.json");
  EXPECT_EQ(run(recipe({"train.epochs=1", "repeat.seeds=[1, 2, 3]"}), o).code, base::ExitCode::kOk);
  EXPECT_EQ(before, text_of(root() / "a/seed-1/result.json"));
  EXPECT_EQ(nlohmann::json::parse(text_of(root() / "a/summary.json"))["n"], 3);
}

TEST_F(TrainedRun, AnInterruptedSeedIsUnfinishedAndNotFailed) {
  std::atomic<int> signal{SIGINT};
  RunOptions o = options("a");
  o.interrupt = &signal;
  EXPECT_EQ(run(recipe({"repeat.seeds=[1, 2]"}), o).code, base::ExitCode::kInterrupted);
  const auto summary = nlohmann::json::parse(text_of(root() / "a/summary.json"));
  EXPECT_EQ(summary["n"], 0);
  EXPECT_TRUE(summary["failed"].empty());
  EXPECT_EQ(summary["unfinished"], (std::vector<std::string>{"seed-1", "seed-2"}));
}

// Though its rules begin in the third epoch.
TEST_F(TrainedRun, APlanShowsTheModelBeforeAndAfterItsRules) {
  const std::string text = plan(recipe(
      {"sparsify={rules: [{name: heads, keep: 0.5, start: 3, end: 4, unit: epoch}, {name: weights, "
       "structure: neuron, method: gmp, keep: 0.5, start: 3, end: 4, unit: epoch}]}"}));
  EXPECT_NE(text.find("dense   made sparse        pruned"), std::string::npos) << text;
  const auto row = [&](const std::string& name) {
    std::istringstream line(text.substr(text.rfind("\n  " + name) + 3 + name.size()));
    std::vector<double> out(3);
    for (double& number : out) line >> number;
    return out;
  };
  const std::vector<double> parameters = row("parameters"), flops = row("FLOPs a graph");
  EXPECT_EQ(parameters[1], parameters[0]);
  EXPECT_LT(parameters[2], parameters[0]);
  EXPECT_GE(flops[1], flops[0]);  // masks cost a little
  EXPECT_LT(flops[2], 0.9 * flops[0]);
  EXPECT_NE(text.find("time of an epoch"), std::string::npos);
}

TEST_F(TrainedRun, APlanSaysThatItDividesAMeasuredBudgetEvenly) {
  base::set_quiet(false);
  testing::internal::CaptureStderr();
  plan(recipe({"sparsify={flops: 0.9, trade_off: measured, rules: [{name: heads, start: 6}]}"}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("divided evenly"), std::string::npos);
}

TEST_F(TrainedRun, PlanDryRunAndProfileKeepNothing) {
  const std::string text = plan(recipe());
  EXPECT_NE(text.find("parameters"), std::string::npos);
  EXPECT_NE(text.find("measured"), std::string::npos);
  RunOptions o = options("never");
  o.dry_run = true;
  EXPECT_EQ(run(recipe(), o).code, base::ExitCode::kOk);
  o.dry_run = false;
  o.profile_steps = 2;
  run(recipe(), o);
  EXPECT_FALSE(fs::exists(root() / "never"));
}

}  // namespace
}  // namespace gtrain::train
