#include "table_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/train/recipe_decoder.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/recipe_tree.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

constexpr double kCount = 1e9;

struct RowOptions {
  std::string label, recipe, against;
  std::vector<std::string> set;
  std::vector<std::int64_t> seeds, folds;
  std::optional<BudgetOptions> budget;
  std::optional<bool> prune;
  std::optional<PublishedOptions> published;

  std::string name() const {
    if (!label.empty()) return label;
    return fmt::format("{}{}{}", recipe, set.empty() ? "" : " ", fmt::join(set, " "));
  }
  void fields(base::FieldVisitor& f) {
    f({.key = "label", .doc = "name of the row; its recipe and changes when absent"}, label);
    f({.key = "recipe", .doc = "path or shipped name", .required = true}, recipe);
    f({.key = "set", .doc = "changes KEY=VALUE"}, set);
    f({.key = "seeds", .doc = "the table's or the recipe's when absent", .min = 0, .max = kCount},
      seeds);
    f({.key = "folds", .doc = "the recipe's when absent", .min = 0, .max = 1e4}, folds);
    f({.key = "budget", .doc = "the table's when absent"}, budget);
    f({.key = "published", .doc = "the recipe's when absent"}, published);
    f({.key = "against", .doc = "label of the row to pair with, by seed and fold"}, against);
    f({.key = "prune",
       .doc = "cut what the first finished run switched off, and measure inference before and "
              "after; the table's when absent"},
      prune);
    const auto distinct = [](const std::vector<std::int64_t>& values) {
      return std::set<std::int64_t>(values.begin(), values.end()).size() == values.size();
    };
    f.require(distinct(seeds), "seeds", "names a seed twice");
    f.require(distinct(folds), "folds", "names a fold twice");
  }
};

struct FileOptions {
  std::string title, metric, split = "test";
  std::vector<std::int64_t> seeds;
  std::vector<std::string> set;
  BudgetOptions budget;
  bool prune = false;
  std::vector<RowOptions> rows;

  void fields(base::FieldVisitor& f) {
    f({.key = "title", .doc = "heading of the table"}, title);
    f({.key = "metric", .doc = "the data set's when absent"}, metric);
    f({.key = "split", .doc = "what is reported", .one_of = {"train", "valid", "test"}}, split);
    f({.key = "seeds", .doc = "of rows that say none", .min = 0, .max = kCount}, seeds);
    f({.key = "set", .doc = "changes KEY=VALUE to every row"}, set);
    f({.key = "budget", .doc = "limit on the training of every row"}, budget);
    f({.key = "prune", .doc = "of rows that say nothing: prune, and measure inference"}, prune);
    f({.key = "rows", .doc = "what is compared", .required = true}, rows);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      f.require(seen.insert(rows[i].name()).second, fmt::format("rows[{}].label", i),
                fmt::format("{}: the label of another one before it", rows[i].name()));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string& other = rows[i].against;
      f.require(other.empty() || (seen.count(other) == 1 && other != rows[i].name()),
                fmt::format("rows[{}].against", i), fmt::format("{}: no other row", other));
    }
  }
};

// A change KEY=VALUE and where it stands.
struct Change {
  std::string text, key;
  Place place;
};

std::vector<Change> changes_in(const RecipeNode& map, const std::string& path) {
  std::vector<Change> out;
  const RecipeEntry* set = map.find("set");
  if (set == nullptr) return out;
  for (const RecipeNode& item : set->value.items) {
    if (item.kind != RecipeNode::Kind::kScalar) continue;  // the decoder has refused it
    out.push_back({item.text, fmt::format("{}set[{}]", path, out.size()), item.place});
  }
  return out;
}

std::vector<std::string> texts(const std::vector<Change>& changes) {
  std::vector<std::string> out;
  for (const Change& c : changes) out.push_back(c.text);
  return out;
}

// What the published value of a recipe is about, besides how it was trained.
std::string subject(Recipe recipe) {
  recipe.train = {};
  recipe.select = "best";
  recipe.dataset.batch_size = 1;
  recipe.dataset.max_nodes = 0;
  recipe.dataset.fold = -1;
  recipe.dataset.path.clear();
  return recipe_hash(std::move(recipe));
}

class Reader {
 public:
  Reader(const fs::path& path, const std::vector<std::string>& overrides, const models::Zoo& zoo)
      : path_(path), overrides_(overrides), zoo_(zoo), problems_(path.string(), overrides) {}

  Table read() {
    RecipeNode root = parse_tree(base::read_file(path_), -1, problems_);
    for (std::size_t i = 0; i < overrides_.size(); ++i) {
      apply_override(root, overrides_[i], static_cast<int>(i), problems_);
    }
    FileOptions options;
    decode(
        root, [&](base::FieldVisitor& f) { options.fields(f); }, problems_);
    Table table{options.title, options.metric, options.split, {}};
    if (table.title.empty()) table.title = path_.stem().string();
    const RecipeEntry* rows = root.find("rows");
    const std::size_t count =
        rows == nullptr ? 0 : std::min(rows->value.items.size(), options.rows.size());
    if (rows != nullptr && count == 0) problems_.add(rows->place, "rows", "names no row");
    for (std::size_t i = 0; i < count; ++i) {
      const RecipeNode& node = rows->value.items[i];
      const RecipeEntry* recipe = node.find("recipe");
      if (recipe == nullptr) continue;
      const std::string path = fmt::format("rows[{}].", i);
      std::vector<Change> changes = changes_in(root, "");
      for (Change& c : changes_in(node, path)) changes.push_back(std::move(c));
      read_row(options, options.rows[i], {recipe->value.place, path + "recipe"}, changes, table);
    }
    raise_if_any();
    return table;
  }

