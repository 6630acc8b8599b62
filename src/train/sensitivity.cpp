#include "sensitivity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "pair.h"
#include "settled.h"
#include "spread.h"

namespace gtrain::train {
namespace {

constexpr std::int64_t kJudged = 512;  // graphs
constexpr double kRuined = 1e30;       // more loss than can be measured
constexpr std::int64_t kPasses = 8;    // batches that measure the importance of heads

class Measurement {
 public:
  Measurement(const Recipe& recipe, const Material& material, models::Model& model)
      : recipe_(recipe),
        material_(material),
        model_(model),
        judge_(judge_of(recipe, material.dataset().info, material.scale)),
        splits_(recipe, material, judge_) {
    const data::Split& split = material.split;
    out_.split = split.valid.empty() ? "train" : "valid";
    ids_ = spread(split.valid.empty() ? split.train : split.valid, kJudged);
    out_.graphs = material.dataset().single_graph() ? 1 : std::ssize(ids_);
  }

  Sensitivity run() {
    out_.loss = loss_of(model_);
    out_.dense = parts_of(count_settled(recipe_, material_, {}, &model_));
    for (const sparsify::Rule& rule : recipe_.sparsify->rules) out_.curves.push_back(curve(rule));
    return std::move(out_);
  }

 private:
  sparsify::Curve curve(const sparsify::Rule& rule) {
    const std::vector<double> keeps = sparsify::keeps_to_try(rule, model_);
    sparsify::Curve out;
    if (keeps.size() == 1 && keeps.front() == 1) {  // there is nothing it could remove
      out.trials.push_back({1, 0, out_.dense});
      return out;
    }
    for (const double keep : keeps) {
      sparsify::Rule at = rule;
      sparsify::timing_of(at).keep = keep;
      out.trials.push_back({keep, 0, parts_of(count_settled(recipe_, material_, {at}, &model_))});
    }
    counted_.clear();
    const std::vector<double> losses =
        std::visit([&](const auto& r) { return losses_of(r, keeps); }, rule);
    for (std::size_t i = 0; i < keeps.size(); ++i) {
      const double more = losses[i] - out_.loss;
      out.trials[i].loss = std::isfinite(more) ? more : kRuined;
      if (!counted_.empty()) out.trials[i].flops = counted_[i];
    }
    return out;
  }

  std::vector<double> losses_of(const sparsify::TokenRule& rule, const std::vector<double>& keeps) {
    sparsify::TokenRule tried = rule;
    if (rule.scorer == "learned" && rule.quirks.empty()) {
      tried.scorer = "attention";
      tried.temperature = 1;
      tried.timing.keep = 0.5;
      try {
        settled_model(recipe_, material_, {tried});
      } catch (const base::RecipeError&) {  // no attention that says what it looks at
        tried = rule;
      }
    }
    return settled_losses(tried, keeps);
  }

  std::vector<double> losses_of(const sparsify::WeightRule& rule,
                                const std::vector<double>& keeps) {
    return settled_losses(rule, keeps);
  }

  std::vector<double> settled_losses(sparsify::Rule rule, const std::vector<double>& keeps) {
    std::vector<double> out;
    for (const double keep : keeps) {
      sparsify::timing_of(rule).keep = keep;
      out.push_back(keep == 1 ? out_.loss
                              : loss_of(*settled_model(recipe_, material_, {rule}, &model_)));
    }
    return out;
  }

  std::vector<double> losses_of(const sparsify::HeadRule& rule, const std::vector<double>& keeps) {
    sparsify::HeadRule tried;
    tried.timing.keep = sparsify::least_kept(rule);
    const auto copy = settled_model(recipe_, material_, {tried}, &model_);
    std::vector<sparsify::HeadMask*> gates;
    for (const sparsify::Site& site : sparsify::sites(*copy)) {
      auto* gate = dynamic_cast<sparsify::HeadMask*>(site.gated->head_gate.get());
      if (gate == nullptr) continue;
      gate->mask.fill_(1);
      gates.push_back(gate);
    }
    train_on(*copy, gates);
    copy_values(model_, *copy);  // statistics of norms have moved
    std::vector<std::pair<at::Tensor, at::Tensor>> seen;
    for (const auto* gate : gates) seen.emplace_back(gate->death.clone(), gate->growth.clone());
    std::vector<double> out;
    for (const double keep : keeps) {
      for (std::size_t i = 0; i < gates.size(); ++i) {
        gates[i]->mask.fill_(1);
        gates[i]->death.copy_(seen[i].first);
        gates[i]->growth.copy_(seen[i].second);
        gates[i]->change(keep, 0, i);
      }
      out.push_back(keep == 1 ? out_.loss : loss_of(*copy));
    }
    return out;
  }

