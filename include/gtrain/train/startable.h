// Whether a run could begin: what its recipe and its data, taken together, are refused for before
// the first step of any of its seeds and folds. `gtrain validate` asks it, and so does a run before
// it makes a directory.
#pragma once

#include <cstdint>

#include "gtrain/data/open.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Splits of all folds, their labels, and sizes of graphs; of generated data (without a store) the
// splits alone. Encodings are not computed. Throws base::RecipeError or base::DataError.
void check_data(const Recipe& recipe, const data::Opened& opened);

// Of data that passed: loss, metrics, schedules, rules that make the model sparser, and, where the
// run `begins`, the weights of `init`. `given`: those weights, or the state that it goes on from,
// whose shapes are the model's; empty where there are none. Returns the number of parameters.
std::int64_t check_startable(const Recipe& recipe, const data::Opened& opened,
                             const NamedTensors& given, bool begins);

}  // namespace gtrain::train
