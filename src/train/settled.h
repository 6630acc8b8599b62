// A recipe's model as its rules leave it in the end, at once: what budgets count and trade-offs
// try. Not a trained model: which heads, branches and weights are gone is decided by the weights as
// they stand, or by chance.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flop_report.h"
#include "gtrain/models/model.h"
#include "gtrain/sparsify/rule.h"
#include "gtrain/train/recipe.h"
#include "material.h"

namespace gtrain::train {

// `rules` in the place of the recipe's, each with its keep, and its schedule of no concern. Weights
// are pruned by their magnitude. Sizes, and values of what both have, come from `weights`; nullptr:
// the whole model, random.
std::shared_ptr<models::Model> settled_model(const Recipe& recipe, const Material& material,
                                             std::vector<sparsify::Rule> rules,
                                             const models::Model* weights = nullptr);

// Copies parameters and buffers of equal name; their shapes have to be equal, too.
void copy_values(const models::Model& from, models::Model& to);

inline constexpr std::int64_t kSettledGraphs = 64;
// Counted on so many graphs of the train split.
FlopReport count_settled(const Recipe& recipe, const Material& material,
                         const std::vector<sparsify::Rule>& rules,
                         const models::Model* weights = nullptr);

}  // namespace gtrain::train
