#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/cli/command.h"
#include "gtrain/cli/interrupt.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/train/predict_file.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/report.h"
#include "gtrain/train/run.h"
#include "not_empty.h"

namespace gtrain::cli {

namespace {

struct RunArguments {
  std::string recipe, run, device = "cpu", seeds, split = "test", data, out;
  std::vector<std::string> overrides;
  int threads = 0;
  std::int64_t profile = 0;
  bool resume = false, dry_run = false, quiet = false;
};

void add_threads(CLI::App* command, RunArguments& a) {
  command->add_option("--threads", a.threads, "threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N");
}

void add_text(CLI::App* command, const char* flag, std::string& value, const char* doc,
              const char* type) {
  command->add_option(flag, value, doc)->check(not_empty())->type_name(type);
}

train::RunOptions run_options(const RunArguments& a, const models::Zoo& zoo) {
  train::RunOptions options;
  options.zoo = &zoo;
  options.directory = a.run;
  options.device = a.device;
  options.resume = a.resume;
  options.dry_run = a.dry_run;
  options.profile_steps = a.profile;
  options.quiet = a.quiet;
  // Nothing is kept that an interruption could save: the signal does what it always does.
  if (!a.dry_run && a.profile == 0) options.interrupt = catch_interrupts();
  return options;
}

int train_recipe(const RunArguments& a, const models::Zoo& zoo) {
  std::vector<std::string> overrides = a.overrides;
  if (!a.seeds.empty()) {
    const bool range = a.seeds.find("..") != std::string::npos || a.seeds.front() == '[';
    overrides.push_back("repeat.seeds=" + (range ? a.seeds : "[" + a.seeds + "]"));
  }
  const std::filesystem::path path = train::find_recipe(a.recipe);
  const train::Recipe recipe = train::load_recipe(path, overrides, zoo);
  train::RunOptions options = run_options(a, zoo);
  options.recipe_name = train::recipe_name(path);
  const ThreadPool pool(a.threads);
  return static_cast<int>(train::run(recipe, options).code);
}

// A trained model stays what it is: only what it is shown can be changed.
void check_overrides(const RunArguments& a) {
  for (const std::string& text : a.overrides) {
    const std::string key = text.substr(0, text.find('='));
    const bool own =
        key.starts_with("dataset.transform") || key.starts_with("dataset.target_scaling");
    if (key.starts_with("dataset.") && !own) continue;
    throw base::RecipeError(fmt::format(
        "command line: {}: cannot be changed of a trained model; expected a key of dataset other "
        "than transform and target_scaling, such as dataset.path=DIR",
        text));
  }
}

// The data set of a run, with other data in its place; nothing where the run's own is meant.
std::optional<data::DatasetOptions> other_data(const RunArguments& a, const models::Zoo& zoo) {
  check_overrides(a);
  if (a.data.empty() && a.overrides.empty()) return std::nullopt;
  const std::filesystem::path recipe = std::filesystem::path(a.run) / "recipe.yaml";
  std::error_code ignored;
  if (!std::filesystem::exists(recipe, ignored)) {
    throw base::DataError(
        fmt::format("{}: not a run directory; expected recipe.yaml in it", a.run));
  }
  data::DatasetOptions dataset = train::load_recipe(recipe, a.overrides, zoo).dataset;
  if (!a.data.empty()) train::point_dataset(dataset, a.data);
  return dataset;
}

void add_data_options(CLI::App* command, RunArguments& a) {
  command->add_option("RUN", a.run, "run directory")->required();
  command->add_option("OVERRIDES", a.overrides, "KEY=VALUE, such as dataset.path=DIR");
  add_text(command, "--data", a.data, "folder, .h5 store or name (default: the run's own)", "DATA");
  command->add_option("--split", a.split, "train, valid, test or all (default: test)")
      ->check(CLI::IsMember({"train", "valid", "test", "all"}).description(""))
      ->type_name("SPLIT");
  add_threads(command, a);
}

void add_train(CLI::App& program, Session& session) {
  CLI::App* command = program.add_subcommand("train", "train what a recipe describes");
  auto a = std::make_shared<RunArguments>();
  command->add_option("RECIPE", a->recipe, "recipe file, or a shipped name such as zinc/gps")
      ->required();
  command->add_option("OVERRIDES", a->overrides, "KEY=VALUE, such as train.epochs=10");
  add_text(command, "--run", a->run, "run directory (default: runs/<recipe name>-<n>)", "DIR");
  command->add_flag("--resume", a->resume,
                    "go on in --run, or in the newest runs/<recipe name>-<n>");
  command->add_option("--device", a->device, "device (default: cpu)")->type_name("DEVICE");
  add_threads(command, *a);
  add_text(command, "--seeds", a->seeds, "seeds to repeat with: 0..9 or 0,1,2", "SEEDS");
  command->add_flag("--dry-run", a->dry_run, "two steps, nothing is kept");
  command->add_option("--profile", a->profile, "measure this many steps")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000000}).description(""))
      ->type_name("STEPS");
  command->add_flag("--quiet", a->quiet, "no progress on the terminal");
  command->callback([a, &session] { session.code = train_recipe(*a, session.zoo); });
}

