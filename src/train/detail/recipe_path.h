// Dotted paths while decoding: where a key stands, and whether a constraint can still be believed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gtrain/train/recipe_tree.h"

namespace gtrain::train::detail {

std::string joined_path(const std::string& parent, std::string_view key);

// The place of the key at `path` below `node` (nullptr: absent), or of its nearest ancestor that is
// written down; `place` is that of the node.
Place locate(const RecipeNode* node, Place place, std::string_view path);

// Whether a constraint at `full` of the struct at `owner` rests on a value that was refused: its
// own, or one of the same struct that the message names. The default that stands in is no evidence.
bool rests_on(const std::vector<std::string>& refused, const std::string& owner,
              const std::string& full, const std::string& message);

}  // namespace gtrain::train::detail
