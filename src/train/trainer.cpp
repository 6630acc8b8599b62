#include "gtrain/train/trainer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "epoch.h"
#include "evaluation.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/run_directory.h"
#include "material.h"
#include "progress_line.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A split and what evaluates it; absent where the split is empty.
struct Split {
  const char* name;
  std::unique_ptr<data::Loader> loader;
};

bool better(double value, double than, bool maximise) {
  return maximise ? value > than : value < than;
}

}  // namespace

struct Trainer::State {
  State(const Recipe& r, const Material& m, std::shared_ptr<models::Model> built, TrainerOptions o);

  Ending train();
  bool finish_epoch(const EpochFigures& epoch, bool last);  // false: diverged
  bool evaluate_epoch(std::string& lines);
  bool should_stop(double rate) const;
  void count_times(const std::string& lines);
  void save(bool partial);
  Checkpoint checkpoint(bool with_optimizer) const;
  Json figures_of_all_splits();
  void write_result(const char* status);
  bool interrupted() const { return options.interrupt != nullptr && *options.interrupt != 0; }
  bool is_evaluated(std::int64_t epoch, bool last) const {
    return last || epoch == 1 || epoch % recipe.train.eval_every == 0;
  }
  Json line(const char* split, const Figures& figures) const;

  const Recipe& recipe;
  const Material& material;
  std::shared_ptr<models::Model> model;
  TrainerOptions options;
  const LossEntry& loss;
  std::vector<Metric> metrics;
  Facts facts;
  EpochLoop loop;
  std::vector<Split> splits;  // train, valid, test in evaluation order
  Progress progress;
  std::optional<MetricsLog> log;
  Figures valid;  // of the epoch just evaluated
  std::string problem;
  std::chrono::steady_clock::time_point resumed_at = std::chrono::steady_clock::now();
  double seconds_before = 0.0;  // of the epochs before the state this process began with
  double train_seconds = 0.0, train_graphs = 0.0;
};

Trainer::State::State(const Recipe& r, const Material& m, std::shared_ptr<models::Model> built,
                      TrainerOptions o)
    : recipe(r),
      material(m),
      model(std::move(built)),
      options(std::move(o)),
      loss(find_loss(r.train.loss, m.dataset().info.task)),
      metrics(reported_metrics(m.dataset().info.metric, m.dataset().info.task)),
      facts{options.recipe_hash, options.seed, m.signature, m.scale},
      loop(r, m, *model, loss, options.seed) {
  data::LoaderOptions plain{.batch_size = r.dataset.batch_size, .max_nodes = r.dataset.max_nodes};
  const std::pair<const char*, const std::vector<std::int64_t>*> all[] = {
      {"train", &m.split.train}, {"valid", &m.split.valid}, {"test", &m.split.test}};
  for (const auto& [name, ids] : all) {
    if (ids->empty()) continue;
    splits.push_back({name, std::make_unique<data::Loader>(m.dataset(), m.encodings, *ids, plain)});
  }
}

Checkpoint Trainer::State::checkpoint(bool with_optimizer) const {
  Checkpoint c;
  c.model = model_tensors(*model);
  if (with_optimizer) {
    c.optimizer = loop.optimizer().state();
    c.progress = progress;
  } else {  // what a later resumption cannot change
    c.progress.epoch = progress.epoch;
    c.progress.updates = progress.updates;
    c.progress.best_epoch = progress.best_epoch;
    c.progress.best = progress.best;
  }
  c.facts = to_strings(facts);
  return c;
}

void Trainer::State::save(bool partial) {
  progress.lines = log->lines();
  progress.plateau = loop.plateau_state();
  Checkpoint c = checkpoint(true);
  if (partial) loop.keep_partial(c);
  save_generation(options.directory, c);
}

Json Trainer::State::line(const char* split, const Figures& figures) const {
  Json out{{"epoch", progress.epoch}, {"split", split}};
  out.update(to_json(figures));
  return out;
}

