#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/cli/command.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/data/generate.h"
#include "gtrain/data/open.h"
#include "gtrain/data/report.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/recipe_suggestion.h"

namespace gtrain::cli {

namespace {

struct DataArguments {
  std::string data, out;
  std::vector<std::string> overrides;

  data::DatasetOptions options() const { return train::parse_dataset(data, overrides); }
};

CLI::App* add_look(CLI::App* parent, const char* name, const char* doc,
                   const std::shared_ptr<DataArguments>& a) {
  CLI::App* command = parent->add_subcommand(name, doc);
  command->add_option("DATA", a->data, "folder, .h5 store or name")->required();
  command->add_option("OVERRIDES", a->overrides, "KEY=VALUE, such as dataset.task=graph_binary");
  return command;
}

std::string verify(const DataArguments& a) {
  const std::filesystem::path path = a.data;
  const bool store = path.extension() == ".h5";
  if (store && !a.overrides.empty()) {
    throw base::RecipeError("data verify " + a.data + ": a store is checked as it is; " +
                            a.overrides.front() + " has no meaning beside it");
  }
  return data::verify_store(store ? path : data::open_dataset(a.options()).store);
}

// Library text with exactly one newline at its end.
void print(const std::string& text) {
  std::cout << text << (text.empty() || text.back() != '\n' ? "\n" : "");
}

void add_generate(CLI::App* parent) {
  struct Arguments {
    std::string name, out;
    data::GenerateOptions options;
  };
  auto a = std::make_shared<Arguments>();
  CLI::App* command = parent->add_subcommand("generate", "write a synthetic OGB-style folder");
  const std::vector<std::string_view> names = data::generators();
  command->add_option("NAME", a->name, train::joined(names))->required();
  command->add_option("DIR", a->out, "folder to write; must not exist")->required();
  command->add_option("--graphs", a->options.graphs, "how many (default: as published)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000000}).description(""))
      ->type_name("N");
  command->add_option("--seed", a->options.seed, "of the random numbers (default: 0)")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53).description(""))
      ->type_name("SEED");
  command->callback([a] {
    const ThreadPool pool(0);
    data::generate(a->name, a->options, a->out);
    std::cout << a->out << "\n";
  });
}

}  // namespace

void add_data_commands(CLI::App& program) {
  CLI::App* parent =
      program.add_subcommand("data", "import, look at, verify and generate data sets");
  parent->require_subcommand(1);
  auto a = std::make_shared<DataArguments>();

  CLI::App* importer = parent->add_subcommand("import", "OGB-style folder to an HDF5 store");
  importer->add_option("DIR", a->data, "OGB-style folder, or the name of a data set")->required();
  importer->add_option("OUT", a->out, "store to write (.h5)")->required();
  importer->add_option("OVERRIDES", a->overrides, "KEY=VALUE, such as dataset.task=graph_binary");
  importer->callback([a] {
    const ThreadPool pool(0);
    data::import_folder(a->options(), a->out);
  });

  add_look(parent, "info", "card, task, columns and splits", a)->callback([a] {
    const ThreadPool pool(0);
    print(data::describe_info(a->options()));
  });
  add_look(parent, "stats", "counts and distributions", a)->callback([a] {
    const ThreadPool pool(0);
    print(data::describe_stats(a->options()));
  });
  add_look(parent, "verify", "check every hash of a store", a)->callback([a] {
    const ThreadPool pool(0);
    print(verify(*a));
  });
  add_generate(parent);
}

}  // namespace gtrain::cli
