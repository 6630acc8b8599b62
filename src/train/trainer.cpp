#include "gtrain/train/trainer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "epoch.h"
#include "evaluation.h"
#include "flop_report.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/models/zoo.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/run_directory.h"
#include "material.h"
#include "progress_line.h"
#include "redundancy.h"
#include "result.h"
#include "settled.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The best state so far cannot be made again from the last one: going on without it would report
// another epoch's figures, starting over would throw the training away.
void check_best(const fs::path& directory, const Checkpoint& last) {
  const fs::path best = directory / "best.safetensors";
  try {
    check_same_run(read_checkpoint(best), last, best);
  } catch (const base::DataError& e) {
    throw base::DataError(
        fmt::format("{}\nthe best epoch so far is lost with it; put the file back from a copy, or "
                    "start another run (nothing here was changed)",
                    e.what()));
  }
}

bool better(double value, double than, bool maximise) {
  return maximise ? value > than : value < than;
}

}  // namespace

struct Trainer::State {
  State(const Recipe& r, const Material& m, std::shared_ptr<models::Model> built, TrainerOptions o);

  Ending train();
  bool finish_epoch(const EpochFigures& epoch);  // false: diverged
  bool evaluate_epoch(double rate, std::string& lines);
  void note_epoch(const EpochFigures& epoch, double speed, bool evaluated) const;
  const char* stop_rule(double rate) const;  // of train.stop that holds now; else nullptr
  void count_times(const std::string& lines);
  void save(bool partial);
  Checkpoint checkpoint(bool with_optimizer) const;
  Json figures_of_all_splits();
  void note_flops(Json& out);
  void write_redundancy(std::int64_t epoch);  // the model has the selected weights
  void write_result(const char* status);
  double seconds() const { return times.all + seconds_since(resumed_at); }
  bool interrupted() const { return options.interrupt != nullptr && *options.interrupt != 0; }
  bool is_evaluated(std::int64_t epoch, bool last) const {
    return last || epoch == 1 || epoch % recipe.train.eval_every == 0;
  }
  const Metric& metric() const { return loop.judge().metrics.front(); }

  const Recipe& recipe;
  const Material& material;
  std::shared_ptr<models::Model> model;
  TrainerOptions options;
  Facts facts;
  EpochLoop loop;
  SplitEvaluator evaluator;
  Progress progress;
  std::optional<MetricsLog> log;
  Figures valid;                    // of the epoch just evaluated
  std::optional<ops::Flops> flops;  // of a train graph, with the weights evaluated last
  std::string problem;
  std::chrono::steady_clock::time_point resumed_at = std::chrono::steady_clock::now();
  Times times;  // all: of the processes before this one
};

Trainer::State::State(const Recipe& r, const Material& m, std::shared_ptr<models::Model> built,
                      TrainerOptions o)
    : recipe(r),
      material(m),
      model(std::move(built)),
      options(std::move(o)),
      facts{options.recipe_hash, m.dataset().info.hash, options.seed, m.signature, m.scale,
            kNumericsVersion},
      loop(r, m, *model, options.seed),
      evaluator(r, m, loop.judge()) {
  if (options.pause) loop.pause_at(loop.updates_before_rules());
  if (r.select == "best" && m.split.valid.empty()) {
    base::warn(fmt::format("{}select: best, but the split valid is empty: the last epoch counts",
                           options.label));
  }
}

Checkpoint Trainer::State::checkpoint(bool with_optimizer) const {
  Checkpoint c;
  c.model = model_tensors(*model);
  if (with_optimizer) {
    c.optimizer = loop.optimizer().state();
    c.sparsify = loop.sparsity_state();
    c.progress = progress;
  } else {  // what a later resumption cannot change
    c.progress.epoch = progress.epoch;
    c.progress.updates = progress.updates;
    c.progress.best_epoch = progress.best_epoch;
    c.progress.best = progress.best;
  }
  c.facts = to_strings(facts);
  if (!options.init.empty()) c.facts["init"] = options.init;
  return c;
}

void Trainer::State::save(bool partial) {
  progress.lines = log->lines();
  progress.plateau = loop.plateau_state();
  Checkpoint c = checkpoint(true);
  if (partial) loop.keep_partial(c);
  save_generation(options.directory, c);
}

bool Trainer::State::evaluate_epoch(double rate, std::string& lines) {
  for (const SplitEvaluator::Result& r : evaluator.evaluate(*model, false)) {
    if (std::string_view(r.split) == "valid") valid = r.figures;
    lines += metrics_line(progress.epoch, r.split, r.figures, rate, r.seconds,
                          static_cast<double>(r.graphs) / r.seconds,
                          {recipe.sparsify ? r.flops.sparse() : 0, {}});
  }
  if (valid.empty()) return true;
  if (!std::isfinite(figure(valid, "loss"))) {
    problem = fmt::format("diverged in epoch {}: the loss on valid is {}", progress.epoch,
                          figure(valid, "loss"));
    return false;
  }
  const double now = figure(valid, metric().name);
  if (std::isnan(now)) {
    throw base::DataError(
        fmt::format("split valid: {} is not defined: {}; expected a split on "
                    "which it is, or another dataset.metric",
                    metric().name, metric().undefined));
  }
  loop.observe(figure(valid, loop.watched_metric()));
  if (!loop.settled()) return true;  // a larger model was measured than the one asked for
  ++progress.since_best;
  if (progress.best_epoch == 0 || better(now, progress.best, metric().maximise)) {
    progress.best = now;
    progress.best_epoch = progress.epoch;
    progress.since_best = 0;
    if (recipe.select == "best") {
      write_checkpoint(options.directory / "best.safetensors", checkpoint(false));
    }
  }
  return true;
}

