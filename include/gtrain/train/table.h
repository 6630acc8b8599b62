// Benchmark tables: a file names rows, each a recipe with KEY=VALUE changes and seeds or folds;
// what is missing is trained as `gtrain train` would train it, one run after another, and the rows
// come out as mean +- unbiased deviation beside what was published. docs/tables.md has the keys.
//
// A run is counted only where recipe, content of the data set, numerics version and the weights of
// `init` are those of today: the name of its directory is a hash of them. Runs of before stay where
// they are and are shown as stale. Diverged and failed runs are listed, never averaged.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/models/zoo.h"

namespace gtrain::train {

struct TableOptions {
  std::filesystem::path runs;          // where its runs lie; empty: runs/tables/<name of the file>
  std::vector<std::string> overrides;  // KEY=VALUE of the table: "budget={epochs: 10}"
  std::string only;                    // label of the one row wanted; empty: all
  std::string format = "md";           // one of table_formats()
  bool dry = false;                    // say what would run, run nothing
  bool as_is = false;                  // the table of what is there, run nothing
  bool quiet = false;
  const std::atomic<int>* interrupt = nullptr;  // as RunOptions::interrupt
  const models::Zoo* zoo = &models::zoo();      // the models that its recipes may name
};

struct TableOutcome {
  // kOk; kInterrupted or kTerminated, the state being saved; else the code of the first row that
  // failed, kDiverged before others.
  base::ExitCode code = base::ExitCode::kOk;
  std::string text;  // empty when interrupted
};

const std::vector<std::string>& table_formats();  // md csv latex html json svg

// Path of a table given as a path or as a shipped name ("zoo"). RecipeError with near names.
std::filesystem::path find_table(const std::string& name_or_path);
std::vector<std::string> shipped_tables();  // sorted

// Throws base::RecipeError with every problem of the file and of the recipes it names, before
// anything is run; what goes wrong in one row later is that row's failure. The same command goes on
// after an interruption.
TableOutcome fill_table(const std::filesystem::path& file, const TableOptions& options);

}  // namespace gtrain::train
