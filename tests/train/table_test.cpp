#include "gtrain/train/table.h"

#include <gmock/gmock.h>

#include <cmath>
#include <csignal>

#include "gtrain/base/error.h"
#include "train/sample_run.h"
#include "train/table_file.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class FilledTableFile : public TrainedSample {
 protected:
  FilledTableFile() {
    write_text(root() / "sample.yaml", dump_recipe(recipe({"train.epochs=2",
                                                           "published={mae: 0.2, std: 0.1, runs: 4,"
                                                           " source: Someone 2020}"})));
  }

  fs::path file(const std::string& text) const {
    write_text(root() / "table.yaml", text);
    return root() / "table.yaml";
  }

  TableOptions with(const std::string& format = "json") const {
    TableOptions o;
    o.runs = root() / "runs";
    o.format = format;
    o.quiet = true;
    return o;
  }

  json filled(const std::string& text) const {
    return json::parse(fill_table(file(text), with()).text);
  }

  std::string problems_of(const std::string& text) const {
    try {
      fill_table(file(text), with());
    } catch (const base::RecipeError& e) {
      return e.what();
    }
    return "no problem";
  }

  const std::string two_seeds = "rows:\n- {label: a, recipe: sample.yaml, seeds: [0, 1]}\n";
};

TEST_F(FilledTableFile, TrainsWhatIsMissingAndAveragesIt) {
  const json table = filled(two_seeds);
  const json row = table["rows"][0];
  EXPECT_EQ(row["n"], 2);
  EXPECT_EQ(row["metric"], "mae");
  ASSERT_EQ(row["values"].size(), 2u);
  const double a = row["values"][0], b = row["values"][1];
  EXPECT_NE(a, b);
  EXPECT_NEAR(row["mean"], (a + b) / 2, 1e-12);
  EXPECT_NEAR(row["std"], std::abs(a - b) / std::sqrt(2.0), 1e-12);
  EXPECT_GT(row["parameters"], 100);
  EXPECT_GT(row["seconds_per_epoch"], 0.0);
  EXPECT_GT(row["peak_bytes"], 1e6);
  const auto alone = run(recipe({"train.epochs=2", "repeat.seeds=[1]"}), options("alone"));
  EXPECT_EQ(alone.code, base::ExitCode::kOk);
  EXPECT_EQ(result("alone")["test"]["mae"], b) << "as gtrain train trains it";
}

TEST_F(FilledTableFile, ReusesRunsAndTrainsOnlyASeedThatWasAdded) {
  const json before = filled(two_seeds);
  const fs::path directory = before["rows"][0]["directory"].get<std::string>();
  const auto written = fs::last_write_time(directory / "seed-0/result.json");
  const json after = filled("rows:\n- {label: b, recipe: sample.yaml, seeds: [2, 1, 0]}\n");
  EXPECT_EQ(fs::last_write_time(directory / "seed-0/result.json"), written);
  EXPECT_EQ(after["rows"][0]["n"], 3);
  EXPECT_EQ(after["rows"][0]["values"][2], before["rows"][0]["values"][0]);
  EXPECT_EQ(after["stale"].size(), 0u);
}

TEST_F(FilledTableFile, RunsOfAnotherRecipeAreShownAsStale) {
  const json before = filled(two_seeds);
  const json after =
      filled("rows:\n- {label: a, recipe: sample.yaml, set: [model.width=16], seeds: [0]}\n");
  EXPECT_NE(after["rows"][0]["parameters"], before["rows"][0]["parameters"]);
  ASSERT_EQ(after["stale"].size(), 1u);
  EXPECT_EQ(after["stale"][0]["reason"], "the recipe has changed");
  EXPECT_EQ(after["stale"][0]["n"], 2);
  EXPECT_EQ(after["stale"][0]["mean"], before["rows"][0]["mean"]);
  const std::string text = fill_table(root() / "table.yaml", with("md")).text;
  EXPECT_THAT(text, HasSubstr("Stale, not counted: a: "));
}

