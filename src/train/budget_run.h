// Runs with a budget of FLOPs that is divided by a measured trade-off. Such a run has two parts:
// the recipe as it was asked for trains until one update before its first rule starts, and pauses;
// each rule is tried (sensitivity.h), keeps are chosen (sparsify/trade_off.h), and the same run
// goes on from the saved state as the recipe with these keeps. Up to there the two recipes train
// alike, so the run is that of the chosen recipe from its first update on, bit for bit.
//
// The decision stands in budget.json: what was asked for (hash), when, the curves, the keeps. It is
// written first, then the state is rewritten for the chosen recipe, then recipe.yaml says it: a run
// that was killed in between goes on.
#pragma once

#include <cstdint>
#include <filesystem>

#include "gtrain/train/recipe.h"
#include "material.h"

namespace gtrain::train {

// The recipe with the keeps that the run in this directory has decided on, its state and
// recipe.yaml made to say so; itself where there is no decision on it.
Recipe decided(const Recipe& recipe, const std::filesystem::path& directory,
               const Material& material);

// Decides for the run in `directory` that has paused after so many updates: measures, and writes
// budget.json. `model` holds its weights.
void decide(const Recipe& recipe, const Material& material, models::Model& model,
            std::int64_t updates, const std::filesystem::path& directory);

}  // namespace gtrain::train