  // Forwards and backwards of a few train batches, for what gates measure in them.
  void train_on(models::Model& copy, const std::vector<sparsify::HeadMask*>& gates) const {
    const at::AutoGradMode gradients(true);  // whatever the caller does
    copy.train();
    for (auto* gate : gates) gate->watch(true);
    const data::Dataset& dataset = material_.dataset();
    const auto size = recipe_.dataset.batch_size;
    const std::vector<std::int64_t> ids = dataset.single_graph()
                                              ? std::vector<std::int64_t>{0}
                                              : spread(material_.split.train, kPasses * size);
    const std::int64_t passes = (std::ssize(ids) + size - 1) / size;
    for (std::int64_t pass = 0; pass < passes; ++pass) {
      std::vector<std::int64_t> part;  // every batch of graphs from all over the split
      for (std::int64_t i = pass; i < std::ssize(ids); i += passes) {
        part.push_back(ids[static_cast<std::size_t>(i)]);
      }
      data::GraphBatch batch =
          dataset.single_graph()
              ? data::collate(dataset, material_.encodings, part, material_.split.train)
              : data::collate(dataset, material_.encodings, part);
      if (judge_.negatives > 0) draw_negatives(batch, judge_.negatives, 0, 1);
      nn::Context context;
      context.training = true;
      context.key = base::key(0, base::Purpose::kDropout, pass);
      const at::Tensor rows = judge_.rows(copy.forward(batch, context), batch);
      judge_.loss.value(rows, material_.scale.apply(batch.label)).backward();
    }
    for (auto* gate : gates) gate->watch(false);
    copy.eval();
  }

  std::vector<double> losses_of(const sparsify::LayerRule& rule, const std::vector<double>& keeps) {
    if (rule.method != "learned") return std::vector<double>(keeps.size(), out_.loss);
    sparsify::LayerRule tried = rule;
    tried.timing.keep = sparsify::least_kept(rule);
    const auto copy = settled_model(recipe_, material_, {tried}, &model_);
    std::vector<sparsify::BranchConcrete*> gates;
    for (const sparsify::Branch& branch : sparsify::branches(*copy, tried)) {
      gates.push_back(dynamic_cast<sparsify::BranchConcrete*>(branch.gate->get()));
    }
    const auto set = [](sparsify::BranchConcrete* gate, double open) {
      gate->settle(at::full({1}, open, at::kFloat));
    };
    for (auto* gate : gates) set(gate, 1);
    std::vector<std::pair<double, std::size_t>> order;  // loss without this one alone
    for (std::size_t i = 0; i < gates.size(); ++i) {
      set(gates[i], 0);
      const double loss = loss_of(*copy);
      order.emplace_back(std::isfinite(loss) ? loss : kRuined, i);
      set(gates[i], 1);
    }
    std::sort(order.begin(), order.end());
    std::vector<double> out;
    for (const double keep : keeps) {
      const std::int64_t all = std::ssize(gates);
      const auto closed =
          static_cast<std::size_t>(keep == 1 ? 0 : all - sparsify::kept_heads(keep, all));
      for (std::size_t i = 0; i < order.size(); ++i)
        set(gates[order[i].second], i < closed ? 0 : 1);
      out.push_back(loss_of(*copy));
      counted_.push_back(parts_of(count_flops(*copy, recipe_, material_, kSettledGraphs)));
    }
    return out;
  }

  double loss_of(models::Model& model) {
    if (material_.dataset().single_graph()) {
      for (const SplitEvaluator::Result& r : splits_.evaluate(model, true)) {
        if (r.split == out_.split) return figure(r.figures, "loss");
      }
    }
    data::Loader loader(material_.dataset(), material_.encodings, ids_, plain_loading(recipe_));
    return figure(evaluate_split(model, loader, judge_), "loss");
  }

  const Recipe& recipe_;
  const Material& material_;
  models::Model& model_;
  Judge judge_;
  SplitEvaluator splits_;
  std::vector<std::int64_t> ids_;
  // Of the very models that were tried, where it matters which of equal things are gone.
  std::vector<sparsify::PartFlops> counted_;
  Sensitivity out_;
};

}  // namespace

Sensitivity measure_sensitivity(const Recipe& recipe, const Material& material,
                                models::Model& model) {
  return Measurement(recipe, material, model).run();
}

sparsify::PartFlops parts_of(const FlopReport& report) {
  sparsify::PartFlops out;
  for (const auto& [module, flops] : report.modules) out[module] = flops.sparse();
  return out;
}

}  // namespace gtrain::train