bool Trainer::State::evaluate_epoch(std::string& lines) {
  for (const Split& split : splits) {
    if (std::string_view(split.name) == "train") continue;
    const auto start = std::chrono::steady_clock::now();
    const Figures figures = evaluate_split(*model, *split.loader, loss, metrics,
                                           material.dataset().info.task, material.scale);
    if (std::string_view(split.name) == "valid") valid = figures;
    const double seconds = seconds_since(start);
    Json json = line(split.name, figures);
    json["seconds"] = seconds;
    json["graphs_per_second"] = static_cast<double>(split.loader->graphs()) / seconds;
    lines += json.dump() + "\n";
  }
  if (valid.empty()) return true;
  if (!std::isfinite(figure(valid, "loss"))) {
    problem = fmt::format("diverged in epoch {}: the loss on valid is {}", progress.epoch,
                          figure(valid, "loss"));
    return false;
  }
  const double now = figure(valid, metrics.front().name);
  if (std::isnan(now)) {
    throw base::DataError(
        fmt::format("split valid: {} is not defined: {}; expected a split on "
                    "which it is, or another dataset.metric",
                    metrics.front().name, metrics.front().undefined));
  }
  ++progress.since_best;
  if (progress.best_epoch == 0 || better(now, progress.best, metrics.front().maximise)) {
    progress.best = now;
    progress.best_epoch = progress.epoch;
    progress.since_best = 0;
    if (recipe.select == "best") {
      write_checkpoint(options.directory / "best.safetensors", checkpoint(false));
    }
  }
  loop.observe(figure(valid, loop.watched_metric()));
  return true;
}

bool Trainer::State::finish_epoch(const EpochFigures& epoch, bool last) {
  progress.epoch += 1;
  progress.batch = 0;
  progress.loss_sum = 0.0;
  progress.graphs = 0;
  progress.updates = loop.updates();
  train_seconds += epoch.seconds;
  train_graphs += static_cast<double>(epoch.graphs);
  Json json = line("train", epoch.figures);
  json["lr"] = epoch.rate;
  json["seconds"] = epoch.seconds;
  const double speed =  // 0 where an earlier process made every step
      epoch.seconds > 0.0 ? static_cast<double>(epoch.graphs) / epoch.seconds : 0.0;
  json["graphs_per_second"] = speed;
  std::string lines = json.dump() + "\n";
  const bool evaluated = is_evaluated(progress.epoch, last);
  if (evaluated && !evaluate_epoch(lines)) return false;
  log->append(lines);
  const std::string& name = metrics.front().name;
  std::string text =
      fmt::format("{}epoch {}/{}  loss {:.4g}  train {} {:.4g}", options.label, progress.epoch,
                  loop.epochs(), figure(epoch.figures, "loss"), name, figure(epoch.figures, name));
  if (evaluated && !valid.empty()) {
    text += fmt::format("  valid {} {:.4g}{}", name, figure(valid, name),
                        progress.best_epoch == progress.epoch ? " *" : "");
  }
  base::note(fmt::format("{}  lr {:.2e}  {:.0f} graphs/s  {}", text, epoch.rate, speed,
                         duration_text(epoch.seconds)));
  return true;
}

bool Trainer::State::should_stop(double rate) const {
  const StopOptions& stop = recipe.train.stop;
  const double next = loop.next_rate(progress.epoch);
  const double hours = (seconds_before + seconds_since(resumed_at)) / 3600.0;
  const char* why = nullptr;
  if (stop.lr_below > 0.0 && next < stop.lr_below && next < rate) why = "lr_below";
  if (stop.hours > 0.0 && hours >= stop.hours) why = "hours";
  if (stop.patience > 0 && progress.since_best >= stop.patience) why = "patience";
  if (why != nullptr) {
    base::note(fmt::format("{}stopped after epoch {} by train.stop.{}", options.label,
                           progress.epoch, why));
  }
  return why != nullptr;
}

// Times are not part of a state, so that equal runs have equal states; the log has them.
void Trainer::State::count_times(const std::string& lines) {
  std::istringstream text(lines);
  for (std::string each; std::getline(text, each);) {
    const Json json = Json::parse(each, nullptr, false);
    if (!json.is_object() || !json.contains("seconds")) continue;
    const double seconds = json["seconds"];
    seconds_before += seconds;
    if (json.value("split", "") != "train") continue;
    train_seconds += seconds;
    train_graphs += seconds * json.value("graphs_per_second", 0.0);
  }
}

Ending Trainer::State::train() {
  log.emplace(options.directory / "metrics.jsonl", progress.lines);
  count_times(log->kept());
  bool done = progress.done;
  while (!done) {
    EpochFigures epoch;
    const StepEnd end = loop.run(progress.epoch + 1, options.label, options.interrupt, epoch);
    if (end == StepEnd::kDiverged) {
      problem = epoch.problem;
      return Ending::kDiverged;
    }
    if (end == StepEnd::kInterrupted) {
      progress.batch = loop.batch();
      progress.updates = loop.updates();
      save(true);
      return Ending::kInterrupted;
    }
    const bool last = loop.finished(progress.epoch + 1);
    if (!finish_epoch(epoch, last)) return Ending::kDiverged;
    done = last || should_stop(epoch.rate);
    progress.done = done;
    const bool stop_now = interrupted() && !done;
    if (done || stop_now || progress.epoch % recipe.train.save_every == 0) save(false);
    if (stop_now) return Ending::kInterrupted;
  }
  return Ending::kFinished;
}

