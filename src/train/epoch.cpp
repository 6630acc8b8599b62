#include "epoch.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "flag.h"
#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "pair.h"

namespace gtrain::train {
namespace {

using Clock = std::chrono::steady_clock;

double between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

std::vector<Parameter> parameters_of(const models::Model& model) {
  std::vector<Parameter> out;
  for (const auto& p : model.named_parameters()) {
    if (p.value().requires_grad()) out.push_back({p.key(), p.value()});
  }
  return out;
}

data::LoaderOptions shuffled(const Recipe& recipe, std::int64_t seed) {
  return {.batch_size = recipe.dataset.batch_size,
          .max_nodes = recipe.dataset.max_nodes,
          .shuffle = true,
          .seed = static_cast<std::uint64_t>(seed)};
}

bool maximises(const Judge& judge, const std::string& metric) {
  for (const Metric& m : judge.metrics) {
    if (m.name == metric) return m.maximise;
  }
  return false;  // the loss
}

void check_schedule(const Recipe& recipe, const Material& material, std::int64_t total) {
  const bool judged = !material.split.valid.empty();
  const auto refuse = [](const std::string& what) { throw base::RecipeError(what); };
  if (std::holds_alternative<PlateauSchedule>(recipe.train.schedule) && !judged) {
    refuse("train.schedule: plateau watches the split valid, which is empty; choose another");
  }
  if (recipe.train.stop.patience > 0 && !judged) {
    refuse("train.stop.patience watches the split valid, which is empty; expected 0");
  }
  const std::int64_t warmup = warmup_of(recipe.train.schedule);
  const bool real = !material.opened.store.empty();  // a likeness has fewer updates than the set
  if (real && warmup > 0 && warmup >= total) {
    refuse(fmt::format("train.schedule.warmup: {}; expected less than the {} {} of the run", warmup,
                       total, per_update(recipe.train.schedule) ? "updates" : "epochs"));
  }
}

}  // namespace

EpochLoop::EpochLoop(const Recipe& recipe, const Material& material, models::Model& model,
                     std::int64_t seed)
    : recipe_(recipe),
      material_(material),
      model_(model),
      judge_(judge_of(recipe, material.dataset().info, material.scale)),
      seed_(seed),
      loader_(material.dataset(), material.encodings, material.split.train, shuffled(recipe, seed)),
      optimizer_(recipe.train.optimizer, parameters_of(model)),
      batches_(loader_.batches()) {
  if (material.dataset().single_graph()) {
    loader_.start_epoch(1);
    whole_ = loader_.next();
  }
  const std::int64_t updates = (batches_ + recipe.train.accumulate - 1) / recipe.train.accumulate;
  epochs_ =
      recipe.train.steps > 0 ? (recipe.train.steps + updates - 1) / updates : recipe.train.epochs;
  total_ = !per_update(recipe.train.schedule) ? epochs_
           : recipe.train.steps > 0           ? recipe.train.steps
                                              : epochs_ * updates;
  check_schedule(recipe, material, total_);
  if (recipe.sparsify) {
    const bool real = !material.opened.store.empty();
    const std::int64_t all = recipe.train.steps > 0 ? recipe.train.steps : epochs_ * updates;
    sparsity_.emplace(model, *recipe.sparsify,
                      sparsify::Clock{updates, real ? all : 0, static_cast<std::uint64_t>(seed)});
  }
  if (const auto* options = std::get_if<PlateauSchedule>(&recipe.train.schedule)) {
    plateau_.emplace(*options, base_rate(recipe.train.optimizer),
                     maximises(judge_, options->metric));
  }
}

void EpochLoop::start_epoch(std::int64_t epoch) {
  epoch_ = epoch;
  if (!whole_) loader_.start_epoch(epoch, batch_);
}

std::optional<data::GraphBatch> EpochLoop::next_batch() {
  if (whole_) return batch_ == 0 ? whole_ : std::nullopt;
  std::optional<data::GraphBatch> batch = loader_.next();
  if (batch && judge_.negatives > 0) draw_negatives(*batch, judge_.negatives, seed_, epoch_);
  return batch;
}

data::GraphBatch EpochLoop::first_batch() {
  start_epoch(1);
  return *next_batch();
}

bool EpochLoop::finished(std::int64_t epoch) const {
  return recipe_.train.steps > 0 ? updates_ >= recipe_.train.steps : epoch >= epochs_;
}

double EpochLoop::rate(std::int64_t epoch, std::int64_t update) const {
  if (plateau_) return plateau_->rate();
  // With max_nodes the number of updates is known of epoch 1 alone: the rate stays where it ends.
  const std::int64_t t = std::min(per_update(recipe_.train.schedule) ? update : epoch - 1, total_);
  return scheduled_rate(recipe_.train.schedule, base_rate(recipe_.train.optimizer), t, total_);
}

double EpochLoop::next_rate(std::int64_t epochs_done) const {
  return rate(epochs_done + 1, updates_);
}

void EpochLoop::observe(double watched) {
  if (plateau_ && !std::isnan(watched)) plateau_->observe(watched);
}

std::string EpochLoop::watched_metric() const {
  const auto* options = std::get_if<PlateauSchedule>(&recipe_.train.schedule);
  return options != nullptr ? options->metric : "loss";
}

std::optional<Plateau::State> EpochLoop::plateau_state() const {
  return plateau_ ? std::optional(plateau_->state()) : std::nullopt;
}

double EpochLoop::state_bytes() const {
  double bytes = 0.0;
  for (const Parameter& p : optimizer_.parameters()) bytes += 2.0 * p.value.nbytes();
  for (const auto& [_, t] : optimizer_.state()) bytes += static_cast<double>(t.nbytes());
  return bytes;
}

// One forward, loss and backward of the loss's share; returns the loss. The gradients stand in the
// parameters.
double EpochLoop::pass(const data::GraphBatch& batch, nn::Context& context, std::int64_t passes,
                       at::Tensor& output) {
  const auto start = Clock::now();
  output = judge_.rows(model_.forward(batch, context), batch);
  const at::Tensor loss = judge_.loss.value(output, material_.scale.apply(batch.label));
  const double value = loss.item<double>();
  const auto forward = Clock::now();
  phases_.forward += between(start, forward);
  if (!std::isfinite(value)) return value;
  const at::Tensor extra = sparsity_ ? sparsity_->penalty() : at::Tensor();
  const at::Tensor total = extra.defined() ? loss + extra : loss;
  (passes == 1 ? total : total / static_cast<double>(passes)).backward();
  phases_.backward += between(forward, Clock::now());
  return value;
}

// The passes of a batch, one without FLAG; returns their mean loss. Figures of training are those
// of the last pass.
double EpochLoop::step(const data::GraphBatch& batch, std::int64_t epoch) {
  const std::optional<FlagOptions>& flag = recipe_.train.flag;
  const std::int64_t passes = flag ? flag->steps : 1;
  if (sparsity_) sparsity_->begin(updates_);
  const auto key = [&](auto... more) {
    return base::key(static_cast<std::uint64_t>(seed_), base::Purpose::kDropout, epoch, batch_,
                     more...);
  };
  at::Tensor output, perturbation;
  double sum = 0.0;
  for (std::int64_t k = 0; k < passes; ++k) {
    nn::Context context;
    context.training = true;
    context.key = k == 0 ? key() : key(k);
    if (flag) {
      constexpr std::int64_t kStart = -1;
      perturbation =
          k > 0 ? climb(*flag, perturbation, perturbation.grad())
                : first_perturbation(*flag, batch.nodes(), node_width(recipe_.model), key(kStart));
      perturbation.set_requires_grad(true);
      context.perturbation = perturbation;
    }
    const double value = pass(batch, context, passes, output);
    if (!std::isfinite(value)) return value;
    if (flag && !perturbation.grad().defined()) {
      throw base::RecipeError("train.flag: the model takes no perturbation of its node vectors");
    }
    sum += value;
  }
  const double loss = sum / static_cast<double>(passes);
  tally_->add(loss, output, batch.label);
  return loss;
}

double EpochLoop::update_weights(double rate) {
  if (sparsity_) sparsity_->before_update(updates_);
  const double norm = optimizer_.step(rate, recipe_.train.clip_norm);
  if (!std::isfinite(norm)) return norm;  // the gradients stay, to be named
  if (sparsity_) {
    const NamedTensors all = optimizer_.state();
    sparsity_->after_update(updates_ + 1, [&](const std::string& parameter) {
      std::vector<at::Tensor> slots;
      const std::string prefix = parameter + ".";
      for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix);
           ++it) {
        if (it->second.dim() > 0) slots.push_back(it->second);  // not the count of steps
      }
      return slots;
    });
  }
  optimizer_.zero_grad();
  return norm;
}