void add_resume(CLI::App& program, Session& session) {
  CLI::App* command = program.add_subcommand("resume", "go on from the last state that verifies");
  auto a = std::make_shared<RunArguments>();
  command->add_option("RUN", a->run, "run directory")->required();
  command->add_option("--device", a->device, "device (default: cpu)")->type_name("DEVICE");
  add_threads(command, *a);
  command->add_flag("--quiet", a->quiet, "no progress on the terminal");
  command->callback([a, &session] {
    const train::RunOptions options = run_options(*a, session.zoo);
    const ThreadPool pool(a->threads);
    session.code = static_cast<int>(train::resume(a->run, options).code);
  });
}

void add_eval(CLI::App& program, const Session& session) {
  CLI::App* command = program.add_subcommand("eval", "metrics of a trained model, as JSON");
  auto a = std::make_shared<RunArguments>();
  add_data_options(command, *a);
  command->callback([a, &session] {
    const ThreadPool pool(a->threads);
    const auto data = other_data(*a, session.zoo);
    std::cout << train::evaluate(a->run, a->split, data ? &*data : nullptr, session.zoo) << "\n";
  });
}

// A file, or the name of one that is missing; else a run directory.
bool is_exported(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  return std::filesystem::exists(status) ? !std::filesystem::is_directory(status)
                                         : path.extension() == ".pt";
}

void add_predict(CLI::App& program, const Session& session) {
  CLI::App* command =
      program.add_subcommand("predict", "raw outputs of a run or an exported file, as CSV");
  auto a = std::make_shared<RunArguments>();
  add_data_options(command, *a);
  command->get_option("RUN")->description("run directory, or a file that gtrain export wrote");
  command->add_option("--out", a->out, "file to write; .gz compresses")
      ->required()
      ->check(not_empty())
      ->type_name("F.csv[.gz]");
  command->callback([a, &session] {
    const ThreadPool pool(a->threads);
    if (is_exported(a->run)) {
      check_overrides(*a);
      train::predict_file(a->run, {a->data, a->overrides, a->split}, a->out);
      return;
    }
    const auto data = other_data(*a, session.zoo);
    train::predict(a->run, data ? &*data : nullptr, a->split, a->out, session.zoo);
  });
}

void add_report(CLI::App& program) {
  CLI::App* command = program.add_subcommand("report", "write a run's report.html again");
  auto runs = std::make_shared<std::vector<std::string>>();
  command->add_option("RUNS", *runs, "run directories")->required();
  command->callback([runs] {
    for (const std::string& run : *runs) {
      train::write_report(run);
      std::cout << (std::filesystem::path(run) / "report.html").string() << "\n";
    }
  });
}

}  // namespace

void add_run_commands(CLI::App& program, Session& session) {
  add_train(program, session);
  add_resume(program, session);
  add_eval(program, session);
  add_predict(program, session);
  add_report(program);
}

}  // namespace gtrain::cli