TEST_F(FilledTableFile, RunsOnOtherDataAndNumericsAreShownAsStale) {
  const json before = filled(two_seeds);
  const fs::path directory = before["rows"][0]["directory"].get<std::string>();
  json about = json::parse(text_of(directory / "row.json"));
  about["numerics"] = 0;
  fs::copy(directory, root() / "runs/sample-older", fs::copy_options::recursive);
  write_text(root() / "runs/sample-older/row.json", about.dump());
  write_rings(root() / "rings", 45);
  const json after = filled(two_seeds);
  ASSERT_EQ(after["stale"].size(), 2u);
  std::vector<std::string> reasons{after["stale"][0]["reason"], after["stale"][1]["reason"]};
  EXPECT_THAT(reasons, testing::Each("the data have changed"));
  fs::remove_all(directory);
  about["data_hash"] =
      json::parse(text_of(fs::path(after["rows"][0]["directory"]) / "row.json"))["data_hash"];
  write_text(root() / "runs/sample-older/row.json", about.dump());
  const json last = filled(two_seeds);
  ASSERT_EQ(last["stale"].size(), 1u);
  EXPECT_THAT(last["stale"][0]["reason"].get<std::string>(), HasSubstr("numerics version"));
}

TEST_F(FilledTableFile, EveryRowOfDataThatCannotBeOpenedIsLeftAlone) {
  const json table = filled(
      "set: [dataset.path=nowhere]\nrows:\n- {label: a, recipe: sample.yaml, seeds: [0]}\n"
      "- {label: b, recipe: sample.yaml, seeds: [0], set: [model.width=16]}\n");
  for (const json& row : table["rows"]) {
    ASSERT_EQ(row["failed"].size(), 1u) << row["row"];
    EXPECT_THAT(row["failed"][0].get<std::string>(), HasSubstr("nowhere: does not exist"));
  }
  EXPECT_FALSE(fs::exists(root() / "runs"));
}

TEST_F(FilledTableFile, AMetricThatNoRunWouldReportIsRefusedBeforeTraining) {
  const json table = filled("metric: maee\n" + two_seeds);
  EXPECT_EQ(table["rows"][0]["n"], 0);
  EXPECT_THAT(table["rows"][0]["failed"][0].get<std::string>(),
              HasSubstr("metric: maee: no run would report it (did you mean mae?)"));
  EXPECT_FALSE(fs::exists(root() / "runs"));
  EXPECT_EQ(filled("metric: rmse\n" + two_seeds)["rows"][0]["n"], 2);
}

TEST_F(FilledTableFile, RunsThatBeganWithOtherWeightsAreShownAsStale) {
  run(recipe({"train.epochs=1", "repeat.seeds=[5]"}), options("first"));
  const std::string rows =
      "rows:\n- {label: a, recipe: sample.yaml, seeds: [0], set: [\"init={from: " +
      (root() / "first").string() + "}\"]}\n";
  const json before = filled(rows), same = filled(rows);
  EXPECT_EQ(before["rows"][0]["n"], 1);
  EXPECT_EQ(same["rows"][0]["directory"], before["rows"][0]["directory"]);
  fs::remove_all(root() / "first");
  run(recipe({"train.epochs=1", "repeat.seeds=[6]"}), options("first"));
  const json after = filled(rows);
  EXPECT_NE(after["rows"][0]["directory"], before["rows"][0]["directory"]);
  ASSERT_EQ(after["stale"].size(), 1u);
  EXPECT_EQ(after["stale"][0]["reason"], "the weights of init have changed");
  fs::remove_all(root() / "first");
  EXPECT_THAT(filled(rows)["rows"][0]["failed"][0].get<std::string>(), HasSubstr("not there"));
}

