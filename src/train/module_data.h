// Data as an exported module takes them: the graphs of a recipe before what the module does itself.
#pragma once

#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Options that open the module's data: without the transforms, which it applies.
data::DatasetOptions module_data(data::DatasetOptions options);

// Whether encodings that are inputs are those of the transformed graphs.
bool encodes_transformed(const data::DatasetOptions& options);

}  // namespace gtrain::train
