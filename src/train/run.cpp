#include "gtrain/train/run.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "budget_run.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/likeness.h"
#include "gtrain/train/origin.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/report.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/serial_aten.h"
#include "gtrain/train/startable.h"
#include "gtrain/train/trainer.h"
#include "material.h"
#include "member.h"
#include "predict.h"
#include "profile.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

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
  const bool cuda = device == "cuda" || device.starts_with("cuda:");
  throw base::RecipeError(
      fmt::format("--device {}: {}; known: cpu", device,
                  cuda ? "this build of gtrain has no CUDA" : "unknown device"));
}

// Of the state that the member goes on from, or of the weights that it begins with: their shapes
// are the model's.
NamedTensors first_tensors(const Recipe& recipe, const fs::path& directory, bool begun) {
  if (!begun) return recipe.init ? origin_tensors(*recipe.init, *recipe.zoo) : NamedTensors();
  std::vector<std::string> skipped;  // said when the state is restored
  const std::optional<Checkpoint> state = newest_generation(directory, skipped);
  return state ? state->model : NamedTensors();
}

bool finished_before(const fs::path& directory, Ending& ending) {
  const fs::path path = directory / "result.json";
  if (!fs::exists(path)) return false;
  const std::string status = read_json(path).value("status", "");
  ending = status == "ok" ? Ending::kFinished : Ending::kDiverged;
  return status == "ok" || status == "diverged";
}

struct MemberEnding {
  Ending ending = Ending::kFinished;
  bool paused = false;  // before its rules begin, and `model` has the weights by then
  std::int64_t updates = 0;
  std::shared_ptr<models::Model> model;
};

MemberEnding train_part(const Recipe& recipe, const Member& member, const Material& material,
                        const fs::path& directory, const RunOptions& options) {
  settle_recipe(directory, recipe);
  const bool begun = options.resume && holds_state(directory);
  auto model = build_model(recipe, material.signature, first_tensors(recipe, directory, begun));
  models::initialise(*model, static_cast<std::uint64_t>(member.seed));
  TrainerOptions settings{directory,
                          member.directory.empty() ? "" : member.directory + ": ",
                          recipe_hash(recipe),
                          member.seed,
                          options.interrupt,
                          begin_with(*model, recipe.init, !begun, *recipe.zoo),
                          has_measured_budget(recipe)};
  base::note(fmt::format("{}{} parameters, {} train / {} valid / {} test", settings.label,
                         models::parameter_count(*model), material.split.train.size(),
                         material.split.valid.size(), material.split.test.size()));
  Trainer trainer(recipe, material, model, std::move(settings));
  if (options.resume) trainer.restore();
  const Ending ending = trainer.run();
  if (ending == Ending::kDiverged) base::warn(trainer.problem());
  return {ending, ending == Ending::kInterrupted && trainer.paused(), trainer.updates(), model};
}

Ending train_member(const Recipe& recipe, const Member& member, const Material& material,
                    const fs::path& directory, const RunOptions& given) {
  base::make_directory(directory);
  for (const char* state : {"last.next.safetensors", "best.safetensors"}) {
    base::clear_temporaries(directory / state);  // the lock is ours
  }
  RunOptions options = given;
  Ending before{};
  if (options.resume && finished_before(directory, before)) return before;
  base::set_log_file((directory / "log.txt").c_str());
  Recipe own = decided(recipe, directory, material);
  MemberEnding last = train_part(own, member, material, directory, options);
  const bool stop = options.interrupt != nullptr && *options.interrupt != 0;
  if (last.paused && has_measured_budget(own) && !stop) {
    decide(own, material, *last.model, last.updates, directory);
    last.model.reset();
    own = decided(recipe, directory, material);
    options.resume = true;
    last = train_part(own, member, material, directory, options);
  }
  if (last.ending != Ending::kInterrupted) write_report(directory);
  return last.ending;
}

