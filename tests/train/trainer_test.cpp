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

}  // namespace
}  // namespace gtrain::train
