// The steps between a recipe's `dataset:` section and a store: where the files are, what card and
// recipe together say about them, and the import itself. open_dataset is these steps plus a cache.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "gtrain/data/card.h"
#include "gtrain/data/open.h"
#include "gtrain/data/pack.h"

namespace gtrain::data {

struct Located {
  std::filesystem::path path;  // OGB-style folder or .h5
  std::optional<Card> card;    // card.yaml in the folder, else the catalogue's card of the name
};

// Throws base::RecipeError when neither path nor name leads anywhere, with the places looked at.
Located locate(const DatasetOptions& options);

// Recipe over card. Throws base::RecipeError naming every key that has to be said: task, metric,
// add_inverse_edge.
PackRules rules_for(const Located& located, const DatasetOptions& options);

// Where the import of a folder is kept: <cache>/<name>-<key>.h5, the key made of the rules, the
// importer's version and names, sizes, times (and content of small ones) of the raw files.
std::filesystem::path cached_store(const std::filesystem::path& folder, const PackRules& rules);

// Folder -> store, durably; several processes may do it at once. Warns when the counts differ from
// the card's.
void import_store(const Located& located, const PackRules& rules,
                  const std::filesystem::path& store);

}  // namespace gtrain::data
