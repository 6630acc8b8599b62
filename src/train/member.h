// The single runs that a recipe with several seeds and folds stands for, and where each one lies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/train/recipe.h"

namespace gtrain::train {

// One fold and seed of a recipe, and its directory below RUN ("" for RUN itself).
struct Member {
  std::string directory;
  std::int64_t fold;
  std::int64_t seed;
  bool operator==(const Member&) const = default;
};

std::vector<Member> members_of(const Recipe& recipe);
Recipe recipe_of(const Recipe& recipe, const Member& member);

// Writes the resolved recipe. A run that goes on must have begun with the same one; members may
// have been added, not taken away. Throws base::RecipeError.
void settle_recipe(const std::filesystem::path& directory, const Recipe& recipe);

}  // namespace gtrain::train
