#include "gtrain/train/recipe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/resource.h"
#include "gtrain/train/recipe_decoder.h"
#include "gtrain/train/recipe_suggestion.h"
#include "gtrain/train/recipe_writer.h"

namespace gtrain::train {

namespace {

namespace fs = std::filesystem;

constexpr const char* kTables = "tables";  // recipes/tables/ names rows of tables, not recipes

std::string read_recipe(const fs::path& path) {
  std::error_code ignored;
  std::ifstream in(path, std::ios::binary);
  if (!in || fs::is_directory(path, ignored)) {
    throw base::RecipeError(path.string() + ": cannot be read as a recipe file");
  }
  std::string text(kMaxRecipeBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

// A name below recipes/: no absolute path and no way out.
bool shippable(const std::string& name) {
  const bool plain = name.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789._/-") == std::string::npos;
  return !name.empty() && plain && name.front() != '/' && name.find("..") == std::string::npos;
}

RecipeNode changed_tree(const std::string& yaml, const std::vector<std::string>& overrides,
                        Problems& problems) {
  RecipeNode root = parse_tree(yaml, -1, problems);
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    apply_override(root, overrides[i], static_cast<int>(i), problems);
  }
  return root;
}

}  // namespace

std::vector<std::string> shipped_recipes() {
  std::vector<std::string> names;
  const fs::path root = base::resource_root() / "recipes";
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".yaml") continue;
    const fs::path name = fs::relative(entry.path(), root).replace_extension();
    if (*name.begin() != kTables) names.push_back(name.generic_string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_recipe(const std::string& name_or_path) {
  std::error_code ignored;
  if (fs::exists(name_or_path, ignored) && !fs::is_directory(name_or_path, ignored)) {
    return name_or_path;
  }
  const fs::path root = base::resource_root() / "recipes";
  if (shippable(name_or_path)) {
    const fs::path shipped = root / (name_or_path + ".yaml");
    if (fs::is_regular_file(shipped, ignored)) return shipped;
  }
  const std::vector<std::string> names = shipped_recipes();
  const std::vector<std::string_view> views(names.begin(), names.end());
  throw base::RecipeError(
      fmt::format("{}: no such file, and no shipped recipe of that name{}; "
                  "shipped: {}",
                  name_or_path, did_you_mean(name_or_path, views), joined(views)));
}

std::string recipe_name(const fs::path& path) {
  std::error_code ignored;
  const fs::path full = fs::weakly_canonical(path, ignored);
  fs::path name = full.stem();
  fs::path folder = full.parent_path();
  // recipes/zinc/gps.yaml is zinc-gps, whatever tree it lies in.
  for (int i = 0; i < 3 && folder.has_filename(); ++i, folder = folder.parent_path()) {
    if (folder.filename() != "recipes") continue;
    name = fs::relative(full, folder, ignored).replace_extension();
    break;
  }
  std::string out = name.generic_string();
  for (char& c : out) {
    const bool kept = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
    if (!kept) c = '-';
  }
  return out.empty() ? "recipe" : out;
}

Recipe load_recipe(const fs::path& path, const std::vector<std::string>& overrides,
                   const models::Zoo& zoo) {
  return parse_recipe(read_recipe(path), path.string(), overrides, zoo);
}

Recipe parse_recipe(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides, const models::Zoo& zoo) {
  Problems problems(origin, overrides);
  const RecipeNode root = changed_tree(yaml, overrides, problems);
  Recipe recipe;
  recipe.zoo = &zoo;
  decode(
      root, [&](base::FieldVisitor& f) { recipe.fields(f); }, problems);
  problems.raise_if_any();
  return recipe;
}

Recipe parse_data_recipe(const std::string& yaml, const std::string& origin,
                         const std::vector<std::string>& overrides) {
  Problems problems(origin, overrides);
  RecipeNode root = changed_tree(yaml, overrides, problems);
  std::erase_if(root.entries, [](const RecipeEntry& entry) {
    return entry.key != "dataset" && entry.key != "encode";
  });
  Recipe recipe;
  decode(
      root,
      [&](base::FieldVisitor& f) {
        f({.key = "dataset"}, recipe.dataset);
        f({.key = "encode"}, recipe.encode);
      },
      problems);
  problems.raise_if_any();
  return recipe;
}

data::DatasetOptions parse_dataset(const std::string& path_or_name,
                                   const std::vector<std::string>& overrides) {
  Problems problems("command line", overrides);
  RecipeNode root;
  root.kind = RecipeNode::Kind::kMap;
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    apply_override(root, overrides[i], static_cast<int>(i), problems);
  }
  data::DatasetOptions options;
  point_dataset(options, path_or_name);
  decode(
      root, [&](base::FieldVisitor& f) { f({.key = "dataset"}, options); }, problems);
  problems.raise_if_any();
  return options;
}

void point_dataset(data::DatasetOptions& dataset, const std::string& path_or_name) {
  std::error_code ignored;
  const bool path = fs::exists(path_or_name, ignored) ||
                    path_or_name.find('/') != std::string::npos || path_or_name.ends_with(".h5");
  dataset.path = path ? path_or_name : std::string();
  if (!path) dataset.name = path_or_name;
}

std::string dump_recipe(Recipe recipe) {
  return to_yaml(to_tree([&](base::FieldVisitor& f) { recipe.fields(f); }));
}

std::string recipe_hash(Recipe recipe) {
  recipe.repeat = {};
  recipe.published.reset();
  return base::hash_hex(dump_recipe(std::move(recipe)));
}

}  // namespace gtrain::train
