// From a strict YAML tree to option structs: keys by name, types exactly, numbers within bounds,
// choices by their tag key. Absent keys keep the struct's defaults. Every problem is collected with
// its place; nothing is thrown.
//
// Scalars: integers are decimal digits without leading zeros; numbers may have a fraction and an
// exponent and are finite; booleans are true or false; null is allowed for optional keys only.
// Lists of integers may hold ranges `0..9`, both ends included, or be one.
#pragma once

#include "gtrain/base/option.h"
#include "gtrain/train/recipe_tree.h"

namespace gtrain::train {

// `fields` visits the struct that the root map describes.
void decode(const RecipeNode& root, const base::FieldVisitor::Body& fields, Problems& problems);

}  // namespace gtrain::train
