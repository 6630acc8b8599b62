// The way in: from what a recipe or a command line names to a data set. Resolves names (datasets/,
// $GTRAIN_DATA, ~/.cache/gtrain) or paths (OGB-style folder, .h5 store), reads the card, imports
// once into the cache ($GTRAIN_CACHE, default ~/.cache/gtrain) and maps the store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/data/dataset.h"
#include "gtrain/data/transform.h"

namespace gtrain::data {

// The `dataset:` section of a recipe.
struct DatasetOptions {
  std::string name;
  std::string path;
  std::int64_t batch_size = 32;
  std::int64_t max_nodes = 0;
  std::string split;
  std::int64_t fold = -1;
  std::string features;
  std::int64_t degree_cap = 0;
  std::string target_scaling = "none";
  std::optional<bool> add_inverse_edge;
  std::optional<std::int64_t> clip_nodes;
  std::string task;
  std::string metric;
  std::vector<TransformOptions> transform;
  void fields(base::FieldVisitor& f);
};

struct Opened {
  Dataset dataset;
  std::filesystem::path
      store;                  // the .h5 the data set is mapped from; encodings are cached beside it
  std::string default_split;  // scheme to use when the recipe names none
};

// Throws base::RecipeError (what has to be said in the recipe) or base::DataError (what is wrong on
// disk). Notes on stderr when it imports.
Opened open_dataset(const DatasetOptions& options);

// The split a recipe selects: scheme `split` (or the default), `fold` k selecting `foldk`/`splitk`.
// Throws base::RecipeError where there is none such or the two name different ones.
const Split& select_split(const Opened& opened, const DatasetOptions& options);

// Number of folds the data set offers (splits named fold<k> or split<k>); 0 when none.
std::int64_t folds(const Dataset& dataset);

}  // namespace gtrain::data