bool Trainer::State::finish_epoch(const EpochFigures& epoch) {
  progress.epoch += 1;
  progress.batch = 0;
  progress.updates = loop.updates();
  times.train += epoch.seconds;
  times.graphs += static_cast<double>(epoch.graphs);
  const double speed =  // 0 where an earlier process made every step
      epoch.seconds > 0.0 ? static_cast<double>(epoch.graphs) / epoch.seconds : 0.0;
  std::string lines =
      metrics_line(progress.epoch, "train", epoch.figures, epoch.rate, epoch.seconds, speed,
                   {0, recipe.sparsify ? switched_off(*model) : Json()});
  const bool whole = loop.finished(progress.epoch);
  const char* stop = whole ? nullptr : stop_rule(epoch.rate);
  const bool evaluated = is_evaluated(progress.epoch, whole || stop != nullptr);
  const bool sound = !evaluated || evaluate_epoch(epoch.rate, lines);
  log->append(lines);
  if (!sound) return false;
  note_epoch(epoch, speed, evaluated);
  // Evaluation may have changed the rate or used up the patience.
  if (evaluated && !whole && stop == nullptr) stop = stop_rule(epoch.rate);
  if (stop != nullptr) {
    base::note(fmt::format("{}stopped after epoch {} by train.stop.{}", options.label,
                           progress.epoch, stop));
  }
  progress.done = whole || stop != nullptr;
  return true;
}

void Trainer::State::note_epoch(const EpochFigures& epoch, double speed, bool evaluated) const {
  const std::string& name = metric().name;
  std::string text = fmt::format("{}epoch {}/{}  loss {:.4g}", options.label, progress.epoch,
                                 loop.epochs(), figure(epoch.figures, "loss"));
  const double seen = figure(epoch.figures, name);  // NaN where training does not measure it
  if (!std::isnan(seen)) text += fmt::format("  train {} {:.4g}", name, seen);
  if (evaluated && !valid.empty()) {
    text += fmt::format("  valid {} {:.4g}{}", name, figure(valid, name),
                        progress.best_epoch == progress.epoch ? " *" : "");
  }
  base::note(fmt::format("{}  lr {:.2e}  {:.0f} graphs/s  {}", text, epoch.rate, speed,
                         duration_text(epoch.seconds)));
}

const char* Trainer::State::stop_rule(double rate) const {
  const StopOptions& stop = recipe.train.stop;
  const double next = loop.next_rate(progress.epoch);
  if (stop.lr_below > 0.0 && next < stop.lr_below && next < rate) return "lr_below";
  if (stop.hours > 0.0 && seconds() >= stop.hours * 3600.0) return "hours";
  if (stop.patience > 0 && progress.since_best >= stop.patience) return "patience";
  return nullptr;
}

// Times are not part of a state, so that equal runs have equal states. The log has those of whole
// epochs; the result of an interrupted run those of the steps after them, too.
void Trainer::State::count_times(const std::string& lines) {
  times = times_in(lines);
  const fs::path result = options.directory / "result.json";
  if (progress.updates > 0 && fs::exists(result)) {
    times.all = std::max(times.all, read_json(result).value("seconds", 0.0));
  }
}

Ending Trainer::State::train() {
  log.emplace(options.directory / "metrics.jsonl", progress.lines);
  count_times(log->kept());
  while (!progress.done) {
    if (loop.paused()) return Ending::kInterrupted;
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
    if (!finish_epoch(epoch)) return Ending::kDiverged;
    const bool stop_now = interrupted() && !progress.done;
    if (progress.done || stop_now || progress.epoch % recipe.train.save_every == 0) save(false);
    if (stop_now) return Ending::kInterrupted;
  }
  return Ending::kFinished;
}

Json Trainer::State::figures_of_all_splits() {
  Json out = Json::object();
  for (const SplitEvaluator::Result& r : evaluator.evaluate(*model, true)) {
    if (std::string_view(r.split) == "train") flops = r.flops;
    out[r.split] = to_json(r.figures);
  }
  return out;
}

// Of all train graphs where they were evaluated, else of a batch; beside those of a sparse model
// what the model costs without its rules, as it began.
void Trainer::State::note_flops(Json& out) {
  const bool all = flops.has_value();
  const std::int64_t most = all ? material.dataset().graphs() : recipe.dataset.batch_size;
  if (!all) flops = count_flops(*model, recipe, material, most).total();
  ops::Flops dense = *flops;
  if (recipe.sparsify) {
    const auto plain = settled_model(recipe, material, {}, model.get());
    dense = count_flops(*plain, recipe, material, most).total();
  }
  out["flops_per_graph"] = dense.total();
  if (recipe.sparsify) out["sparse_flops_per_graph"] = flops->sparse();
  out["flops"] = to_json(*flops);
}

