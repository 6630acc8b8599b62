#include "gtrain/train/run.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <oneapi/tbb/task_scheduler_observer.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/report.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/trainer.h"
#include "material.h"
#include "predict.h"
#include "profile.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

// TBB drives all parallelism; ATen's own would fight it for the cores and change sums.
class SerialAten final : public tbb::task_scheduler_observer {
 public:
  SerialAten() {
    at::set_num_threads(1);
    observe(true);
  }
  ~SerialAten() override { observe(false); }
  void on_scheduler_entry(bool) override { at::set_num_threads(1); }
};

// One fold and seed of a recipe, and its directory below RUN ("" for RUN itself).
struct Member {
  std::string directory;
  std::int64_t fold;
  std::int64_t seed;
};

std::vector<Member> members_of(const Recipe& recipe) {
  const std::vector<std::int64_t>& seeds = recipe.repeat.seeds;
  std::vector<std::int64_t> folds = recipe.repeat.folds;
  if (folds.empty()) folds = {recipe.dataset.fold};
  std::vector<Member> out;
  for (const std::int64_t fold : folds) {
    for (const std::int64_t seed : seeds) {
      std::string name;
      if (folds.size() > 1) name = fmt::format("fold-{}", fold);
      if (seeds.size() > 1) name += fmt::format("{}seed-{}", name.empty() ? "" : "/", seed);
      out.push_back({name, fold, seed});
    }
  }
  return out;
}

Recipe recipe_of(const Recipe& recipe, const Member& member) {
  Recipe out = recipe;
  out.dataset.fold = member.fold;
  out.repeat.seeds = {member.seed};
  out.repeat.folds.clear();
  return out;
}

bool holds_run(const fs::path& directory) {
  return fs::exists(directory / "recipe.yaml") || fs::exists(directory / "last.safetensors") ||
         fs::exists(directory / "metrics.jsonl");
}

std::string run_name(const Recipe& recipe, const RunOptions& options) {
  if (!options.recipe_name.empty()) return options.recipe_name;
  return recipe.dataset.name.empty() ? "run" : recipe.dataset.name;
}

fs::path choose_directory(const Recipe& recipe, const RunOptions& options) {
  if (!options.directory.empty()) {
    base::make_directory(options.directory);
    return options.directory;
  }
  if (options.resume) {
    const fs::path newest = newest_run_directory("runs", run_name(recipe, options));
    if (!newest.empty()) return newest;
  }
  return new_run_directory("runs", run_name(recipe, options));
}

void check_device(const std::string& device) {
  if (device == "cpu") return;
  throw base::RecipeError(
      fmt::format("--device {}: this build computes on the CPU only; known: cpu", device));
}

// Writes the resolved recipe; a run that goes on must have begun with the same one.
void settle_recipe(const fs::path& directory, const Recipe& recipe) {
  const fs::path path = directory / "recipe.yaml";
  if (fs::exists(path) && recipe_hash(load_recipe(path, {})) != recipe_hash(recipe)) {
    throw base::RecipeError(
        fmt::format("{}: the run began with another recipe; go on with it "
                    "unchanged (gtrain resume {}) or start another run",
                    path.string(), directory.string()));
  }
  const std::string text = dump_recipe(recipe);  // seeds and folds may have been added
  if (!fs::exists(path) || base::read_file(path) != text) base::write_durable(path, text);
}

bool finished_before(const fs::path& directory, Ending& ending) {
  const fs::path path = directory / "result.json";
  if (!fs::exists(path)) return false;
  const std::string status = read_json(path).value("status", "");
  ending = status == "ok" ? Ending::kFinished : Ending::kDiverged;
  return status == "ok" || status == "diverged";
}

