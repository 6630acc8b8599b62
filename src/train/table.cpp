#include "gtrain/train/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "gtrain/base/log.h"
#include "gtrain/base/resource.h"
#include "gtrain/train/recipe_suggestion.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/serial_aten.h"
#include "table_file.h"
#include "table_inference.h"
#include "table_run.h"
#include "table_text.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

fs::path tables_folder() { return base::resource_root() / "recipes" / "tables"; }

// The rows wanted, in the order of the file.
std::vector<const TableRow*> choose(const Table& table, const std::string& only) {
  std::vector<const TableRow*> rows;
  std::vector<std::string_view> labels;
  for (const TableRow& row : table.rows) {
    labels.push_back(row.label);
    if (only.empty() || row.label == only) rows.push_back(&row);
  }
  if (rows.empty()) {
    throw base::RecipeError(fmt::format("--only {}: no such row{}; rows: {}", only,
                                        did_you_mean(only, labels), joined(labels)));
  }
  return rows;
}

// The rows that these are paired with and that are not among them: read, but neither trained nor
// printed.
std::vector<const TableRow*> partners(const Table& table,
                                      const std::vector<const TableRow*>& chosen) {
  std::vector<const TableRow*> out;
  for (const TableRow& row : table.rows) {
    const bool named = std::any_of(chosen.begin(), chosen.end(),
                                   [&](const auto* c) { return c->against == row.label; });
    if (named && std::find(chosen.begin(), chosen.end(), &row) == chosen.end()) {
      out.push_back(&row);
    }
  }
  return out;
}

// What there is and what would run, a line a row.
std::string dry_text(std::span<const RowRuns> rows, const std::vector<TableRuns::Stale>& stale) {
  std::string out;
  std::size_t width = 0;
  for (const RowRuns& row : rows) width = std::max(width, row.label.size());
  for (const RowRuns& row : rows) {
    out += fmt::format("{:<{}}  ", row.label, width);
    if (const auto problem = row.problems.find(""); problem != row.problems.end()) {
      out += fmt::format("cannot run: {}\n", problem->second);
      continue;
    }
    std::map<RunState, std::vector<std::string>> by;
    for (const Member& m : row.members) by[state_of(row, m)].push_back(m.directory);
    const std::pair<RunState, const char*> said[] = {{RunState::kDone, "done"},
                                                     {RunState::kDiverged, "diverged"},
                                                     {RunState::kBegun, "goes on"},
                                                     {RunState::kMissing, "would run"}};
    std::vector<std::string> parts;
    for (const auto& [state, word] : said) {
      if (by.count(state) == 0) continue;
      parts.push_back(fmt::format("{}: {}", word, fmt::join(by[state], ", ")));
    }
    out += fmt::format("{}  ({})\n", fmt::join(parts, "; "), row.directory.string());
  }
  for (const TableRuns::Stale& s : stale) {
    out += fmt::format("stale: {}: {}: {}\n", s.label, s.directory.string(), s.reason);
  }
  return out;
}

bool stopped(base::ExitCode code) {
  return code == base::ExitCode::kInterrupted || code == base::ExitCode::kTerminated;
}

// The one of `rows` (RowRuns or RowFigures) that a row is paired with; nullptr: none.
template <class Row>
const Row* pair_of(const TableRow& row, const std::vector<Row>& rows) {
  if (row.against.empty()) return nullptr;
  const auto it =
      std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.label == row.against; });
  return it == rows.end() ? nullptr : &*it;
}

// Prunes and measures the rows that ask for it, with the rows they are paired with.
void measure(const std::vector<const TableRow*>& chosen, const std::vector<RowRuns>& rows,
             const TableOptions& options) {
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (options.interrupt != nullptr && *options.interrupt != 0) return;
    if (!chosen[i]->prune) continue;
    try {
      measure_inference(rows[i], pair_of(*chosen[i], rows), *options.zoo);
    } catch (const base::Error& e) {  // the table is whole without it
      base::warn(fmt::format("{}: inference is not measured: {}", rows[i].label, e.what()));
    }
  }
}

