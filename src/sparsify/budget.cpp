#include "gtrain/sparsify/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"

namespace gtrain::sparsify {
namespace {

constexpr double kLeast = 0.05, kStep = 1e-4, kSlack = 1 + 1e-12;
constexpr double kPrices = 1e6;  // costs of branches are such parts of the dense model

bool is_fours(const Rule& rule) {
  const auto* weights = std::get_if<WeightRule>(&rule);
  return weights != nullptr && weights->structure == "2:4";
}

bool removes(const Rule& rule, double keep, torch::nn::Module& model) {
  if (const auto* layers = std::get_if<LayerRule>(&rule); layers != nullptr) {
    const std::int64_t count = std::ssize(branches(model, *layers));
    if (layers->method != "learned") return true;
    return layers->costs.empty() ? kept_heads(keep, count) < count : keep < 1;
  }
  if (!std::holds_alternative<HeadRule>(rule)) return true;
  const std::vector<Site> all = sites(model);
  return std::all_of(all.begin(), all.end(), [&](const Site& site) {
    const std::int64_t heads = site.gated->parts().heads;
    return heads == 0 || kept_heads(keep, heads) < heads;
  });
}

bool closes_branches(const Rule& rule) {
  const auto* layers = std::get_if<LayerRule>(&rule);
  return layers != nullptr && layers->method == "learned" && layers->timing.keep != 1.0;
}

std::vector<Rule> at(const std::vector<Rule>& rules, double share, torch::nn::Module& model) {
  std::vector<Rule> out = rules;
  for (Rule& rule : out) {
    const double most = most_kept(rule);
    timing_of(rule).keep = effective_keep(rule, most + share * (least_kept(rule) - most), model);
  }
  return out;
}

}  // namespace

double most_kept(const Rule& rule) {
  return timing_of(rule).keep.value_or(is_fours(rule) ? 0.5 : 1.0);
}

double least_kept(const Rule& rule) {
  const auto* layers = std::get_if<LayerRule>(&rule);
  const bool drops = layers != nullptr && layers->method == "drop_path";
  return drops || is_fours(rule) ? most_kept(rule) : std::min(most_kept(rule), kLeast);
}

double effective_keep(const Rule& rule, double keep, torch::nn::Module& model) {
  // A keep that can be read, and the same on every machine.
  const double rounded = std::max(kStep, std::round(keep * 1e4) / 1e4);
  return removes(rule, rounded, model) ? rounded : 1.0;
}

void check_reachable(const Options& options, torch::nn::Module& model, const Left& left) {
  if (!options.flops) return;
  const double least = left(at(options.rules, 1, model));
  if (least <= *options.flops * kSlack) return;
  throw base::RecipeError(fmt::format(
      "sparsify.flops: {} of the dense model's FLOPs is not reachable: these rules, at the least "
      "they can leave, leave {:.3f}; expected more, or further rules",
      *options.flops, least));
}

Options priced(const Options& asked, Options divided, torch::nn::Module& model, const Left& left) {
  std::size_t r = 0;
  while (r < divided.rules.size() && !closes_branches(divided.rules[r])) ++r;
  if (r == divided.rules.size()) return divided;
  auto& rule = std::get<LayerRule>(divided.rules[r]);
  const auto leaves = [&](double keep, std::vector<double> costs) {
    rule.timing.keep = keep;
    rule.costs = std::move(costs);
    return left(divided.rules);
  };
  const double all = leaves(1, {});
  std::vector<double> costs, only(branches(model, rule).size(), 0);
  for (double& one : only) {
    one = 1;  // the others cost nothing, so that none but this one is too dear
    costs.push_back(std::max(0.0, std::round((all - leaves(kStep, only)) * kPrices) / kPrices));
    one = 0;
  }
  const double sum = std::accumulate(costs.begin(), costs.end(), 0.0);
  const double closed = all - *asked.flops + static_cast<double>(costs.size()) / kPrices;
  const double keep = sum > 0 ? std::floor((1 - closed / sum) * 1e4) / 1e4 : 1;
  rule.timing.keep = std::clamp(keep, kStep, std::max(kStep, most_kept(asked.rules[r])));
  rule.costs = rule.timing.keep < 1.0 ? costs : std::vector<double>();
  return divided;
}

Options spend(const Options& options, torch::nn::Module& model, const Left& left) {
  if (!options.flops) return options;
  check_reachable(options, model, left);
  const auto met = [&](double share) {
    return left(at(options.rules, share, model)) <= *options.flops * kSlack;
  };
  double low = 0, high = 1;  // not met (or nothing to do), met
  if (met(0)) high = 0;
  while (high - low > kStep) {
    const double middle = (low + high) / 2;
    (met(middle) ? high : low) = middle;
  }
  Options out;
  out.rules = at(options.rules, high, model);
  return priced(options, std::move(out), model, left);
}

}  // namespace gtrain::sparsify