TEST_F(FilledTableFile, DivergedRunsAreListedAndNotAveraged) {
  const TableOutcome outcome = fill_table(
      file("rows:\n- {label: wild, recipe: sample.yaml, seeds: [0], set: [\"train.optimizer={name: "
           "sgd, lr: 1000}\", \"train.schedule={name: constant}\", train.clip_norm=0, "
           "train.loss=l2, train.epochs=50]}\n"
           "- {label: tame, recipe: sample.yaml, seeds: [0]}\n"),
      with());
  EXPECT_EQ(outcome.code, base::ExitCode::kDiverged);
  const json table = json::parse(outcome.text);
  EXPECT_EQ(table["rows"][0]["n"], 0);
  EXPECT_TRUE(table["rows"][0]["mean"].is_null());
  ASSERT_EQ(table["rows"][0]["failed"].size(), 1u);
  EXPECT_THAT(table["rows"][0]["failed"][0].get<std::string>(), HasSubstr("seed-0: diverged in"));
  EXPECT_EQ(table["rows"][1]["n"], 1);
}

TEST_F(FilledTableFile, ARowThatCannotStartDoesNotStopTheOthers) {
  const TableOutcome outcome =
      fill_table(file("rows:\n- {label: lost, recipe: sample.yaml, set: [dataset.path=nowhere]}\n"
                      "- {label: wrong, recipe: sample.yaml, set: [dataset.metric=rocauc]}\n"
                      "- {label: here, recipe: sample.yaml}\n"),
                 with());
  EXPECT_EQ(outcome.code, base::ExitCode::kData);
  const json rows = json::parse(outcome.text)["rows"];
  EXPECT_THAT(rows[0]["failed"][0].get<std::string>(), HasSubstr("does not exist"));
  EXPECT_THAT(rows[1]["failed"][0].get<std::string>(), HasSubstr("rocauc"));
  EXPECT_EQ(rows[2]["n"], 1);
}

TEST_F(FilledTableFile, InterruptedGoesOnToTheSameNumbers) {
  const json whole = filled(two_seeds);
  std::atomic<int> signal{0};
  TableOptions o = with();
  o.runs = root() / "parts";
  o.interrupt = &signal;
  const fs::path path = file(two_seeds);
  const fs::path first =
      o.runs / fs::path(whole["rows"][0]["directory"].get<std::string>()).filename() / "seed-0";
  RunOptions half = options("half");  // as a table killed in the first epoch leaves it
  std::atomic<int> at_once{SIGINT};
  half.interrupt = &at_once;
  half.directory = first;
  run(recipe({"train.epochs=2", "repeat.seeds=[0]"}), half);
  o.dry = true;
  EXPECT_THAT(fill_table(path, o).text, HasSubstr("goes on: seed-0; would run: seed-1"));
  o.dry = false;
  signal = SIGINT;
  const TableOutcome stopped = fill_table(path, o);
  EXPECT_EQ(stopped.code, base::ExitCode::kInterrupted);
  EXPECT_EQ(stopped.text, "");
  signal = 0;
  const TableOutcome done = fill_table(path, o);
  EXPECT_EQ(done.code, base::ExitCode::kOk);
  EXPECT_EQ(json::parse(done.text)["rows"][0]["values"], whole["rows"][0]["values"]);
}

TEST_F(FilledTableFile, DryAndAsIsRunNothing) {
  TableOptions o = with("md");
  o.dry = true;
  EXPECT_THAT(fill_table(file(two_seeds), o).text, HasSubstr("would run: seed-0, seed-1"));
  o.dry = false;
  o.as_is = true;
  EXPECT_THAT(fill_table(file(two_seeds), o).text, HasSubstr("To go: a: seed-0, seed-1"));
  EXPECT_FALSE(fs::exists(o.runs));
}

