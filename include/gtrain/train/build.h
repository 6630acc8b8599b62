// A recipe's model: the model of the zoo, with the gates that `sparsify:` asks for. Its weights are
// not set. Wherever a recipe's model is needed it comes from here, so that a trained state fits.
#pragma once

#include <memory>

#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Throws base::RecipeError where model and data, or rules and model, do not fit.
std::shared_ptr<models::Model> build_model(const Recipe& recipe,
                                           const models::Signature& signature);

}  // namespace gtrain::train
