// From option structs to YAML: every key present, in the order of the fields, defaults included.
// Small maps and lists stand on one line; decode(parse_tree(text)) gives equal values.
#pragma once

#include <string>

#include "gtrain/base/option.h"
#include "gtrain/train/recipe_tree.h"

namespace gtrain::train {

// Absent optionals become null; the `rest` map of a struct follows its fields.
RecipeNode to_tree(const base::FieldVisitor::Body& fields);

// `root` is a map. Ends with a newline.
std::string to_yaml(const RecipeNode& root);

// The node on one line: `{name: gps, width: 64}`.
std::string to_flow(const RecipeNode& node);

}  // namespace gtrain::train