TEST_F(FilledTableFile, OnlyOneRowIsFilledAndAnUnknownOneIsRefused) {
  const std::string text =
      "rows:\n- {label: small, recipe: sample.yaml}\n"
      "- {label: wide, recipe: sample.yaml, set: [model.width=16]}\n";
  TableOptions o = with();
  o.only = "wide";
  EXPECT_EQ(json::parse(fill_table(file(text), o).text)["rows"].size(), 1u);
  o.only = "wied";
  EXPECT_THROW(fill_table(file(text), o), base::RecipeError);
  o = with();
  o.dry = true;
  EXPECT_THAT(fill_table(file(text), o).text, HasSubstr("small  would run: seed-0"));
}

TEST_F(FilledTableFile, KeysOfTheTableCanBeOverridden) {
  TableOptions o = with("md");
  o.dry = true;
  o.overrides = {"seeds=[7]", "budget={epochs: 1}"};
  const std::string text = "seeds: [0, 1]\nrows:\n- {label: a, recipe: sample.yaml}\n";
  EXPECT_THAT(fill_table(file(text), o).text, HasSubstr("would run: seed-7"));
  o.overrides = {"rows[0].set=[model.widht=3]", "budget.epochs=-1"};
  try {
    fill_table(file(text), o);
    ADD_FAILURE() << "accepted";
  } catch (const base::RecipeError& e) {
    EXPECT_THAT(e.what(), HasSubstr("command line: budget.epochs=-1: must be"));
    EXPECT_THAT(e.what(), HasSubstr("model.widht=3: unknown key (did you mean width?)"));
  }
}

TEST_F(FilledTableFile, FoldsAreRunsOfARow) {
  const json row = filled(
      "rows:\n- {label: a, recipe: sample.yaml, folds: [0, 1], "
      "set: [\"dataset.split=''\"]}\n")["rows"][0];
  EXPECT_EQ(row["n"], 2);
  EXPECT_TRUE(fs::exists(fs::path(row["directory"]) / "fold-1/seed-0/result.json"));
}

TEST_F(FilledTableFile, ThePublishedValueIsTheRecipesWhereItsModelIsTheRows) {
  const json rows = filled(
      "rows:\n- {label: same, recipe: sample.yaml}\n"
      "- {label: short, recipe: sample.yaml, set: [train.epochs=1]}\n"
      "- {label: other, recipe: sample.yaml, set: [model.layers=1]}\n"
      "- {label: own, recipe: sample.yaml, set: [model.layers=1],\n"
      "   published: {mae: 0.3, source: Other 2021}}\n")["rows"];
  EXPECT_EQ(rows[0]["published"]["mean"], 0.2);
  EXPECT_EQ(rows[0]["published"]["same_training"], true);
  EXPECT_TRUE(rows[0]["differs"].is_boolean());
  EXPECT_EQ(rows[1]["published"]["same_training"], false);
  EXPECT_FALSE(rows[2].contains("published"));
  EXPECT_EQ(rows[3]["published"]["source"], "Other 2021");
  EXPECT_EQ(rows[3]["published"]["same_training"], true);
  EXPECT_TRUE(rows[3]["differs"].is_null()) << "one run, and no published spread";
}

TEST_F(FilledTableFile, ABudgetShrinksTheScheduleWithTheTraining) {
  Recipe r = recipe({"train.epochs=100", "train.schedule={name: cosine, warmup: 10}"});
  shorten(r, {.epochs = 20, .steps = 0, .hours = 1.5});
  EXPECT_EQ(r.train.epochs, 20);
  EXPECT_EQ(std::get<CosineSchedule>(r.train.schedule).warmup, 2);
  EXPECT_EQ(r.train.stop.hours, 1.5);
  shorten(r, {.epochs = 50, .steps = 0, .hours = 3.0});
  EXPECT_EQ(r.train.epochs, 20);
  EXPECT_EQ(r.train.stop.hours, 1.5);
  Recipe s = recipe({"train.steps=1000",
                     "train.schedule={name: step, unit: step, milestones: "
                     "[500, 800]}"});
  shorten(s, {.epochs = 1, .steps = 10, .hours = 0});
  EXPECT_EQ(s.train.steps, 10);
  EXPECT_EQ(s.train.epochs, 4);
  EXPECT_EQ(std::get<StepSchedule>(s.train.schedule).milestones, (std::vector<std::int64_t>{5, 8}));
}