// Trains what is missing; the outcome's code is final where it was stopped.
base::ExitCode complete(const TableRuns& runs, std::span<RowRuns> rows,
                        const TableOptions& options) {
  base::ExitCode worst = base::ExitCode::kOk, first = base::ExitCode::kOk;
  for (RowRuns& row : rows) {
    const base::ExitCode code = runs.complete(row, options.interrupt, options.quiet);
    if (stopped(code)) return code;
    if (code != base::ExitCode::kOk) worst = code;
    if (first == base::ExitCode::kOk) first = row.code;
  }
  return worst != base::ExitCode::kOk ? worst : first;
}

}  // namespace

const std::vector<std::string>& table_formats() {
  static const std::vector<std::string> formats{"md", "csv", "latex", "html", "json", "svg"};
  return formats;
}

std::vector<std::string> shipped_tables() {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(tables_folder(), missing)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_table(const std::string& name_or_path) {
  std::error_code ignored;
  if (fs::is_regular_file(name_or_path, ignored)) return name_or_path;
  const std::vector<std::string> names = shipped_tables();
  if (std::find(names.begin(), names.end(), name_or_path) != names.end()) {
    return tables_folder() / (name_or_path + ".yaml");
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  throw base::RecipeError(
      fmt::format("{}: no such file, and no shipped table of that name{}; "
                  "shipped: {}",
                  name_or_path, did_you_mean(name_or_path, views), joined(views)));
}

TableOutcome fill_table(const fs::path& file, const TableOptions& options) {
  const SerialAten serial;
  base::set_quiet(options.quiet);
  const Table table = read_table(file, options.overrides, *options.zoo);
  const std::vector<const TableRow*> chosen = choose(table, options.only);
  const fs::path root =
      options.runs.empty() ? fs::path("runs") / "tables" / file.stem() : options.runs;
  TableRuns runs(root);
  std::vector<RowRuns> rows;
  for (const TableRow* row : chosen) rows.push_back(runs.runs_of(*row, table.metric));
  const std::vector<const TableRow*> beside = partners(table, chosen);
  for (const TableRow* row : beside) rows.push_back(runs.runs_of(*row, table.metric));
  const std::span<RowRuns> asked(rows.data(), chosen.size());
  const auto old = [&] {
    std::vector<TableRuns::Stale> stale = runs.stale(rows);
    // Runs of rows that were not asked for are not stale, only not looked at.
    if (!options.only.empty()) {
      std::erase_if(stale, [&](const auto& s) { return s.label != options.only; });
    }
    return stale;
  };
  if (options.dry) return {base::ExitCode::kOk, dry_text(asked, old())};
  TableOutcome outcome;
  if (!options.as_is) outcome.code = complete(runs, asked, options);
  if (stopped(outcome.code)) {
    base::note("interrupted; the same command goes on");
    return outcome;
  }
  if (!options.as_is) measure(chosen, rows, options);
  FilledTable filled{table.title, table.split, {}, {}};
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    filled.rows.push_back(figures_of(table, *chosen[i], rows[i]));
    filled.rows.back().inference = inference_of(rows[i], pair_of(*chosen[i], rows));
  }
  for (std::size_t i = 0; i < beside.size(); ++i) {
    filled.rows.push_back(figures_of(table, *beside[i], rows[chosen.size() + i]));
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const RowFigures* other = pair_of(*chosen[i], filled.rows);
    if (other != nullptr) filled.rows[i].paired = paired_of(filled.rows[i], *other);
  }
  filled.rows.resize(chosen.size());
  for (const TableRuns::Stale& s : old()) filled.stale.push_back(figures_of(table, s));
  outcome.text = table_text(filled, options.format);
  return outcome;
}

}  // namespace gtrain::train
