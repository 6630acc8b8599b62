// Recipes as files: strict YAML in, resolved YAML out. All problems of a file are reported at once,
// each with file:line:column, key, and a suggestion; duplicate keys, aliases, merge keys, unknown
// keys, several documents, depth > 32 and files > 1 MiB are refused.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/train/recipe.h"

namespace gtrain::train {

// Path of a recipe given as a path or as a shipped name ("zinc/gps"). RecipeError with near names.
std::filesystem::path find_recipe(const std::string& name_or_path);

// Names of the recipes that come with gtrain, sorted: "quickstart", "zinc/gps", …
std::vector<std::string> shipped_recipes();

// What a run directory is called after: "zinc-gps" for recipes/zinc/gps.yaml, else the file's stem.
std::string recipe_name(const std::filesystem::path& path);

// Decodes, applies `KEY=VALUE` overrides (dotted paths, list indices, YAML values), checks.
// Throws base::RecipeError carrying every problem.
// `zoo`: the models that it may name.
Recipe load_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                   const models::Zoo& zoo = models::zoo());
Recipe parse_recipe(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides,
                    const models::Zoo& zoo = models::zoo());

// Of a recipe the sections `dataset` and `encode` alone, whatever the others say: for files that
// bring their model along, which need not be one of a zoo.
Recipe parse_data_recipe(const std::string& yaml, const std::string& origin,
                         const std::vector<std::string>& overrides);

// The `dataset:` section that overrides alone describe ("dataset.task=graph_binary"); for commands
// that take a data set and no recipe. `path_or_name`: a path where one exists or it
// looks like one (a '/', .h5), else a name.
data::DatasetOptions parse_dataset(const std::string& path_or_name,
                                   const std::vector<std::string>& overrides);

// Points `dataset` at a path or a named set, by the same rule.
void point_dataset(data::DatasetOptions& dataset, const std::string& path_or_name);

// The resolved recipe, every key present; parse_recipe of it gives an equal recipe.
std::string dump_recipe(Recipe recipe);

// XXH3-128 of the resolved recipe without repeat and published: what a result depends on.
std::string recipe_hash(Recipe recipe);

}  // namespace gtrain::train
