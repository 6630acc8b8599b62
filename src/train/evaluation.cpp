#include "evaluation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>

#include "flop_report.h"
#include "gtrain/base/error.h"
#include "pair.h"

namespace gtrain::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void judge_rows(const Judge& judge, const at::Tensor& output, const at::Tensor& label,
                Tally& tally) {
  const double loss = judge.loss.value(output, judge.scale.apply(label)).item<double>();
  tally.add(loss, output, label);
}

}  // namespace

Judge judge_of(const Recipe& recipe, const data::DatasetInfo& info, const TargetScale& scale) {
  Judge judge{find_loss(recipe.train.loss, info.task),
              reported_metrics(info.metric, info.task),
              info.task,
              scale,
              info.positions,
              recipe.train.negatives.value_or(0)};
  if (judge.negatives > 0 && info.task != data::Task::kEdgeBinary) {
    throw base::RecipeError(
        fmt::format("train.negatives: does not fit the task {}; expected edge_binary",
                    data::name_of(info.task)));
  }
  const auto* plateau = std::get_if<PlateauSchedule>(&recipe.train.schedule);
  if (plateau == nullptr || plateau->metric == "loss") return judge;
  Metric watched = find_metric(plateau->metric, info.task, "train.schedule.metric");
  const bool there = std::any_of(judge.metrics.begin(), judge.metrics.end(),
                                 [&](const Metric& m) { return m.name == watched.name; });
  if (!there) judge.metrics.push_back(std::move(watched));
  return judge;
}

bool Judge::ranks() const {
  return std::any_of(metrics.begin(), metrics.end(), [](const Metric& m) { return m.ranks; });
}

at::Tensor Judge::rows(const at::Tensor& output, const data::GraphBatch& batch) const {
  const at::Tensor labelled = labelled_rows(output, batch);
  return positions == 0 ? labelled : labelled.unflatten(1, {positions, -1});
}

at::Tensor decided_tokens(const at::Tensor& scores) {
  const at::Tensor best = scores.argmax(2);  // [R, positions]
  const at::Tensor ended = (best == scores.size(2) - 1).cumsum(1) > 0;
  return best.masked_fill(ended, -1).to(at::kFloat);
}

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [key, value] : figures) {
    if (key == name) return value;
  }
  return std::nan("");
}

at::Tensor labelled_rows(const at::Tensor& output, const data::GraphBatch& batch) {
  return batch.label_row.defined() ? output.index_select(0, batch.label_row) : output;
}

data::LoaderOptions plain_loading(const Recipe& recipe) {
  return {.batch_size = recipe.dataset.batch_size, .max_nodes = recipe.dataset.max_nodes};
}

void Tally::add(double loss, const at::Tensor& output, const at::Tensor& label) {
  const std::int64_t labelled = labelled_entries(label);
  if (labelled > 0) loss_sum_ += loss * static_cast<double>(labelled);
  labelled_ += labelled;
  const bool tokens = judge_->positions > 0;  // scores of a whole split would fill the memory
  outputs_.push_back(tokens ? decided_tokens(output.detach())
                            : judge_->scale.undo(output.detach()));
  labels_.push_back(label);
}

void Tally::add_ranks(const std::vector<Rank>& ranks) {
  ranks_.insert(ranks_.end(), ranks.begin(), ranks.end());
}

at::Tensor Tally::outputs() const { return at::cat(outputs_); }
at::Tensor Tally::labels() const { return at::cat(labels_); }

void Tally::restore(double loss_sum, std::int64_t labelled, const at::Tensor& outputs,
                    const at::Tensor& labels) {
  loss_sum_ = loss_sum;
  labelled_ = labelled;
  outputs_ = {outputs};
  labels_ = {labels};
}

Figures Tally::figures() const {
  Figures out;
  out.emplace_back("loss",
                   labelled_ > 0 ? loss_sum_ / static_cast<double>(labelled_) : std::nan(""));
  if (outputs_.empty()) return out;
  const at::Tensor output = outputs();
  const bool finite = output.isfinite().all().item<bool>();
  Scores scores(judge_->task, output, labels());
  scores.ranks = ranks_;
  for (const Metric& metric : judge_->metrics) {
    out.emplace_back(metric.name, finite ? metric.value(scores) : std::nan(""));
  }
  return out;
}