std::string EpochLoop::where(const data::GraphBatch& batch, std::int64_t epoch, const char* what,
                             double value) const {
  std::string worst = optimizer_.worst_gradient();
  double largest = 0.0;  // of the weights, where no gradient was made
  const bool no_gradient = worst == "none";
  for (const Parameter& p : optimizer_.parameters()) {
    const double m = p.value.numel() > 0 ? p.value.detach().abs().max().item<double>() : 0.0;
    if (!std::isfinite(m)) {
      worst = p.name + " (not finite itself)";
      break;
    }
    if (!no_gradient || m <= largest) continue;
    largest = m;
    worst = fmt::format("{} (largest weight {:.3g})", p.name, m);
  }
  constexpr std::size_t kShown = 32;
  const auto shown = std::min(kShown, batch.graph_ids.size());
  return fmt::format(
      "diverged in epoch {}, batch {} (update {}): the {} is {}; worst parameter: {}; graphs of "
      "the "
      "batch: {}{}",
      epoch, batch_ + 1, updates_ + 1, what, value, worst,
      fmt::join(batch.graph_ids.begin(),
                batch.graph_ids.begin() + static_cast<std::ptrdiff_t>(shown), " "),
      shown < batch.graph_ids.size() ? " …" : "");
}

double EpochLoop::seconds_left(std::int64_t epoch, double per_batch) const {
  const std::int64_t whole = (epochs_ - epoch) * loader_.batches();
  return per_batch * static_cast<double>(loader_.batches() - batch_ + whole);
}

