#include "gtrain/train/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "gtrain/base/error.h"
#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/budget.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/train/origin.h"
#include "material.h"
#include "settled.h"

namespace gtrain::train {
namespace {

bool has_one_update_an_epoch(const Recipe& recipe, const Material& material) {
  const auto graphs = static_cast<std::int64_t>(material.split.train.size());
  return material.dataset().single_graph() ||
         (recipe.dataset.max_nodes == 0 &&
          graphs <= recipe.dataset.batch_size * recipe.train.accumulate);
}

// Random weights say nothing of what a model can do without. It is measured one update before the
// first rule starts, so there have to be two.
void check_start(const Recipe& recipe, const Material& material) {
  const std::vector<sparsify::Rule>& rules = recipe.sparsify->rules;
  const bool one = has_one_update_an_epoch(recipe, material);
  const auto at_once = std::find_if(rules.begin(), rules.end(), [&](const sparsify::Rule& rule) {
    const sparsify::Timing& timing = sparsify::timing_of(rule);
    return timing.start == 0 || (timing.start == 1 && (timing.unit == "step" || one));
  });
  if (recipe.init || at_once == rules.end()) return;
  throw base::RecipeError(fmt::format(
      "sparsify.trade_off: measured tries the rules on the weights when the first one starts, and "
      "rules[{}] starts with random ones; expected a later start, or init",
      at_once - rules.begin()));
}

// Where no head is left nothing attends, so no nodes are chosen.
void drop_idle_choices(models::Model& model) {
  for (const sparsify::Site& site : sparsify::sites(model)) {
    if (!site.gated->token_gate) continue;
    const nn::Gated::HeadSlices slices = site.gated->head_slices().front();
    if (slices.value.size(slices.dim) > 0) continue;
    site.gated->token_gate.reset();
    site.module->unregister_module("token_gate");
  }
}

// With the weights of `init`; nullptr where there are none to read.
std::shared_ptr<models::Model> begun_model(const Recipe& recipe, const Material& material) {
  if (!recipe.init || !origin_exists(*recipe.init)) return nullptr;
  auto model = build_model(recipe, material.signature, origin_tensors(*recipe.init, *recipe.zoo));
  models::initialise(*model, 0);
  load_origin(*model, *recipe.init, *recipe.zoo);
  return model;
}

}  // namespace

std::shared_ptr<models::Model> build_model(const Recipe& recipe, const models::Signature& signature,
                                           const std::map<std::string, at::Tensor>& state) {
  std::shared_ptr<models::Model> model = models::build(recipe.model, signature);
  sparsify::fit(*model, state);
  if (recipe.sparsify) sparsify::attach(*model, *recipe.sparsify);
  drop_idle_choices(*model);
  return model;
}

bool has_measured_budget(const Recipe& recipe) {
  return recipe.sparsify && recipe.sparsify->flops && recipe.sparsify->trade_off == "measured";
}

Recipe with_budget(const Recipe& recipe, const Material& material) {
  if (!recipe.sparsify || !recipe.sparsify->flops) return recipe;
  const auto begun = begun_model(recipe, material);
  const auto plain = begun ? begun : models::build(recipe.model, material.signature);
  const double dense = count_settled(recipe, material, {}, begun.get()).total().total();
  const sparsify::Left left = [&](const std::vector<sparsify::Rule>& rules) {
    return count_settled(recipe, material, rules, begun.get()).total().sparse() / dense;
  };
  Recipe out = recipe;
  if (has_measured_budget(recipe)) {
    check_start(recipe, material);
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
