// Runs: what the command line does with a recipe. Each function is one command; messages go through
// base/log.h, results into the run directory (docs/run.md). Signals are the caller's: `interrupt`
// is polled between steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

struct RunOptions {
  std::filesystem::path directory;  // empty: runs/<recipe name>-<n>, never an existing one
  std::string recipe_name;          // for the default directory
  std::string device = "cpu";
  bool resume = false;   // go on in an existing directory
  bool dry_run = false;  // two steps, nothing kept
  std::int64_t profile_steps = 0;
  bool quiet = false;
  const std::atomic<int>* interrupt = nullptr;  // signal number once received, else 0
  const models::Zoo* zoo = &models::zoo();      // of resume; run() has the recipe's
};

struct RunOutcome {
  base::ExitCode code = base::ExitCode::kOk;  // kOk, kDiverged, kInterrupted, kTerminated
  std::filesystem::path directory;
};

// Trains all seeds and folds of the recipe; writes every file of the run directory.
RunOutcome run(const Recipe& recipe, const RunOptions& options);

// Goes on from the newest state in `directory` that verifies; says which it skipped and why.
RunOutcome resume(const std::filesystem::path& directory, const RunOptions& options);

// Metrics of the selected state on a split ("train" | "valid" | "test" | "all"), as one JSON
// object.
std::string evaluate(const std::filesystem::path& directory, const std::string& split,
                     const data::DatasetOptions* other_data = nullptr,
                     const models::Zoo& zoo = models::zoo());

// Raw model outputs in data set order as CSV (gzip when the name ends in .gz).
void predict(const std::filesystem::path& directory, const data::DatasetOptions* data,
             const std::string& split, const std::filesystem::path& out,
             const models::Zoo& zoo = models::zoo());

// Parameters, FLOPs, memory and time per epoch before starting, as text.
std::string plan(const Recipe& recipe);

// Loads the selected state of a run: the recipe, the model with weights, ready for evaluation.
struct LoadedRun {
  Recipe recipe;
  data::Opened opened;
  std::vector<data::Column> encodings;
  std::shared_ptr<models::Model> model;
  at::Tensor target_mean, target_std;  // [C]; 0 and 1 where targets are as they are
};
LoadedRun load_run(const std::filesystem::path& directory, const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train