StepEnd EpochLoop::run(std::int64_t epoch, const std::string& label,
                       const std::atomic<int>* interrupt, EpochFigures& out) {
  if (!tally_) tally_.emplace(judge_);
  start_epoch(epoch);
  model_.train();
  optimizer_.zero_grad();
  ProgressLine line(label, epochs_);
  const std::int64_t batches = loader_.batches(), first = batch_;
  graphs_ = 0;
  seconds_ = 0.0;
  auto before = Clock::now();
  while (const auto batch = next_batch()) {
    const auto loaded = Clock::now();
    phases_.load += between(before, loaded);
    const double loss = step(*batch, epoch);
    if (!std::isfinite(loss)) {
      out.problem = where(*batch, epoch, "loss", loss);
      return StepEnd::kDiverged;
    }
    const bool update = (batch_ + 1) % recipe_.train.accumulate == 0 || batch_ + 1 == batches;
    if (update) {
      const auto start = Clock::now();
      const double norm = update_weights(rate(epoch, updates_));
      if (!std::isfinite(norm)) {
        out.problem = where(*batch, epoch, "gradient norm", norm);
        return StepEnd::kDiverged;
      }
      phases_.update += between(start, Clock::now());
      ++updates_;
    }
    ++batch_;
    graphs_ += batch->graphs;
    const auto now = Clock::now();
    seconds_ += between(before, now);
    before = now;
    line.step(epoch, batch_, batches, loss, static_cast<double>(graphs_) / seconds_,
              seconds_left(epoch, seconds_ / static_cast<double>(batch_ - first)));
    if (!update) continue;
    if (recipe_.train.steps > 0 && updates_ >= recipe_.train.steps) break;
    if (paused() || (interrupt != nullptr && *interrupt != 0)) return StepEnd::kInterrupted;
  }
  out.figures = tally_->figures();
  out.rate = rate(epoch, updates_ - 1);
  out.graphs = graphs_;
  out.seconds = seconds_;
  tally_.reset();
  batch_ = 0;
  return StepEnd::kEpoch;
}

Phases EpochLoop::measure(std::int64_t steps) {
  phases_ = {};
  model_.train();
  tally_.emplace(judge_);
  std::int64_t epoch = 0;
  for (std::int64_t done = 0; done < steps;) {
    batch_ = 0;
    start_epoch(++epoch);
    auto before = Clock::now();
    for (auto batch = next_batch(); batch && done < steps; batch = next_batch(), ++done) {
      phases_.load += between(before, Clock::now());
      const double loss = step(*batch, epoch);
      if (!std::isfinite(loss)) throw base::DivergedError(where(*batch, epoch, "loss", loss));
      before = Clock::now();
      update_weights(rate(epoch, 0));
      const auto now = Clock::now();
      phases_.update += between(before, now);
      before = now;
      ++batch_;
    }
  }
  tally_.reset();
  return phases_;
}

void EpochLoop::keep_partial(Checkpoint& checkpoint) const {
  checkpoint.partial["outputs"] = tally_->outputs();
  checkpoint.partial["labels"] = tally_->labels();
  checkpoint.progress.loss_sum = tally_->loss_sum();
  checkpoint.progress.labelled = tally_->labelled();
}

void EpochLoop::restore(const Checkpoint& checkpoint) {
  const Progress& p = checkpoint.progress;
  optimizer_.load_state(checkpoint.optimizer);
  if (sparsity_) sparsity_->load_state(checkpoint.sparsify);
  updates_ = p.updates;
  batch_ = p.batch;
  if (plateau_ && p.plateau) plateau_->restore(*p.plateau);
  if (p.batch == 0) return;
  tally_.emplace(judge_);
  tally_->restore(p.loss_sum, p.labelled, checkpoint.partial.at("outputs"),
                  checkpoint.partial.at("labels"));
}

}  // namespace gtrain::train
