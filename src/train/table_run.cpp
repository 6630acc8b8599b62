#include "table_run.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <new>
#include <set>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/data/open.h"
#include "gtrain/train/metric.h"
#include "gtrain/train/origin.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/recipe_suggestion.h"
#include "gtrain/train/run.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAbout = "row.json";  // in a row's directory: label and key

std::int64_t numerics_version() { return versions().at("numerics").get<std::int64_t>(); }

// As train::run does: a run is looked at from other working directories, too.
void make_absolute(data::DatasetOptions& dataset) {
  if (dataset.path.empty()) return;
  dataset.path = fs::absolute(dataset.path).lexically_normal().string();
}

// The kernel's high-water mark is the process's; here each run counts from what it starts with.
void reset_peak_memory() {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;
}

std::vector<Member> all_members(const Recipe& recipe) {
  std::vector<Member> members = members_of(recipe);
  for (Member& m : members) {  // whatever their number, so that some can be added later
    m.directory = fmt::format("seed-{}", m.seed);
    if (m.fold >= 0) m.directory = fmt::format("fold-{}/{}", m.fold, m.directory);
  }
  return members;
}

base::ExitCode train_one(const RowRuns& row, const Member& member, const RunOptions& options) {
  Recipe recipe = recipe_of(row.recipe, member);
  recipe.published.reset();
  reset_peak_memory();
  return run(recipe, options).code;
}

void fail(RowRuns& row, const std::string& member, const base::ExitCode code,
          const std::string& what) {
  row.problems[member] = what;
  if (row.code == base::ExitCode::kOk) row.code = code;
  base::warn(fmt::format("{}{}{}: {}", row.label, member.empty() ? "" : ", ", member, what));
}

bool ends_all(base::ExitCode code) {
  return code == base::ExitCode::kInterrupted || code == base::ExitCode::kTerminated;
}

std::vector<std::string> results_below(const fs::path& directory) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename() != "result.json") continue;
    out.push_back(fs::relative(entry.path().parent_path(), directory).string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// A metric that no run of the recipe would report is known before hours of training.
void require_reported(const std::string& metric, const Recipe& recipe,
                      const data::DatasetInfo& info) {
  if (metric.empty()) return;
  std::vector<std::string_view> names{"loss"};
  const std::vector<Metric> reported = reported_metrics(info.metric, info.task);
  for (const Metric& m : reported) names.push_back(m.name);
  const auto* plateau = std::get_if<PlateauSchedule>(&recipe.train.schedule);
  if (plateau != nullptr) names.push_back(plateau->metric);
  if (std::find(names.begin(), names.end(), metric) != names.end()) return;
  throw base::RecipeError(fmt::format("metric: {}: no run would report it{}; reported: {}", metric,
                                      did_you_mean(metric, names), joined(names)));
}

std::string text_in(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

std::string reason_of(const Json& about, const std::vector<RowRuns>& rows) {
  const std::string label = text_in(about, "label");
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const RowRuns& r) { return r.label == label; });
  if (row == rows.end()) return "no row of that label";
  if (row->directory.empty()) return "data or weights cannot be opened to compare";
  if (text_in(about, "recipe_hash") != row->key.recipe_hash) return "the recipe has changed";
  if (text_in(about, "data_hash") != row->key.data_hash) return "the data have changed";
  if (text_in(about, "init_hash") != row->key.init_hash) return "the weights of init have changed";
  return fmt::format("of another numerics version; now {}", row->key.numerics);
}

}  // namespace

std::string RunKey::name() const {
  const std::string init = init_hash.empty() ? "" : " " + init_hash;
  return base::hash_hex(fmt::format("{} {} {}{}", recipe_hash, data_hash, numerics, init))
      .substr(0, 12);
}

const data::DatasetInfo& TableRuns::info_of(const Recipe& recipe) {
  Recipe section;
  section.dataset = recipe.dataset;
  section.dataset.batch_size = 1;
  section.dataset.max_nodes = 0;
  section.dataset.fold = -1;
  const std::string key = recipe_hash(section);
  auto it = infos_.find(key);
  if (it == infos_.end()) {
    it = infos_.emplace(key, data::open_dataset(recipe.dataset).dataset.info).first;
  }
  return it->second;
}

