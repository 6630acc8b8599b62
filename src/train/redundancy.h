// What goes first when a run's model is made sparser: redundancy.json beside result.json.
//   heads     of each attention: which are open, and after which epoch each of the others closed
//             for good
//   branches  the same of residual branches; both with the probability of learned gates to be open
//   weights   of each matrix that a rule prunes, how many live
//   nodes     on the split test (valid, train where there is none): at each place where nodes are
//             chosen how many of each type and degree there are and how many of them leave
// All of it is that of the selected state, and a function of it and of metrics.jsonl.
#pragma once

#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"
#include "material.h"
#include "result.h"

namespace gtrain::train {

// What is off now, for a line of metrics.jsonl: {"layer_0.attention.heads": [2], "layer_1.feed":
// [0]}; null where nothing is.
Json switched_off(models::Model& model);

// `lines`: of metrics.jsonl; those after `epoch` are not looked at.
Json redundancy_of(models::Model& model, const Recipe& recipe, const Material& material,
                   const std::string& lines, std::int64_t epoch);

}  // namespace gtrain::train
