// Where data sets are found, and the cards that ship with the program. One search order for all:
// folders named datasets/ (the current directory, then the one beside the shipped recipes), the
// folders listed in $GTRAIN_DATA, ~/.cache/gtrain.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/data/card.h"

namespace gtrain::data {

// Whether the program's own datasets/ must be there. Data given by path does without: then a
// missing one is left out instead of throwing base::DataError (base::resource_root).
enum class Shipped { kNeeded, kWelcome };

// Existing folders, in search order, without repetition.
std::vector<std::filesystem::path> dataset_folders(Shipped shipped = Shipped::kNeeded);

// $GTRAIN_CACHE, else ~/.cache/gtrain. Not created.
std::filesystem::path cache_folder();

// datasets/<name>/card.yaml of the first folder that has it. Names are single path components of
// [A-Za-z0-9._-]; others throw base::RecipeError.
std::optional<Card> find_card(const std::string& name, Shipped shipped = Shipped::kNeeded);

// The folder (with raw/) or .h5 store of a data set: <folder>/<name>, also under the further names
// of its card and under OGB's spelling with underscores.
std::optional<std::filesystem::path> find_data(const std::string& name,
                                               const std::optional<Card>& card);

struct Listing {
  Card card;
  std::optional<std::filesystem::path> data;  // where it lies, when it does
};
std::vector<Listing> list_datasets();  // every card found, by name

// One line a data set, for `gtrain list datasets`.
std::string describe_catalog();

}  // namespace gtrain::data