TEST_F(FilledTableFile, ABudgetShrinksTheTimingOfRules) {
  Recipe r = recipe({"train.epochs=100",
                     "sparsify={rules: [{name: tokens, keep: 0.5, start: 5, end: 40, every: 5, "
                     "unit: epoch}, {name: weights, keep: 0.5, start: 50, unit: epoch}]}"});
  shorten(r, {.epochs = 10, .steps = 0, .hours = 0});
  const sparsify::Timing& tokens = sparsify::timing_of(r.sparsify->rules[0]);
  EXPECT_EQ(tokens.start, 0);
  EXPECT_EQ(tokens.end, 4);
  EXPECT_EQ(tokens.every, 1);
  const sparsify::Timing& weights = sparsify::timing_of(r.sparsify->rules[1]);
  EXPECT_EQ(weights.start, 5);
  EXPECT_EQ(weights.end, 5) << "still at once";
}

TEST_F(FilledTableFile, PrunesAndMeasuresInferenceBesideTheRowItIsComparedWith) {
  const std::string rows =
      "prune: true\nseeds: [0]\nrows:\n- {label: dense, recipe: sample.yaml}\n"
      "- {label: heads, recipe: sample.yaml, against: dense, set: [\"sparsify={rules: [{name: "
      "heads, keep: 0.5, start: 2}]}\"]}\n"
      "- {label: tokens, recipe: sample.yaml, against: dense, set: [\"sparsify={rules: [{name: "
      "tokens, keep: 0.5, start: 2}]}\"]}\n"
      "- {label: left out, recipe: sample.yaml, prune: false, set: [model.width=16]}\n";
  const json table = filled(rows)["rows"];
  EXPECT_GT(table[0]["inference"]["seconds_per_graph"], 0.0);
  EXPECT_FALSE(table[0]["inference"].contains("pruned"));
  EXPECT_LT(table[1]["inference"]["pruned"]["parameters"], table[1]["parameters"]);
  EXPECT_LT(table[1]["inference"]["pruned"]["flops_per_graph"], table[0]["flops_per_graph"]);
  EXPECT_LT(table[1]["sparse_flops_per_graph"], table[1]["flops_per_graph"]);
  EXPECT_GT(table[1]["inference"]["against_seconds_per_graph"], 0.0);
  EXPECT_THAT(table[2]["inference"]["not_pruned"].get<std::string>(), HasSubstr("switched off"));
  EXPECT_FALSE(table[3].contains("inference"));
  const json again = filled(rows)["rows"];
  EXPECT_EQ(again[1]["inference"], table[1]["inference"]) << "measured once";
}

// Times are of runs of one fold and seed, and of these very runs.
TEST_F(FilledTableFile, MeasuresInferenceAnewOfRunsThatWereTrainedAnew) {
  const std::string rows =
      "prune: true\nrows:\n- {label: dense, recipe: sample.yaml, seeds: [1]}\n"
      "- {label: heads, recipe: sample.yaml, seeds: [0, 1], against: dense, set: "
      "[\"sparsify={rules: "
      "[{name: heads, keep: 0.5, start: 2}]}\"]}\n";
  const json table = filled(rows)["rows"];
  const fs::path dense = table[0]["directory"].get<std::string>();
  const fs::path heads = table[1]["directory"].get<std::string>();
  EXPECT_FALSE(fs::exists(heads / "seed-0" / "inference.json")) << "dense has no seed 0";
  const auto pruned = fs::last_write_time(heads / "seed-1" / "pruned" / "prune.json");
  EXPECT_EQ(filled(rows)["rows"][1]["inference"], table[1]["inference"]);
  fs::remove_all(dense / "seed-1");
  const json other = filled(rows)["rows"];
  EXPECT_NE(other[1]["inference"], table[1]["inference"]) << "beside another dense run";
  EXPECT_EQ(fs::last_write_time(heads / "seed-1" / "pruned" / "prune.json"), pruned);
  const fs::path record = heads / "seed-1" / "result.json";
  write_text(record, text_of(record) + "\n");
  const json now = filled(rows)["rows"];
  EXPECT_THAT(now[1]["inference"]["not_pruned"].get<std::string>(), HasSubstr("lay here before"));
  EXPECT_EQ(fs::last_write_time(heads / "seed-1" / "pruned" / "prune.json"), pruned);
  fs::remove_all(heads / "seed-1" / "pruned");
  write_text(record, text_of(record) + "\n");
  EXPECT_GT(filled(rows)["rows"][1]["inference"]["pruned"]["parameters"], 0.0);
}

