// `gtrain prune`: the selected state of a sparsified run without what its rules switched off
// (sparsify/compact.h), as a run directory of its own: eval, predict and export read it, and
// training its recipe.yaml goes on from it (init.from names the directory).
#pragma once

#include <filesystem>

#include "gtrain/models/zoo.h"

namespace gtrain::train {

// Compares both models on graphs of the data set and notes what was cut, and parameters, FLOPs and
// time of both. Writes recipe.yaml, last.safetensors and prune.json into `out`. Throws
// base::RecipeError where there is nothing to cut, where it cannot be, or where `out` is not empty.
// prune.json names the run and the hash of its result.json as it was.
void prune_run(const std::filesystem::path& run, const std::filesystem::path& out,
               const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train
