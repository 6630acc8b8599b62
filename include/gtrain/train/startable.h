// Whether a run could begin: what its recipe and its data, taken together, are refused for before
// the first step of any of its seeds and folds. `gtrain validate` asks it, and so does a run before
// it makes a directory.
#pragma once

#include <cstdint>

#include "gtrain/data/open.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Splits of all folds and their labels, sizes of graphs, loss, metrics, schedules, rules that make
// the model sparser, and, where `begins` (else a state is there to go on from), the weights of
// `init`. Encodings are not computed. Of generated data (without a store) counts and labels say
// nothing and are not looked at. Returns the number of parameters. Throws base::RecipeError or
// base::DataError.
std::int64_t check_startable(const Recipe& recipe, const data::Opened& opened, bool begins);

}  // namespace gtrain::train