RowRuns TableRuns::runs_of(const TableRow& row, const std::string& metric) {
  RowRuns out;
  out.label = row.label;
  out.recipe = row.recipe;
  make_absolute(out.recipe.dataset);
  out.members = all_members(out.recipe);
  out.key = {recipe_hash(out.recipe), {}, numerics_version()};
  try {
    const data::DatasetInfo& info = info_of(out.recipe);
    require_reported(metric, out.recipe, info);
    out.key.data_hash = info.hash;
    if (out.recipe.init) out.key.init_hash = origin_hash(*out.recipe.init, *out.recipe.zoo);
    out.directory = root_ / fmt::format("{}-{}", row.name, out.key.name());
  } catch (const base::Error& e) {  // the other rows can still be filled
    fail(out, "", e.code(), e.what());
  }
  return out;
}

RunState state_of(const RowRuns& row, const Member& member) {
  if (row.directory.empty()) return RunState::kMissing;
  const fs::path directory = row.directory / member.directory;
  const fs::path path = directory / "result.json";
  if (!fs::exists(path)) {
    return fs::exists(directory / "recipe.yaml") ? RunState::kBegun : RunState::kMissing;
  }
  const std::string status = read_json(path).value("status", "");
  return status == "ok"         ? RunState::kDone
         : status == "diverged" ? RunState::kDiverged
                                : RunState::kBegun;
}

base::ExitCode TableRuns::complete(RowRuns& row, const std::atomic<int>* interrupt,
                                   bool quiet) const {
  base::ExitCode worst = base::ExitCode::kOk;
  if (row.directory.empty()) return worst;
  for (const Member& member : row.members) {
    if (interrupt != nullptr && *interrupt != 0) {
      return *interrupt == SIGTERM ? base::ExitCode::kTerminated : base::ExitCode::kInterrupted;
    }
    const RunState state = state_of(row, member);
    if (state == RunState::kDiverged) worst = base::ExitCode::kDiverged;
    if (state == RunState::kDiverged || state == RunState::kDone) continue;
    RunOptions options;
    options.directory = row.directory / member.directory;
    options.resume = state == RunState::kBegun;
    options.interrupt = interrupt;
    options.quiet = quiet;
    base::note(fmt::format("{}, {}", row.label, member.directory));
    try {
      base::make_directory(row.directory);
      Json about{{"label", row.label},
                 {"recipe_hash", row.key.recipe_hash},
                 {"data_hash", row.key.data_hash},
                 {"numerics", row.key.numerics}};
      if (!row.key.init_hash.empty()) about["init_hash"] = row.key.init_hash;
      write_json(row.directory / kAbout, about);
      const base::ExitCode code = train_one(row, member, options);
      if (ends_all(code)) return code;
      if (code != base::ExitCode::kOk) worst = code;
    } catch (const base::Error& e) {  // one run must not keep the others from being made
      fail(row, member.directory, e.code(), e.what());
    } catch (const std::bad_alloc&) {
      fail(row, member.directory, base::ExitCode::kResource, "out of memory");
    }
  }
  return worst;
}

std::vector<TableRuns::Stale> TableRuns::stale(const std::vector<RowRuns>& rows) const {
  std::vector<Stale> out;
  std::error_code missing;
  if (!fs::is_directory(root_, missing)) return out;
  std::set<fs::path> needed;
  for (const RowRuns& row : rows) needed.insert(row.directory.filename());
  for (const auto& entry : fs::directory_iterator(root_)) {
    const fs::path about = entry.path() / kAbout;
    if (!fs::exists(about) || needed.count(entry.path().filename()) != 0) continue;
    const Json json = read_json(about);
    out.push_back(
        {text_in(json, "label"), reason_of(json, rows), entry.path(), results_below(entry.path())});
  }
  std::sort(out.begin(), out.end(),
            [](const Stale& a, const Stale& b) { return a.directory < b.directory; });
  return out;
}

}  // namespace gtrain::train