void Trainer::State::write_redundancy(std::int64_t epoch) {
  const std::string lines = base::read_file(options.directory / "metrics.jsonl");
  write_json(options.directory / "redundancy.json",
             redundancy_of(*model, recipe, material, lines, epoch));
}

void Trainer::State::write_result(const char* status) {
  const bool finished = std::string_view(status) == "ok";
  const bool best = recipe.select == "best" && progress.best_epoch > 0;
  Json out{{"status", status}, {"seed", options.seed}};
  if (recipe.dataset.fold >= 0) out["fold"] = recipe.dataset.fold;
  out["metric"] = metric().name;
  out["select"] = recipe.select;
  out["epochs"] = progress.epoch;
  out["updates"] = progress.updates;
  if (!problem.empty()) out["problem"] = problem;
  if (progress.best_epoch > 0) out["best_epoch"] = progress.best_epoch;
  if (finished) {
    const Json figures = figures_of_all_splits();
    Json last{{"epoch", progress.epoch}};
    last.update(figures);
    if (best && progress.best_epoch != progress.epoch) {
      const fs::path path = options.directory / "best.safetensors";
      load_model_tensors(*model, read_checkpoint(path).model, path.string());
      out.update(figures_of_all_splits());
    } else {
      out.update(figures);
    }
    if (best) out["last"] = last;
    if (recipe.sparsify) write_redundancy(best ? progress.best_epoch : progress.epoch);
  }
  const fs::path budget = options.directory / "budget.json";
  if (recipe.sparsify && fs::exists(budget)) out["budget"] = read_json(budget);
  out["parameters"] = models::parameter_count(*model);
  note_flops(out);
  out["seconds"] = seconds();
  out["graphs_per_second"] = times.train > 0 ? times.graphs / times.train : 0.0;
  out["peak_rss_bytes"] = peak_rss_bytes();
  if (!options.init.empty()) out["init"] = Json::parse(options.init);
  out["recipe_hash"] = options.recipe_hash;
  out["data_hash"] = facts.data_hash;
  out["versions"] = versions();
  write_json(options.directory / "result.json", out);
}

Trainer::Trainer(const Recipe& recipe, const Material& material,
                 std::shared_ptr<models::Model> model, TrainerOptions options)
    : state_(std::make_unique<State>(recipe, material, std::move(model), std::move(options))) {}

Trainer::~Trainer() = default;

const std::string& Trainer::problem() const { return state_->problem; }

bool Trainer::paused() const { return state_->loop.paused(); }

std::int64_t Trainer::updates() const { return state_->loop.updates(); }

void Trainer::restore() {
  State& s = *state_;
  std::vector<std::string> skipped;
  std::optional<Checkpoint> found = newest_generation(s.options.directory, skipped);
  if (!found && !skipped.empty()) {
    throw base::DataError(fmt::format(
        "{}: no saved state verifies, so there is nothing to go on from; put one back from a copy, "
        "or start another run (nothing here was changed):\n{}",
        s.options.directory.string(), fmt::join(skipped, "\n")));
  }
  for (const std::string& why : skipped) base::warn(fmt::format("skipped: {}", why));
  if (!found) {
    base::note(fmt::format("{}no saved state: starting at epoch 1", s.options.label));
    return;
  }
  const fs::path origin = s.options.directory / "last.safetensors";
  const Facts facts = facts_of(found->facts, origin.string());
  check_numerics(facts, origin.string());
  if (!facts.data_hash.empty() && facts.data_hash != s.facts.data_hash) {
    throw base::DataError(fmt::format(
        "{}: the run began with other data than {} holds now; expected the same content",
        s.options.directory.string(), s.material.dataset().info.name));
  }
  if (facts.recipe_hash != s.options.recipe_hash || facts.seed != s.options.seed) {
    throw base::RecipeError(fmt::format(
        "{}: its state belongs to another recipe or seed{}; go on with RUN/recipe.yaml unchanged, "
        "or "
        "start another run",
        s.options.directory.string(),
        facts.numerics == kNumericsVersion ? "" : ", or to a gtrain that read it otherwise"));
  }
  if (s.recipe.select == "best" && found->progress.best_epoch > 0) {
    check_best(s.options.directory, *found);
  }
  load_model_tensors(*s.model, found->model, origin.string());
  if (const auto it = found->facts.find("init"); it != found->facts.end()) {
    s.options.init = it->second;
  }
  s.progress = found->progress;
  try {
    s.loop.restore(*found);
  } catch (const base::DataError& e) {
    throw base::DataError(fmt::format(
        "{}: {}; a run goes on from a whole state (best.safetensors and pruned runs hold "
        "weights alone: gtrain train with init.from begins with them)",
        origin.string(), e.what()));
  }
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