TEST_F(FilledTableFile, OneRowIsComparedWithThePartnerThatIsThere) {
  const std::string rows =
      "prune: true\nseeds: [0, 1]\nrows:\n- {label: dense, recipe: sample.yaml}\n"
      "- {label: heads, recipe: sample.yaml, against: dense, set: [\"sparsify={rules: "
      "[{name: heads, keep: 0.5, start: 2}]}\"]}\n";
  const json table = filled(rows)["rows"];
  TableOptions one = with();
  one.only = "heads";
  const json alone = json::parse(fill_table(file(rows), one).text)["rows"];
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_EQ(alone[0], table[1]) << "measured once";
}

TEST_F(FilledTableFile, ReportsEveryProblemOfTheFileAndOfItsRows) {
  const std::string text = problems_of(
      "titel: x\n"
      "split: tset\n"
      "rows:\n"
      "- {label: a, recipe: sample.yaml, set: [model.widht=3, train.epochs=many]}\n"
      "- {label: a, recipe: sampel.yaml}\n"
      "- {label: b, seeds: [0, 0]}\n");
  for (const char* problem : {
           "table.yaml:1:1: titel: unknown key (did you mean title?)",
           "table.yaml:2:8: split: unknown value tset (did you mean test?)",
           "table.yaml:4:41: rows[0].set[0]: model.widht=3: unknown key (did you mean width?)",
           "table.yaml:4:56: rows[0].set[1]: train.epochs=many: expected an integer, got many",
           "table.yaml:5:22: rows[1].recipe: sampel.yaml: no such file, and no shipped recipe",
           "table.yaml:6:3: rows[2].recipe: is missing",
           "table.yaml:6:14: rows[2].seeds: names a seed twice",
       }) {
    EXPECT_THAT(text, HasSubstr(problem));
  }
  EXPECT_THAT(text, HasSubstr("rows[1].label: a: the label of another one before it"));
  EXPECT_THAT(problems_of("rows: []\n"), HasSubstr("rows: names no row"));
  EXPECT_THAT(problems_of("- 1\n"), HasSubstr("expected a map of keys, got a list"));
  EXPECT_FALSE(fs::exists(root() / "runs"));
}

TEST_F(FilledTableFile, ProblemsOfARecipeStandWhereTheRecipeDoes) {
  write_text(root() / "bad.yaml", "dataset: {nam: x}\n");
  const std::string text =
      problems_of("rows:\n- {label: a, recipe: bad.yaml}\n- {label: b, recipe: bad.yaml}\n");
  const std::size_t first = text.find("bad.yaml:1:11: dataset.nam: unknown key");
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_EQ(text.find("bad.yaml:1:11", first + 1), std::string::npos) << "once, not a row";
}

TEST(Table, ShippedOnesCanBeReadAndAnUnknownNameIsRefused) {
  for (const std::string& name : shipped_tables()) {
    EXPECT_GT(read_table(find_table(name), {}).rows.size(), 1u) << name;
  }
  EXPECT_THROW(find_table("nosuch"), base::RecipeError);
}

}  // namespace
}  // namespace gtrain::train
