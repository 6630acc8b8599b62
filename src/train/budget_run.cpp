#include "budget_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/sparsify/trade_off.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe_file.h"
#include "result.h"
#include "sensitivity.h"
#include "settled.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

fs::path path_in(const fs::path& directory) { return directory / "budget.json"; }

double sum(const sparsify::PartFlops& flops) {
  double out = 0;
  for (const auto& [_, value] : flops) out += value;
  return out;
}

Json json_of(const sparsify::Rule& rule, const sparsify::Curve& curve,
             const sparsify::PartFlops& dense) {
  Json trials = Json::array();
  for (const sparsify::Trial& t : curve.trials) {
    trials.push_back({{"keep", t.keep}, {"loss", t.loss}, {"flops", sum(t.flops) / sum(dense)}});
  }
  Json out{{"name", std::string(sparsify::name_of(rule))},
           {"keep", sparsify::timing_of(rule).keep.value_or(1.0)},
           {"tried", trials}};
  const auto* layers = std::get_if<sparsify::LayerRule>(&rule);
  if (layers != nullptr && !layers->costs.empty()) out["costs"] = layers->costs;
  return out;
}

// The rules that have a driver (sparsify/sparsity.h), by their place among the drivers.
std::vector<std::size_t> driven(const sparsify::Options& options) {
  std::vector<std::size_t> out;
  for (std::size_t r = 0; r < options.rules.size(); ++r) {
    if (sparsify::timing_of(options.rules[r]).keep != 1.0) out.push_back(r);
  }
  return out;
}

// "3.layer_0.attention.death" of rule 3 under the number that its driver has now.
NamedTensors renumbered(const NamedTensors& state, const sparsify::Options& before,
                        const sparsify::Options& now) {
  const std::vector<std::size_t> old = driven(before), own = driven(now);
  NamedTensors out;
  for (std::size_t d = 0; d < own.size(); ++d) {
    const auto from = std::find(old.begin(), old.end(), own[d]);
    if (from == old.end()) continue;
    const std::string prefix = fmt::format("{}.", from - old.begin());
    for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
         ++it) {
      out[fmt::format("{}.{}", d, it->first.substr(prefix.size()))] = it->second;
    }
  }
  return out;
}

// The state of the run, where it is still that of the recipe as it was asked for, and recipe.yaml
// become those of the chosen one.
void carry_over(const Recipe& asked, const Recipe& chosen, const Material& material,
                const fs::path& directory) {
  std::vector<std::string> skipped;  // said when the state is restored
  std::optional<Checkpoint> state = newest_generation(directory, skipped);
  if (state && state->facts["recipe_hash"] == recipe_hash(asked)) {
    const auto model = build_model(chosen, material.signature, state->model);
    const NamedTensors own = model_tensors(*model);
    std::erase_if(state->model, [&](const auto& t) { return own.count(t.first) == 0; });
    state->sparsify = renumbered(state->sparsify, *asked.sparsify, *chosen.sparsify);
    state->facts["recipe_hash"] = recipe_hash(chosen);
    // Both generations: the older one is to go on from, too.
    for (int generation = 0; generation < 2; ++generation) save_generation(directory, *state);
  }
  const fs::path path = directory / "recipe.yaml";
  const std::string text = dump_recipe(chosen);
  if (!fs::exists(path) || base::read_file(path) != text) base::write_durable(path, text);
}

}  // namespace

Recipe decided(const Recipe& recipe, const fs::path& directory, const Material& material) {
  if (!has_measured_budget(recipe) || !fs::exists(path_in(directory))) return recipe;
  const Json decision = read_json(path_in(directory));
  const Json rules = decision.value("rules", Json::array());
  if (decision.value("asked", "") != recipe_hash(recipe) ||
      rules.size() != recipe.sparsify->rules.size()) {
    return recipe;
  }
  Recipe out = recipe;
  out.sparsify->flops.reset();
  out.sparsify->trade_off = "even";
  for (std::size_t r = 0; r < rules.size(); ++r) {
    sparsify::Rule& rule = out.sparsify->rules[r];
    sparsify::timing_of(rule).keep = rules[r].value("keep", 1.0);
    auto* layers = std::get_if<sparsify::LayerRule>(&rule);
    if (layers != nullptr) layers->costs = rules[r].value("costs", std::vector<double>());
  }
  carry_over(recipe, out, material, directory);
  return out;
}

void decide(const Recipe& recipe, const Material& material, models::Model& model,
            std::int64_t updates, const fs::path& directory) {
  base::note(fmt::format("trying each rule after {} updates", updates));
  const Sensitivity s = measure_sensitivity(recipe, material, model);
  const double dense = sum(s.dense);
  const sparsify::Left left = [&](const std::vector<sparsify::Rule>& rules) {
    return count_settled(recipe, material, rules, &model).total().sparse() / dense;
  };
  const auto [chosen, evenly] = sparsify::divide(*recipe.sparsify, model, left, s.dense, s.curves);
  Json rules = Json::array();
  std::string said;
  for (std::size_t r = 0; r < chosen.rules.size(); ++r) {
    rules.push_back(json_of(chosen.rules[r], s.curves[r], s.dense));
    said += fmt::format("{}{} {}", r == 0 ? "" : ", ", sparsify::name_of(chosen.rules[r]),
                        sparsify::timing_of(chosen.rules[r]).keep.value_or(1.0));
  }
  const double leaves = left(chosen.rules);
  base::note(fmt::format("the budget of {} leaves: {} ({:.3f} of the FLOPs){}",
                         *recipe.sparsify->flops, said, leaves,
                         evenly ? "; divided evenly: nothing that was tried meets it" : ""));
  write_json(path_in(directory), {{"asked", recipe_hash(recipe)},
                                  {"flops", *recipe.sparsify->flops},
                                  {"leaves", leaves},
                                  {"divided", evenly ? "even" : "measured"},
                                  {"updates", updates},
                                  {"split", s.split},
                                  {"graphs", s.graphs},
                                  {"loss", s.loss},
                                  {"rules", rules}});
}

}  // namespace gtrain::train
