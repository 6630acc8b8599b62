#include "gtrain/sparsify/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gtrain/base/error.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"

namespace gtrain::sparsify {
namespace {

constexpr double kLeast = 0.05, kStep = 1e-4, kSlack = 1 + 1e-12;

bool is_fours(const Rule& rule) {
  const auto* weights = std::get_if<WeightRule>(&rule);
  return weights != nullptr && weights->structure == "2:4";
}

bool removes(const Rule& rule, double keep, torch::nn::Module& model) {
  if (const auto* layers = std::get_if<LayerRule>(&rule); layers != nullptr) {
    const auto count = static_cast<std::int64_t>(branches(model, *layers).size());
    return layers->method != "learned" || kept_heads(keep, count) < count;
  }
  if (!std::holds_alternative<HeadRule>(rule)) return true;
  const std::vector<Site> all = sites(model);
  return std::all_of(all.begin(), all.end(), [&](const Site& site) {
    const std::int64_t heads = site.gated->parts().heads;
    return heads == 0 || kept_heads(keep, heads) < heads;
  });
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
  return out;
}

}  // namespace gtrain::sparsify