std::string outcome_line(const fs::path& directory) {
  const Json result = read_json(directory / "result.json");
  std::string out = fmt::format("{}: {}", directory.string(), result.value("status", ""));
  const Json named = result.value("metric", Json());
  const std::string metric = named.is_string() ? named.get<std::string>() : "";
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
  if (summary.contains("unfinished")) {
    out += fmt::format(", {} to go", summary["unfinished"].size());
  }
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

// What every member reads, and what the first one trains on.
struct Start {
  data::Opened opened;
  Material material;
};

// Throws what they can be refused for before the first step. `recipe`: from here on its rules say
// what they keep. `directory`: of the run, where it is known.
Start start_of(Recipe& recipe, const fs::path& directory, bool resumes) {
  Start start{data::open_dataset(recipe.dataset), {}};
  const Member first = members_of(recipe).front();
  const bool begun = resumes && !directory.empty() && holds_state(directory / first.directory);
  const auto check = [&] {
    check_startable(recipe, start.opened, first_tensors(recipe, directory / first.directory, begun),
                    !begun);
  };
  check_data(recipe, start.opened);
  const bool budget = recipe.sparsify && recipe.sparsify->flops;
  if (!budget) check();  // before the encodings, which may take long
  start.material = prepare(recipe_of(recipe, first), start.opened);
  if (!budget) return start;
  recipe = with_budget(recipe, start.material);
  check();
  return start;
}

RunOutcome train_all(const Recipe& recipe, const RunOptions& options, const fs::path& directory,
                     Start start) {
  RunOutcome outcome{base::ExitCode::kOk, directory};
  const std::vector<Member> members = members_of(recipe);
  Material material = std::move(start.material);
  std::int64_t fold = members.front().fold;
  for (const Member& member : members) {
    const Recipe own = recipe_of(recipe, member);
    if (fold != member.fold) {
      material = prepare(own, start.opened);
      fold = member.fold;
    }
    const fs::path below = member.directory.empty() ? directory : directory / member.directory;
    const Ending ending = train_member(own, member, material, below, options);
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

// A trained model's data, or others in their place, and how they are read.
struct Shown {
  Material material;
  data::LoaderOptions loading;
};

Shown opened_for(const Selected& selected, const data::DatasetOptions* data,
                 const std::string& split) {
  const Recipe recipe = data != nullptr ? with_data(selected.recipe, *data) : selected.recipe;
  Material material = data != nullptr ? shown(recipe, split) : prepare(recipe);
  check_signature(material.signature, {selected.facts.signature, task_of(selected.recipe.dataset)},
                  material.dataset().info);
  data::DatasetInfo& info = material.opened.dataset.info;
  if (data::is_class(info.task) && !data::is_subtoken(info.task)) {
    info.classes = selected.facts.signature.outputs;  // metrics are over the model's classes
  }
  return {std::move(material), plain_loading(recipe)};
}

// Data, or their likeness, and a fresh model of the first member: for what looks at a recipe
// without training it.
template <class F>
std::string look(const Recipe& recipe, Extent extent, F f) {
  const Member first = members_of(recipe).front();
  Recipe asked = recipe_of(recipe, first);
  // What cannot be measured without training is looked at as if it were divided evenly.
  if (has_measured_budget(asked)) {
    base::note("sparsify.trade_off: measured is looked at as if flops were divided evenly");
    asked.sparsify->trade_off = "even";
  }
  Likeness likeness = open_or_generate(asked.dataset, extent);
  const Material material = prepare(asked, std::move(likeness.opened));
  const Recipe own = with_budget(asked, material);
  const bool there = own.init && origin_exists(*own.init);
  const auto model = build_model(own, material.signature,
                                 there ? origin_tensors(*own.init, *own.zoo) : NamedTensors());
  models::initialise(*model, static_cast<std::uint64_t>(first.seed));
  if (own.init && !there) {
    base::warn(fmt::format("init.from: {}: not there; looking at the model with random weights",
                           own.init->from));
  }
  begin_with(*model, own.init, there, *own.zoo);
  return f(own, material, *model, likeness.graphs);
}

}  // namespace

RunOutcome run(const Recipe& given, const RunOptions& options) {
  check_device(options.device);
  Recipe recipe = given;
  if (recipe.repeat.folds.size() == 1) {  // one fold is the data set's: the run needs no folders
    recipe.dataset.fold = recipe.repeat.folds.front();
    recipe.repeat.folds.clear();
  }
  if (!recipe.dataset.path.empty()) {  // a run is looked at from other working directories, too
    recipe.dataset.path = fs::absolute(recipe.dataset.path).lexically_normal().string();
  }
  if (recipe.init) recipe.init->from = fs::absolute(recipe.init->from).lexically_normal().string();
  const SerialAten serial;
  base::set_quiet(options.quiet);
  if (options.dry_run) {
    base::note(look(recipe, Extent::kSome,
                    [](const Recipe& r, const Material& m, models::Model& model, std::int64_t) {
                      return dry_run_text(r, m, model);
                    }));
    return {};
  }
  if (options.profile_steps > 0) {
    base::note(look(recipe, Extent::kFullBatches,
                    [&](const Recipe& r, const Material& m, models::Model& model, std::int64_t) {
                      return profile_text(r, m, model, options.profile_steps);
                    }));
    return {};
  }
  std::optional<RunLock> lock;
  const auto claim = [&](const fs::path& wanted) {
    lock.emplace(wanted);
    if (options.resume || !holds_run(wanted)) return wanted;
    throw base::RecipeError(fmt::format(
        "--run {}: already holds a run; add --resume to go on with it, or choose another directory",
        wanted.string()));
  };
  // A directory is made only for what can start: a mistake set right begins in the same place.
  fs::path directory;
  std::error_code missing;
  if (fs::is_directory(options.directory, missing)) directory = claim(options.directory);
  Start start = start_of(recipe, directory, options.resume);
  if (!lock) directory = claim(choose_directory(recipe, options));
  if (members_of(recipe).size() == 1) recipe = decided(recipe, directory, start.material);
  settle_recipe(directory, recipe);
  base::set_log_file((directory / "log.txt").c_str());
  base::note(fmt::format("run directory {}", directory.string()));
  const RunOutcome outcome = train_all(recipe, options, directory, std::move(start));
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
  return run(load_recipe(path, {}, *options.zoo), again);
}

std::string evaluate(const fs::path& directory, const std::string& split,
                     const data::DatasetOptions* other_data, const models::Zoo& zoo) {
  const SerialAten serial;
  const Selected selected = load_selected(directory, zoo);
  const auto [material, loading] = opened_for(selected, other_data, split);
  data::Loader loader(material.dataset(), material.encodings, ids_of(material, split), loading);
  const Judge judge = judge_of(selected.recipe, material.dataset().info, selected.facts.scale);
  const Figures figures = evaluate_split(*selected.model, loader, judge);
  Json out{{"split", split}};
  out.update(to_json(figures));
  return out.dump();
}

void predict(const fs::path& directory, const data::DatasetOptions* data, const std::string& split,
             const fs::path& out, const models::Zoo& zoo) {
  const SerialAten serial;
  check_output(out);
  const Selected selected = load_selected(directory, zoo);
  const auto [material, loading] = opened_for(selected, data, split);
  const std::string rows =
      prediction_rows(forward_of(*selected.model, selected.facts.scale), material,
                      ids_of(material, split), {selected.facts.signature.outputs, loading});
  base::write_durable(out, out.extension() == ".gz" ? gzip(rows) : rows);
}

std::string plan(const Recipe& recipe) {
  const SerialAten serial;
  return look(recipe, Extent::kFullBatches, plan_text);
}

LoadedRun load_run(const fs::path& directory, const models::Zoo& zoo) {
  Selected selected = load_selected(directory, zoo);
  LoadedRun out;
  out.opened = data::open_dataset(selected.recipe.dataset);
  out.encodings = encode_all(selected.recipe, out.opened);
  out.recipe = std::move(selected.recipe);
  out.model = std::move(selected.model);
  const auto columns = [&](const std::vector<double>& values, double otherwise) {
    const auto count = static_cast<std::size_t>(selected.facts.signature.outputs);
    return at::tensor(values.empty() ? std::vector<double>(count, otherwise) : values, at::kFloat);
  };
  out.target_mean = columns(selected.facts.scale.mean, 0);
  out.target_std = columns(selected.facts.scale.deviation, 1);
  return out;
}

}  // namespace gtrain::train
