// A recipe's model: the model of the zoo, with the gates that `sparsify:` asks for. Its weights are
// not set. Wherever a recipe's model is needed it comes from here, so that a trained state fits.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

struct Material;  // data, encodings, split, scale (src/train/material.h)

// Of the sizes that the tensors of `state` have, where a pruned run is gone on with: what is cut
// gets no gates, and the others are as large as what is left. Throws base::RecipeError where model
// and data, or rules and model, do not fit.
std::shared_ptr<models::Model> build_model(const Recipe& recipe, const models::Signature& signature,
                                           const std::map<std::string, at::Tensor>& state = {});

// A budget of FLOPs that is divided when the first rule starts (src/train/budget_run.h).
bool has_measured_budget(const Recipe& recipe);

// The recipe with the keep of its rules set so that together they meet sparsify.flops
// (sparsify/budget.h), and without that key; unchanged where there is none. The budget is a share
// of the model as it begins, which an `init` from a pruned run makes smaller. A budget that will be
// measured stays, and is only looked over; a keep of 1 beside it goes, as it says nothing. Counts
// models as the rules leave them over up to 64 graphs of the train split, some 15 times. Throws
// base::RecipeError where the rules cannot meet it.
Recipe with_budget(const Recipe& recipe, const Material& material);
// The same from an opened data set, whose encodings it computes where there is a budget.
Recipe with_budget(const Recipe& recipe, const data::Opened& opened);

}  // namespace gtrain::train
