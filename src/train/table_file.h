// The file of a table as a value: its rows with their recipes decoded, changed and shortened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/train/recipe.h"

namespace gtrain::train {

// A limit on what a recipe trains. Warm-up and milestones shrink with it, so that the schedule
// keeps its shape.
struct BudgetOptions {
  std::int64_t epochs = 0, steps = 0;
  double hours = 0.0;
  void fields(base::FieldVisitor& f);
};

struct TableRow {
  std::string label;
  std::string name;  // of the recipe, for directories: "zinc-gps"
  Recipe recipe;     // with the row's changes, seeds and folds
  // Of the row, else of its recipe where the row leaves model, encodings and data as they are.
  std::optional<PublishedOptions> published;
  std::string against;     // label of the row that this one is paired with; empty: none
  bool prune = false;      // cut the first finished run, and measure inference
  bool retrained = false;  // trained otherwise than what was published
};

struct Table {
  std::string title;
  std::string metric;  // empty: that of each row's data set
  std::string split;
  std::vector<TableRow> rows;
};

// `overrides`: KEY=VALUE of the table itself. Throws base::RecipeError with all problems of the
// table and of its rows' recipes.
Table read_table(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                 const models::Zoo& zoo = models::zoo());

// Cuts the recipe down; a limit above what it asks for changes nothing.
void shorten(Recipe& recipe, const BudgetOptions& budget);

}  // namespace gtrain::train