 private:
  struct Spot {
    Place place;
    std::string key;
  };

  void read_row(const FileOptions& options, const RowOptions& row, const Spot& spot,
                const std::vector<Change>& changes, Table& table) {
    fs::path found;
    try {
      const fs::path beside = path_.parent_path() / row.recipe;
      std::error_code ignored;
      found = fs::is_regular_file(beside, ignored) ? beside : find_recipe(row.recipe);
      const Recipe before = load_recipe(found, {}, zoo_);
      TableRow out{row.name(), recipe_name(found), load_recipe(found, texts(changes), zoo_),
                   {},         row.against,        row.prune.value_or(options.prune),
                   false};
      const BudgetOptions budget = row.budget.value_or(options.budget);
      if (out.recipe.train.steps > 0 && budget.epochs > 0 && budget.steps == 0) {
        problems_.add(spot.place, spot.key,
                      "the recipe counts steps; the budget has to say steps, too");
      }
      repeat(out.recipe, row, options);
      const std::string asked = recipe_hash(out.recipe);
      shorten(out.recipe, budget);
      out.published = row.published;
      if (!out.published && subject(before) == subject(out.recipe)) {
        out.published = before.published;
      }
      Recipe own = before;
      own.dataset.path = out.recipe.dataset.path;
      own.dataset.fold = out.recipe.dataset.fold;
      const std::string meant = row.published ? asked : recipe_hash(own);
      out.retrained = recipe_hash(out.recipe) != meant;
      table.rows.push_back(std::move(out));
    } catch (const base::RecipeError& e) {
      take(e.what(), found.string() + ":", spot, changes);
    }
  }

  static void repeat(Recipe& recipe, const RowOptions& row, const FileOptions& options) {
    if (!row.seeds.empty()) {
      recipe.repeat.seeds = row.seeds;
    } else if (!options.seeds.empty()) {
      recipe.repeat.seeds = options.seeds;
    }
    if (row.folds.empty()) return;
    recipe.repeat.folds = row.folds;
    recipe.dataset.fold = -1;
  }

  // Problems of a recipe: what its changes brought stands where the table says them, the rest
  // where the recipe does.
  void take(const std::string& text, const std::string& origin, const Spot& spot,
            const std::vector<Change>& changes) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const auto change = std::find_if(changes.begin(), changes.end(), [&](const Change& c) {
        return line.starts_with(fmt::format("command line: {}: ", c.text));
      });
      if (change != changes.end()) {
        problems_.add(change->place, change->key,
                      line.substr(std::string("command line: ").size()));
      } else if (origin.size() > 1 && line.starts_with(origin)) {
        if (std::find(others_.begin(), others_.end(), line) == others_.end()) {
          others_.push_back(line);
        }
      } else {
        problems_.add(spot.place, spot.key, line);
      }
    }
  }

  void raise_if_any() const {
    if (others_.empty()) return problems_.raise_if_any();
    throw base::RecipeError(fmt::format("{}{}{}", problems_.text(), problems_.empty() ? "" : "\n",
                                        fmt::join(others_, "\n")));
  }

  fs::path path_;
  std::vector<std::string> overrides_;
  const models::Zoo& zoo_;
  Problems problems_;
  std::vector<std::string> others_;  // whole lines of the recipes' own
};

// From `before` units of training to `now`.
void shrink(ScheduleOptions& schedule, std::int64_t before, std::int64_t now) {
  std::visit(
      [&](auto& s) {
        if constexpr (requires { s.warmup; }) s.warmup = s.warmup * now / before;
        if constexpr (requires { s.milestones; }) {
          for (std::int64_t& m : s.milestones) m = std::max<std::int64_t>(1, m * now / before);
        }
      },
      schedule);
}

// Rules act in the same part of a shorter training.
void shrink(sparsify::Timing& timing, std::int64_t before, std::int64_t now) {
  const bool gradual = timing.end > timing.start;
  timing.start = timing.start * now / before;
  timing.end = std::max(timing.start + (gradual ? 1 : 0), timing.end * now / before);
  timing.every = std::max<std::int64_t>(1, timing.every * now / before);
}

}  // namespace

void BudgetOptions::fields(base::FieldVisitor& f) {
  f({.key = "epochs", .doc = "most epochs; 0: as the recipe says", .min = 0, .max = kCount},
    epochs);
  f({.key = "steps", .doc = "most updates of recipes that count them", .min = 0, .max = 1e12},
    steps);
  f({.key = "hours", .doc = "most hours of training a run", .min = 0, .max = 1e5}, hours);
}

void shorten(Recipe& recipe, const BudgetOptions& budget) {
  TrainOptions& train = recipe.train;
  std::int64_t& asked = train.steps > 0 ? train.steps : train.epochs;
  const std::int64_t limit = train.steps > 0 ? budget.steps : budget.epochs;
  if (limit > 0 && limit < asked) {
    shrink(train.schedule, asked, limit);
    if (recipe.sparsify) {
      for (sparsify::Rule& rule : recipe.sparsify->rules) {
        shrink(sparsify::timing_of(rule), asked, limit);
      }
    }
    asked = limit;
  }
  double& hours = train.stop.hours;
  if (budget.hours > 0.0) hours = hours > 0.0 ? std::min(hours, budget.hours) : budget.hours;
}

Table read_table(const fs::path& path, const std::vector<std::string>& overrides,
                 const models::Zoo& zoo) {
  return Reader(path, overrides, zoo).read();
}

}  // namespace gtrain::train