Ending train_member(const Recipe& recipe, const Member& member, const Material& material,
                    const fs::path& directory, const RunOptions& options) {
  base::make_directory(directory);
  Ending before{};
  if (options.resume && finished_before(directory, before)) return before;
  settle_recipe(directory, recipe);
  base::set_log_file((directory / "log.txt").c_str());
  auto model = models::build(recipe.model, material.signature);
  models::initialise(*model, static_cast<std::uint64_t>(member.seed));
  TrainerOptions settings{directory, member.directory.empty() ? "" : member.directory + ": ",
                          recipe_hash(recipe), member.seed, options.interrupt};
  base::note(fmt::format("{}{} parameters, {} train / {} valid / {} test", settings.label,
                         models::parameter_count(*model), material.split.train.size(),
                         material.split.valid.size(), material.split.test.size()));
  Trainer trainer(recipe, material, model, std::move(settings));
  if (options.resume) trainer.restore();
  const Ending ending = trainer.run();
  if (ending == Ending::kDiverged) base::warn(trainer.problem());
  if (ending != Ending::kInterrupted) write_report(directory);
  return ending;
}

std::string outcome_line(const fs::path& directory) {
  const Json result = read_json(directory / "result.json");
  std::string out = fmt::format("{}: {}", directory.string(), result.value("status", ""));
  const std::string metric = result.value("metric", "");
  for (const char* split : {"train", "valid", "test"}) {
    if (result.contains(split) && result[split].contains(metric)) {
      out += fmt::format("  {} {} {}", split, metric, result[split][metric].dump());
    }
  }
  return out;
}

std::string summary_line(const Json& summary) {
  const std::string metric = summary["metric"].is_string() ? summary["metric"] : "";
  std::string out =
      fmt::format("{} runs finished, {} failed", summary["n"].dump(), summary["failed"].size());
  for (const char* split : {"valid", "test"}) {
    if (!summary.contains(split) || !summary[split].contains(metric)) continue;
    const Json& s = summary[split][metric];
    out += fmt::format("  {} {} {:.5g}", split, metric, s["mean"].get<double>());
    if (s["std"].is_number()) out += fmt::format(" ± {:.3g}", s["std"].get<double>());
  }
  return out;
}

base::ExitCode interruption(const RunOptions& options) {
  return *options.interrupt == SIGTERM ? base::ExitCode::kTerminated : base::ExitCode::kInterrupted;
}

RunOutcome train_all(const Recipe& recipe, const RunOptions& options, const fs::path& directory) {
  RunOutcome outcome{base::ExitCode::kOk, directory};
  const std::vector<Member> members = members_of(recipe);
  const data::Opened opened = data::open_dataset(recipe.dataset);
  std::optional<Material> material;
  std::optional<std::int64_t> fold;
  for (const Member& member : members) {
    const Recipe own = recipe_of(recipe, member);
    if (!fold || *fold != member.fold) {
      material = prepare(own, opened);
      fold = member.fold;
    }
    const fs::path below = member.directory.empty() ? directory : directory / member.directory;
    const Ending ending = train_member(own, member, *material, below, options);
    if (ending == Ending::kInterrupted) {
      outcome.code = interruption(options);
      base::note(fmt::format("interrupted; gtrain resume {} goes on", directory.string()));
      break;
    }
    if (ending == Ending::kDiverged) outcome.code = base::ExitCode::kDiverged;
    base::note(outcome_line(below));
  }
  if (members.size() == 1) return outcome;
  std::vector<std::string> names;
  for (const Member& m : members) names.push_back(m.directory);
  base::set_log_file((directory / "log.txt").c_str());
  const Json summary = summarise(directory, names);
  write_json(directory / "summary.json", summary);
  write_report(directory);
  base::note(summary_line(summary));
  return outcome;
}

Material opened_for(const Recipe& recipe, const data::DatasetOptions* data,
                    const Selected& selected) {
  Material material = prepare(data != nullptr ? with_data(recipe, *data) : recipe);
  check_signature(material.signature, selected.facts.signature, material.dataset().info.name);
  return material;
}

data::LoaderOptions plain(const Recipe& recipe) {
  return {.batch_size = recipe.dataset.batch_size, .max_nodes = recipe.dataset.max_nodes};
}