Json Trainer::State::figures_of_all_splits() {
  Json out = Json::object();
  for (const Split& split : splits) {
    out[split.name] = to_json(evaluate_split(*model, *split.loader, loss, metrics,
                                             material.dataset().info.task, material.scale));
  }
  return out;
}

void Trainer::State::write_result(const char* status) {
  const bool finished = std::string_view(status) == "ok";
  const bool best = recipe.select == "best" && progress.best_epoch > 0;
  Json out{{"status", status}, {"seed", options.seed}};
  if (recipe.dataset.fold >= 0) out["fold"] = recipe.dataset.fold;
  out["metric"] = metrics.front().name;
  out["select"] = recipe.select;
  out["epochs"] = progress.epoch;
  out["updates"] = progress.updates;
  if (!problem.empty()) out["problem"] = problem;
  if (progress.best_epoch > 0) out["best_epoch"] = progress.best_epoch;
  if (finished) {
    Json last{{"epoch", progress.epoch}};
    last.update(figures_of_all_splits());
    if (best && progress.best_epoch != progress.epoch) {
      const fs::path path = options.directory / "best.safetensors";
      load_model_tensors(*model, read_checkpoint(path).model, path.string());
      out.update(figures_of_all_splits());
    } else {
      for (const Split& split : splits) out[split.name] = last[split.name];
    }
    if (best) out["last"] = last;
  }
  out["parameters"] = models::parameter_count(*model);
  out["flops_per_graph"] = loop.flops_per_graph();
  out["seconds"] = seconds_before + seconds_since(resumed_at);
  out["graphs_per_second"] = train_seconds > 0 ? train_graphs / train_seconds : 0.0;
  out["peak_rss_bytes"] = peak_rss_bytes();
  out["recipe_hash"] = options.recipe_hash;
  out["versions"] = versions();
  write_json(options.directory / "result.json", out);
}

Trainer::Trainer(const Recipe& recipe, const Material& material,
                 std::shared_ptr<models::Model> model, TrainerOptions options)
    : state_(std::make_unique<State>(recipe, material, std::move(model), std::move(options))) {}

Trainer::~Trainer() = default;

const std::string& Trainer::problem() const { return state_->problem; }

void Trainer::restore() {
  State& s = *state_;
  std::vector<std::string> skipped;
  std::optional<Checkpoint> found = newest_generation(s.options.directory, skipped);
  const fs::path best = s.options.directory / "best.safetensors";
  if (found && s.recipe.select == "best" && found->progress.best_epoch > 0) {
    try {
      read_checkpoint(best);
    } catch (const base::DataError& e) {
      skipped.push_back(e.what());  // the best so far is lost: only the whole run brings it back
      found.reset();
    }
  }
  for (const std::string& why : skipped) base::warn(fmt::format("skipped: {}", why));
  if (!found) {
    base::note(fmt::format("{}no saved state: starting at epoch 1", s.options.label));
    return;
  }
  const fs::path origin = s.options.directory / "last.safetensors";
  const Facts facts = facts_of(found->facts, origin.string());
  if (facts.recipe_hash != s.options.recipe_hash || facts.seed != s.options.seed) {
    throw base::RecipeError(fmt::format(
        "{}: its state belongs to another recipe or seed; go on with RUN/recipe.yaml unchanged, or "
        "start another run",
        s.options.directory.string()));
  }
  load_model_tensors(*s.model, found->model, origin.string());
  s.progress = found->progress;
  s.loop.restore(*found);
  base::note(fmt::format("{}going on after epoch {}{}", s.options.label, s.progress.epoch,
                         s.progress.batch > 0 ? fmt::format(", batch {}", s.progress.batch) : ""));
}

Ending Trainer::run() {
  State& s = *state_;
  const Ending ending = s.train();
  s.write_result(ending == Ending::kFinished   ? "ok"
                 : ending == Ending::kDiverged ? "diverged"
                                               : "interrupted");
  return ending;
}

}  // namespace gtrain::train
