// Where a run's first weights come from, when not from random draws: the state of another run, or
// any safetensors file with gtrain's names (pre-train, then fine-tune). Read before the first step;
// a run that goes on from a state of its own never looks at it again.
//
// A module is named by the beginning of its tensors' names up to a dot: `head` is head.0.weight and
// head.0.bias. Tensors of `init.fresh` keep their random start. Weights of `init.freeze` get no
// gradient and no update, weight decay included; running statistics of batch norms in frozen
// modules still follow the data, as they do in the authors' code.
//
// `zoo`: the models that the other run's recipe may name.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>

#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// True where there is something under the name to read.
bool origin_exists(const InitOptions& options);

// The weights by name, of the selected state where it is a run. Throws base::DataError for what
// cannot be read.
std::map<std::string, at::Tensor> origin_tensors(const InitOptions& options,
                                                 const models::Zoo& zoo = models::zoo());

// Hash of names and values of the weights, as load_origin records it. Throws as it does.
std::string origin_hash(const InitOptions& options, const models::Zoo& zoo = models::zoo());

// Switches gradients of the frozen modules off. Throws base::RecipeError for a module the model
// does not have, and where nothing is left to train.
void freeze(models::Model& model, const InitOptions& options);

// Copies the weights in and returns what result.json records of them (gates of `sparsify:` that
// the weights come without begin as the rules have them), as a JSON object: from,
// hash (of names and values), tensors (copied), fresh, freeze. Throws base::DataError for what
// cannot be read or is not finite, base::RecipeError naming every tensor that does not fit, with
// both shapes.
std::string load_origin(models::Model& model, const InitOptions& options,
                        const models::Zoo& zoo = models::zoo());

// Both of them, where a recipe has `init`; `fresh`: the run begins now. Returns the record, or "".
std::string begin_with(models::Model& model, const std::optional<InitOptions>& options, bool fresh,
                       const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train
