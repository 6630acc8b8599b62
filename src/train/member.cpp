#include "member.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/train/recipe_file.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

void check_goes_on(const fs::path& directory, const Recipe& before, const Recipe& now) {
  const std::string path = (directory / "recipe.yaml").string();
  if (recipe_hash(before) != recipe_hash(now)) {
    throw base::RecipeError(
        fmt::format("{}: the run began with another recipe; go on with it unchanged (gtrain resume "
                    "{}) or start another run",
                    path, directory.string()));
  }
  const std::vector<Member> members = members_of(now);
  for (const Member& m : members_of(before)) {
    if (std::find(members.begin(), members.end(), m) != members.end()) continue;
    throw base::RecipeError(fmt::format(
        "{}: the run began with other seeds or folds; a run of several can gain some, and nothing "
        "else: go on with gtrain resume {} or start another run",
        path, directory.string()));
  }
}

}  // namespace

std::vector<Member> members_of(const Recipe& recipe) {
  const std::vector<std::int64_t>& seeds = recipe.repeat.seeds;
  std::vector<std::int64_t> folds = recipe.repeat.folds;
  if (folds.empty()) folds = {recipe.dataset.fold};
  std::vector<Member> out;
  for (const std::int64_t fold : folds) {
    for (const std::int64_t seed : seeds) {
      std::string name;
      if (folds.size() > 1) name = fmt::format("fold-{}", fold);
      if (seeds.size() > 1) name += fmt::format("{}seed-{}", name.empty() ? "" : "/", seed);
      out.push_back({name, fold, seed});
    }
  }
  return out;
}

Recipe recipe_of(const Recipe& recipe, const Member& member) {
  Recipe out = recipe;
  out.dataset.fold = member.fold;
  out.repeat.seeds = {member.seed};
  out.repeat.folds.clear();
  return out;
}

void settle_recipe(const fs::path& directory, const Recipe& recipe) {
  const fs::path path = directory / "recipe.yaml";
  if (fs::exists(path)) check_goes_on(directory, load_recipe(path, {}, *recipe.zoo), recipe);
  const std::string text = dump_recipe(recipe);  // members may have been added
  if (!fs::exists(path) || base::read_file(path) != text) base::write_durable(path, text);
}

}  // namespace gtrain::train
