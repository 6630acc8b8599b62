#include "gtrain/sparsify/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gtrain/base/error.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/token_gate.h"

namespace gtrain::sparsify {
namespace {

constexpr double kLeast = 0.05;

struct Shares {
  double rows = 1, pairs = 1;  // of an attention
  double heads = 1;            // keep
  double branches = 1;         // of all attentions
  double feed = 1, attention_weights = 1, products = 1;
};

void apply(const TokenRule& rule, double keep, const Costs& costs, Shares& s) {
  if (rule.quirks.size() > 0) return;  // rows of zeros cost as much
  double n1 = 0, n2 = 0, k1 = 0, k2 = 0;
  for (const std::int64_t size : costs.sizes) {
    const auto n = static_cast<double>(size);
    const auto k =
        static_cast<double>(kept_tokens(static_cast<std::int64_t>(std::llround(keep * 1e9)), size));
    n1 += n;
    n2 += n * n;
    k1 += k;
    k2 += k * k;
  }
  if (n1 == 0) return;
  s.rows = k1 / n1;
  s.pairs = k2 / n2;
}

void apply(const HeadRule&, double keep, const Costs&, Shares& s) { s.heads = keep; }

void apply(const LayerRule& rule, double keep, const Costs& costs, Shares& s) {
  const bool all = rule.branches == "all";
  const auto count = static_cast<std::int64_t>(costs.attentions.size()) * (all ? 2 : 1);
  if (rule.method != "learned" || count == 0) return;
  s.branches = static_cast<double>(kept_heads(keep, count)) / static_cast<double>(count);
  if (all) s.feed *= s.branches;
}

void apply(const WeightRule& rule, double keep, const Costs&, Shares& s) {
  s.feed *= keep;
  if (rule.structure == "neuron") return;
  s.attention_weights *= keep;
  s.products *= keep;
}

bool is_fours(const Rule& rule) {
  const auto* weights = std::get_if<WeightRule>(&rule);
  return weights != nullptr && weights->structure == "2:4";
}

double most(const Rule& rule) { return timing_of(rule).keep.value_or(is_fours(rule) ? 0.5 : 1.0); }

double least(const Rule& rule) {
  const auto* layers = std::get_if<LayerRule>(&rule);
  const bool drops = layers != nullptr && layers->method == "drop_path";
  return drops || is_fours(rule) ? most(rule) : std::min(most(rule), kLeast);
}

// The largest keep that removes nothing counts as 1: a rule that asks for less by itself is refused
// where a model is built, one that a budget leaves alone is not.
bool removes(const Rule& rule, double keep, const Costs& costs) {
  const auto count = static_cast<std::int64_t>(costs.attentions.size());
  const auto* layers = std::get_if<LayerRule>(&rule);
  if (layers != nullptr && layers->method == "learned") {
    const std::int64_t all = layers->branches == "all" ? 2 * count : count;
    return kept_heads(keep, all) < all;
  }
  if (!std::holds_alternative<HeadRule>(rule)) return true;
  return std::all_of(costs.attentions.begin(), costs.attentions.end(),
                     [&](const AttentionCost& a) { return kept_heads(keep, a.heads) < a.heads; });
}

std::vector<Rule> at(const std::vector<Rule>& rules, double share, const Costs& costs) {
  std::vector<Rule> out = rules;
  for (Rule& rule : out) {
    // In steps of 1e-4: a keep that can be read, and the same on every machine.
    double keep = most(rule) + share * (least(rule) - most(rule));
    keep = std::max(1e-4, std::round(keep * 1e4) / 1e4);
    timing_of(rule).keep = removes(rule, keep, costs) ? keep : 1.0;
  }
  return out;
}

}  // namespace

double Costs::dense() const { return predicted(*this, {}); }

double predicted(const Costs& costs, const std::vector<Rule>& rules) {
  Shares s;
  for (const Rule& rule : rules) {
    const double keep = timing_of(rule).keep.value_or(1.0);
    std::visit([&](const auto& r) { apply(r, keep, costs, s); }, rule);
  }
  double sum = costs.rest + costs.products * s.products + costs.feed * s.feed;
  for (const AttentionCost& a : costs.attentions) {
    const double heads =
        static_cast<double>(kept_heads(s.heads, a.heads)) / static_cast<double>(a.heads);
    sum += s.branches * heads * (a.product * s.rows * s.attention_weights + a.attention * s.pairs);
  }
  return sum;
}

Options spend(const Options& options, const Costs& costs) {
  if (!options.flops) return options;
  const double target = *options.flops * costs.dense();
  const auto met = [&](double share) {
    return predicted(costs, at(options.rules, share, costs)) <= target * (1 + 1e-12);
  };
  if (!met(1)) {
    throw base::RecipeError(fmt::format(
        "sparsify.flops: {} of the dense model's FLOPs is not reachable: these rules, at the least "
        "they can leave, leave {:.3f}; expected more, or further rules",
        *options.flops, predicted(costs, at(options.rules, 1, costs)) / costs.dense()));
  }
  double low = 0, high = 1;  // not met (or nothing to do), met
  if (met(0)) high = 0;
  while (high - low > 1e-6) {
    const double middle = (low + high) / 2;
    (met(middle) ? high : low) = middle;
  }
  return {.flops = std::nullopt, .rules = at(options.rules, high, costs)};
}

}  // namespace gtrain::sparsify
