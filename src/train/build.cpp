#include "gtrain/train/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "gtrain/base/error.h"
#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/budget.h"
#include "gtrain/sparsify/plan.h"
#include "material.h"
#include "settled.h"

namespace gtrain::train {
namespace {

// Random weights say nothing of what a model can do without.
void check_start(const Recipe& recipe) {
  const std::vector<sparsify::Rule>& rules = recipe.sparsify->rules;
  const auto at_once = std::find_if(rules.begin(), rules.end(), [](const sparsify::Rule& rule) {
    return sparsify::timing_of(rule).start == 0;
  });
  if (recipe.init || at_once == rules.end()) return;
  throw base::RecipeError(fmt::format(
      "sparsify.trade_off: measured tries the rules on the weights when the first one starts, and "
      "rules[{}] starts with random ones; expected a later start, or init",
      at_once - rules.begin()));
}

}  // namespace

std::shared_ptr<models::Model> build_model(const Recipe& recipe,
                                           const models::Signature& signature) {
  std::shared_ptr<models::Model> model = models::build(recipe.model, signature);
  if (recipe.sparsify) sparsify::attach(*model, *recipe.sparsify);
  return model;
}

bool has_measured_budget(const Recipe& recipe) {
  return recipe.sparsify && recipe.sparsify->flops && recipe.sparsify->trade_off == "measured";
}

Recipe with_budget(const Recipe& recipe, const Material& material) {
  if (!recipe.sparsify || !recipe.sparsify->flops) return recipe;
  const auto plain = models::build(recipe.model, material.signature);
  const double dense = count_settled(recipe, material, {}).total().total();
  const sparsify::Left left = [&](const std::vector<sparsify::Rule>& rules) {
    return count_settled(recipe, material, rules).total().sparse() / dense;
  };
  Recipe out = recipe;
  if (has_measured_budget(recipe)) {
    check_start(recipe);
    sparsify::check_reachable(*recipe.sparsify, *plain, left);
    // Beside a budget that is no wish for the dense model, which would have no gates to measure.
    for (sparsify::Rule& rule : out.sparsify->rules) {
      std::optional<double>& keep = sparsify::timing_of(rule).keep;
      if (keep == 1.0) keep.reset();
    }
  } else {
    out.sparsify = sparsify::spend(*recipe.sparsify, *plain, left);
  }
  return out;
}

Recipe with_budget(const Recipe& recipe, const data::Opened& opened) {
  if (!recipe.sparsify || !recipe.sparsify->flops) return recipe;
  return with_budget(recipe, prepare(recipe, opened));
}

}  // namespace gtrain::train
