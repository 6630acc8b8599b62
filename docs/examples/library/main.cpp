// Trains a recipe for two epochs and predicts with what it learned, from a program of one's own:
//   own_training [RECIPE] [DIRECTORY]        (quickstart, runs/own_training)
// RECIPE is a file or a name that gtrain list recipes prints.
#include <cstdio>
#include <string>

#include "gtrain/base/error.h"
#include "gtrain/data/batch.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/run.h"
#include "gtrain/train/serial_aten.h"

using namespace gtrain;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "quickstart";

  // A recipe is a value: changes may be made as on the command line, or to its members.
  train::Recipe recipe = train::load_recipe(train::find_recipe(name),
                                            {"train.epochs=2", "train.schedule={name: constant}"});
  recipe.repeat.seeds = {7};

  train::RunOptions options;
  options.directory = argc > 2 ? argv[2] : "runs/own_training";
  const train::RunOutcome outcome = train::run(recipe, options);
  if (outcome.code != base::ExitCode::kOk) return static_cast<int>(outcome.code);

  // The selected state, its data set and encodings; and the outputs of the model on four graphs.
  const train::LoadedRun trained = train::load_run(outcome.directory);
  const train::SerialAten serial;  // gtrain's own parallelism does not want torch's beside it
  const std::int64_t graphs[] = {0, 1, 2, 3};
  const data::GraphBatch batch = data::collate(trained.opened.dataset, trained.encodings, graphs);
  nn::Context evaluation;
  const at::Tensor values =
      trained.model->forward(batch, evaluation).detach() * trained.target_std + trained.target_mean;
  for (std::int64_t g = 0; g < values.size(0); ++g) {
    std::printf("graph %lld: %.6g\n", static_cast<long long>(g), values[g][0].item<double>());
  }

  // The same for a whole split, as a file.
  train::predict(outcome.directory, nullptr, "all", outcome.directory / "predictions.csv");
  return 0;
} catch (
    const base::Error& error) {  // of recipe, data or disk: where, what was found, what expected
  std::fprintf(stderr, "own_training: %s\n", error.what());
  return static_cast<int>(error.code());
}
