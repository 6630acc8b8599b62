#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/cli/command.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/data/open.h"
#include "gtrain/models/zoo.h"
#include "gtrain/train/build.h"
#include "gtrain/train/likeness.h"
#include "gtrain/train/origin.h"
#include "gtrain/train/recipe_describe.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/recipe_tree.h"
#include "gtrain/train/run.h"
#include "gtrain/train/startable.h"

namespace gtrain::cli {

namespace {

namespace fs = std::filesystem;

// What there is to say of a good recipe: whether it fits its data, or generated ones like them.
std::string fit(const train::Recipe& recipe) {
  std::error_code ignored;
  if (!recipe.dataset.path.empty() && !fs::exists(recipe.dataset.path, ignored)) {
    return "ok (data set not found here, so not checked against it)";
  }
  const train::Likeness likeness = train::open_or_generate(recipe.dataset);
  const data::Opened& opened = likeness.opened;
  const bool begins = recipe.init && train::origin_exists(*recipe.init);
  train::check_data(recipe, opened);
  const std::int64_t parameters = train::check_startable(
      train::with_budget(recipe, opened), opened,
      begins ? train::origin_tensors(*recipe.init, *recipe.zoo) : train::NamedTensors(), begins);
  if (likeness.generated) {
    return fmt::format(
        "ok, {} parameters (data set not found here: checked against generated data "
        "in the likeness of its card)",
        parameters);
  }
  const bool single = opened.dataset.single_graph();
  return fmt::format("ok, {} parameters, {} {}", parameters,
                     single ? opened.dataset.nodes() : opened.dataset.graphs(),
                     single ? "nodes" : "graphs");
}

// Recipes and overrides stand together on the line: what holds a '=' and is no file is an override.
void validate(const std::vector<std::string>& arguments, const models::Zoo& zoo) {
  std::vector<std::string> files, overrides;
  std::error_code ignored;
  for (const std::string& argument : arguments) {
    const bool file = argument.find('=') == std::string::npos || fs::exists(argument, ignored);
    (file ? files : overrides).push_back(argument);
  }
  if (files.empty()) throw base::RecipeError("validate: no recipe given");
  std::string problems;
  bool data_alone = true;
  for (const std::string& file : files) {
    try {  // one bad recipe must not hide the problems of the next
      const train::Recipe recipe = train::load_recipe(train::find_recipe(file), overrides, zoo);
      const std::string verdict = fit(recipe);
      std::cout << file << ": " << verdict << "\n";
    } catch (const base::Error& e) {
      if (e.code() != base::ExitCode::kRecipe && e.code() != base::ExitCode::kData) throw;
      problems += (problems.empty() ? "" : "\n") + std::string(e.what());
      data_alone = data_alone && e.code() == base::ExitCode::kData;
    }
  }
  if (problems.empty()) return;
  if (data_alone) throw base::DataError(problems);
  throw base::RecipeError(problems);
}

void add_validate(CLI::App& program, const Session& session) {
  CLI::App* command = program.add_subcommand(
      "validate", "check recipes, and that they fit their data where it is present");
  auto arguments = std::make_shared<std::vector<std::string>>();
  command->add_option("RECIPES", *arguments, "recipe files or shipped names, and KEY=VALUE")
      ->required();
  command->callback([arguments, &session] {
    const ThreadPool pool(0);
    validate(*arguments, session.zoo);
  });
}

void add_plan(CLI::App& program, const Session& session) {
  CLI::App* command = program.add_subcommand(
      "plan", "parameters, FLOPs, memory and time per epoch before starting");
  struct Arguments {
    std::string recipe;
    std::vector<std::string> overrides;
    int threads = 0;
  };
  auto a = std::make_shared<Arguments>();
  command->add_option("RECIPE", a->recipe, "recipe file or shipped name")->required();
  command->add_option("OVERRIDES", a->overrides, "KEY=VALUE, such as model.width=128");
  command->add_option("--threads", a->threads, "threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N");
  command->callback([a, &session] {
    const train::Recipe recipe =
        train::load_recipe(train::find_recipe(a->recipe), a->overrides, session.zoo);
    const ThreadPool pool(a->threads);
    std::cout << train::plan(recipe);
  });
}

void add_explain(CLI::App& program, const Session& session) {
  CLI::App* command = program.add_subcommand(
      "explain", "keys of a part of a recipe: type, default, bounds, meaning");
  struct Arguments {
    std::string name;
    bool markdown = false, schema = false;
  };
  auto a = std::make_shared<Arguments>();
  command->add_option("NAME", a->name, "gps, adamw, random_walk, train, train.schedule, …");
  command->add_flag("--markdown", a->markdown, "all of it as Markdown (docs/recipe.md)");
  command->add_flag("--schema", a->schema, "all of it as a JSON Schema for editors");
  command->callback([a, &session] {
    const models::Zoo& zoo = session.zoo;
    if (a->markdown) {
      std::cout << train::recipe_markdown(zoo);
    } else if (a->schema) {
      std::cout << train::recipe_schema(zoo);
    } else if (!a->name.empty()) {
      std::cout << train::explain(a->name, zoo);
    } else {
      std::cout << train::explain("recipe", zoo) << "\ngtrain explain NAME knows:";
      for (const std::string& name : train::explained_names(zoo)) std::cout << " " << name;
      std::cout << "\n";
    }
  });
}

void add_recipe(CLI::App& program) {
  CLI::App* recipe = program.add_subcommand("recipe", "shipped recipes as a start");
  recipe->require_subcommand(1);
  struct Arguments {
    std::string name, file;
  };
  auto a = std::make_shared<Arguments>();
  CLI::App* show = recipe->add_subcommand("show", "print a recipe");
  show->add_option("NAME", a->name, "shipped name, such as zinc/gps")->required();
  show->callback([a] { std::cout << base::read_file(train::find_recipe(a->name)); });

  CLI::App* copy = recipe->add_subcommand("copy", "copy a recipe to edit");
  copy->add_option("NAME", a->name, "shipped name, such as zinc/gps")->required();
  copy->add_option("FILE", a->file, "where to (default: <name>.yaml here; never overwritten)");
  copy->callback([a] {
    const fs::path from = train::find_recipe(a->name);
    const fs::path to = a->file.empty() ? train::recipe_name(from) + ".yaml" : a->file;
    std::error_code ignored;
    if (fs::exists(to, ignored)) {
      throw base::RecipeError(to.string() + ": exists already; name another FILE");
    }
    base::write_durable(to, base::read_file(from));
    std::cout << to.string() << "\n";
  });
}

}  // namespace

void add_recipe_commands(CLI::App& program, Session& session) {
  add_validate(program, session);
  add_plan(program, session);
  add_explain(program, session);
  add_recipe(program);
}

}  // namespace gtrain::cli
