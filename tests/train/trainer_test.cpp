#include "gtrain/train/trainer.h"

#include "gtrain/base/error.h"
#include "train/material.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using TrainedTrainer = TrainedSample;

TEST_F(TrainedTrainer, TrainsAModelItIsGiven) {
  const Recipe r = recipe();
  const Material material = prepare(r);
  auto model = models::build(r.model, material.signature);
  models::initialise(*model, 5);
  std::filesystem::create_directories(root() / "a");
  Trainer trainer(r, material, model, {root() / "a", "", "hash", 5, nullptr});
  EXPECT_EQ(trainer.run(), Ending::kFinished);
  EXPECT_TRUE(trainer.problem().empty());
  EXPECT_EQ(result("a")["recipe_hash"], "hash");
}

TEST_F(TrainedTrainer, RefusesAStateOfAnotherSeed) {
  run(recipe({"train.epochs=1"}), options("a"));
  const Recipe r = recipe({"train.epochs=1"});
  const Material material = prepare(r);
  auto model = models::build(r.model, material.signature);
  Trainer trainer(r, material, model, {root() / "a", "", recipe_hash(r), 1, nullptr});
  EXPECT_THROW(trainer.restore(), base::RecipeError);
}

TEST_F(TrainedTrainer, ALossThatDoesNotFitIsARecipeError) {
  EXPECT_THROW(run(recipe({"train.loss=bce"}), options("a")), base::RecipeError);
}

// The protocol of the benchmarks of GT: halve the rate when the loss on valid stands still for
// longer than the patience, stop when it falls below a bound, report the last weights.
TEST_F(TrainedTrainer, HalvesTheRateOnPlateausAndStopsBelowItsBound) {
  const std::string schedule = "train.schedule={name: plateau, factor: 0.5, patience: 1}";
  run(recipe({"train.epochs=60", "train.optimizer={name: sgd, lr: 0.1, momentum: 0}", schedule,
              "train.stop={lr_below: 0.02}", "select=last"}),
      options("a"));
  double best = 1e300, rate = 0.1;
  int bad = 0, epochs = 0;
  for (const auto& line : metric_lines("a")) {
    if (line["split"] == "train") {
      ++epochs;
      EXPECT_DOUBLE_EQ(line["lr"], rate) << "epoch " << line["epoch"];
    }
    if (line["split"] != "valid") continue;
    const double loss = line["loss"];
    bad = loss < best * (1.0 - 1e-4) ? 0 : bad + 1;
    best = bad == 0 ? loss : best;
    if (bad <= 1) continue;
    rate *= 0.5;
    bad = 0;
  }
  EXPECT_LT(rate, 0.02);  // by the last evaluation, which ended the run
  const auto r = result("a");
  EXPECT_EQ(r["status"], "ok");
  EXPECT_EQ(r["select"], "last");
  EXPECT_EQ(r["epochs"], epochs);
  EXPECT_LT(epochs, 60);
  EXPECT_FALSE(r.contains("last"));
  EXPECT_FALSE(std::filesystem::exists(root() / "a/best.safetensors"));
  const auto lines = metric_lines("a");
  EXPECT_NEAR(r["test"]["mae"].get<double>(), lines.back()["mae"].get<double>(), 1e-9);
}

TEST_F(TrainedTrainer, CountsStepsAcrossEpochsAndEndsInMidEpoch) {
  // 24 graphs in batches of 6: 4 updates an epoch; 10 steps are two and a half epochs.
  run(recipe({"train.steps=10", "train.eval_every=2",
              "train.schedule={name: polynomial, unit: step, warmup: 4, lr_end: 0, first: 1}"}),
      options("a"));
  const auto r = result("a");
  EXPECT_EQ(r["updates"], 10);
  EXPECT_EQ(r["epochs"], 3);
  std::vector<int> judged;
  double last = 0.0;
  for (const auto& line : metric_lines("a")) {
    if (line["split"] == "valid") judged.push_back(line["epoch"]);
    if (line["split"] == "train") last = line["lr"];
  }
  EXPECT_EQ(judged, (std::vector<int>{1, 2, 3}));
  EXPECT_NEAR(last, 0.0, 1e-12);  // t = T in the last update
}

}  // namespace
}  // namespace gtrain::train