// Data and a fresh model of the first member: for what looks at a recipe without training it.
template <class F>
std::string look(const Recipe& recipe, F f) {
  const Member first = members_of(recipe).front();
  const Recipe own = recipe_of(recipe, first);
  const Material material = prepare(own);
  const auto model = models::build(own.model, material.signature);
  models::initialise(*model, static_cast<std::uint64_t>(first.seed));
  return f(own, material, *model);
}

}  // namespace

RunOutcome run(const Recipe& given, const RunOptions& options) {
  check_device(options.device);
  Recipe recipe = given;
  if (recipe.repeat.folds.size() == 1) {  // one fold is the data set's: the run needs no folders
    recipe.dataset.fold = recipe.repeat.folds.front();
    recipe.repeat.folds.clear();
  }
  const SerialAten serial;
  base::set_quiet(options.quiet);
  if (options.dry_run) {
    base::note(look(recipe, dry_run_text));
    return {};
  }
  if (options.profile_steps > 0) {
    base::note(look(recipe, [&](const Recipe& r, const Material& m, models::Model& model) {
      return profile_text(r, m, model, options.profile_steps);
    }));
    return {};
  }
  const fs::path directory = choose_directory(recipe, options);
  const RunLock lock(directory);
  if (!options.resume && holds_run(directory)) {
    throw base::RecipeError(fmt::format(
        "--run {}: already holds a run; add --resume to go on with it, or choose another directory",
        directory.string()));
  }
  settle_recipe(directory, recipe);
  base::set_log_file((directory / "log.txt").c_str());
  base::note(fmt::format("run directory {}", directory.string()));
  const RunOutcome outcome = train_all(recipe, options, directory);
  base::set_log_file(nullptr);
  return outcome;
}

RunOutcome resume(const fs::path& directory, const RunOptions& options) {
  const fs::path path = directory / "recipe.yaml";
  if (!fs::exists(path)) {
    throw base::DataError(fmt::format("{}: not there; expected a run directory", path.string()));
  }
  RunOptions again = options;
  again.directory = directory;
  again.resume = true;
  return run(load_recipe(path, {}), again);
}

std::string evaluate(const fs::path& directory, const std::string& split,
                     const data::DatasetOptions* other_data) {
  const SerialAten serial;
  const Selected selected = load_selected(directory);
  const Material material = opened_for(selected.recipe, other_data, selected);
  const data::Task task = material.dataset().info.task;
  data::Loader loader(material.dataset(), material.encodings, ids_of(material, split),
                      plain(selected.recipe));
  const Figures figures = evaluate_split(
      *selected.model, loader, find_loss(selected.recipe.train.loss, task),
      reported_metrics(material.dataset().info.metric, task), task, selected.facts.scale);
  Json out{{"split", split.empty() ? "all" : split}};
  out.update(to_json(figures));
  return out.dump();
}

void predict(const fs::path& directory, const data::DatasetOptions* data, const std::string& split,
             const fs::path& out) {
  const SerialAten serial;
  const Selected selected = load_selected(directory);
  const Material material = opened_for(selected.recipe, data, selected);
  const std::string rows = prediction_rows(*selected.model, material, selected.facts.scale,
                                           ids_of(material, split), plain(selected.recipe));
  base::write_durable(out, out.extension() == ".gz" ? gzip(rows) : rows);
}

std::string plan(const Recipe& recipe) {
  const SerialAten serial;
  return look(recipe, plan_text);
}

LoadedRun load_run(const fs::path& directory) {
  Selected selected = load_selected(directory);
  LoadedRun out;
  out.opened = data::open_dataset(selected.recipe.dataset);
  out.encodings = encode_all(selected.recipe, out.opened);
  out.recipe = std::move(selected.recipe);
  out.model = std::move(selected.model);
  if (!selected.facts.scale.mean.empty()) {
    out.target_mean = selected.facts.scale.mean.front();
    out.target_std = selected.facts.scale.deviation.front();
  }
  return out;
}

}  // namespace gtrain::train