void for_each_output(
    models::Model& model, data::Loader& loader,
    const std::function<void(const data::GraphBatch&, const at::Tensor& output)>& use,
    const std::function<void(data::GraphBatch&)>& prepare) {
  const at::NoGradGuard no_grad;
  model.eval();
  loader.start_epoch(1);
  while (auto batch = loader.next()) {
    if (prepare) prepare(*batch);
    nn::Context context;
    use(*batch, model.forward(*batch, context));
  }
}

Figures evaluate_split(models::Model& model, data::Loader& loader, const Judge& judge) {
  Tally tally(judge);
  at::Tensor listed;  // pairs of the batch without the candidates of ranking
  const auto prepare = [&](data::GraphBatch& batch) {
    if (judge.negatives > 0) draw_negatives(batch, judge.negatives, 0, 0);
    listed = batch.pair;
    if (judge.ranks()) batch.pair = with_candidates(batch);
  };
  const auto use = [&](const data::GraphBatch& given, const at::Tensor& all) {
    if (!judge.ranks()) return judge_rows(judge, judge.rows(all, given), given.label, tally);
    data::GraphBatch batch = given;
    batch.pair = listed;
    tally.add_ranks(ranks_of(batch, all));
    judge_rows(judge, all.narrow(0, 0, listed.size(0)), batch.label, tally);
  };
  for_each_output(model, loader, use, prepare);
  return tally.figures();
}

SplitEvaluator::SplitEvaluator(const Recipe& recipe, const Material& material, const Judge& judge)
    : judge_(judge) {
  const data::Dataset& dataset = material.dataset();
  if (dataset.single_graph()) {
    const std::int64_t only = 0;
    whole_ = data::collate(dataset, material.encodings, {&only, 1});
  }
  const std::pair<const char*, const std::vector<std::int64_t>*> all[] = {
      {"train", &material.split.train},
      {"valid", &material.split.valid},
      {"test", &material.split.test}};
  for (const auto& [name, ids] : all) {
    if (ids->empty()) continue;
    if (whole_) {
      parts_.push_back({name, nullptr, at::tensor(*ids, at::kLong)});
    } else {
      parts_.push_back(
          {name,
           std::make_unique<data::Loader>(dataset, material.encodings, *ids, plain_loading(recipe)),
           {}});
    }
  }
}

std::vector<SplitEvaluator::Result> SplitEvaluator::evaluate(models::Model& model,
                                                             bool with_train) {
  std::vector<Result> results;
  std::vector<const Part*> wanted;
  for (const Part& part : parts_) {
    if (with_train || std::string_view(part.split) != "train") wanted.push_back(&part);
  }
  if (whole_ && !wanted.empty()) {
    evaluate_whole(model, results, wanted);
    return results;
  }
  for (const Part* part : wanted) {
    const auto start = Clock::now();
    const FlopMeter meter(model);
    const std::int64_t graphs = part->loader->graphs();
    Figures figures = evaluate_split(model, *part->loader, judge_);
    results.push_back({part->split, std::move(figures), seconds_since(start), graphs,
                       meter.report(graphs).total()});
  }
  return results;
}

void SplitEvaluator::evaluate_whole(models::Model& model, std::vector<Result>& results,
                                    const std::vector<const Part*>& parts) const {
  const at::NoGradGuard no_grad;
  model.eval();
  auto start = Clock::now();
  nn::Context context;
  at::Tensor output;
  ops::Flops flops;
  {
    const FlopMeter meter(model);
    output = model.forward(*whole_, context);
    flops = meter.report(1).total();
  }
  const double share = seconds_since(start) / static_cast<double>(parts.size());
  for (const Part* part : parts) {
    start = Clock::now();
    Tally tally(judge_);
    judge_rows(judge_, output.index_select(0, part->rows),
               whole_->label.index_select(0, part->rows), tally);
    results.push_back({part->split, tally.figures(), share + seconds_since(start), 1, flops});
  }
}

}  // namespace gtrain::train
