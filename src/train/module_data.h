// Data as an exported module takes them: the graphs of a recipe before what the module does itself.
#pragma once

#include "gtrain/deploy/graph_script.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Options that open the module's data: without the transforms, which it applies, and with the node
// columns on disk where it makes its own. What a card says of features stays, and does not matter
// where the module only counts its nodes.
data::DatasetOptions module_data(data::DatasetOptions options);

// The node columns that a module makes itself, from the recipe or the data set's card, but for the
// categories, which are those of the module's data.
deploy::RawFeatures made_inside(const data::DatasetOptions& options);

// Whether encodings that are inputs are those of the transformed graphs.
bool encodes_transformed(const data::DatasetOptions& options);

}  // namespace gtrain::train
