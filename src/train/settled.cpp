#include "settled.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/sparsity.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"

namespace gtrain::train {
namespace {

// As the rule leaves the model, with what takes time left out.
void make_immediate(sparsify::Rule& rule) {
  sparsify::Timing& timing = sparsify::timing_of(rule);
  timing.start = timing.end = 0;
  timing.every = 1;
  if (auto* weights = std::get_if<sparsify::WeightRule>(&rule)) {
    weights->method = "gmp";
    weights->quirks.clear();
  }
  if (auto* heads = std::get_if<sparsify::HeadRule>(&rule)) heads->exchange = 0;
}

}  // namespace

void copy_values(const models::Model& from, models::Model& to) {
  const at::NoGradGuard guard;
  NamedTensors own = model_tensors(to);
  for (const auto& [name, value] : model_tensors(from)) {
    const auto it = own.find(name);
    if (it == own.end()) continue;
    TORCH_CHECK(it->second.sizes() == value.sizes(), "[copy_values] ", name, " has shape ",
                value.sizes(), "; expected ", it->second.sizes());
    it->second.copy_(value);
  }
}

std::shared_ptr<models::Model> settled_model(const Recipe& recipe, const Material& material,
                                             std::vector<sparsify::Rule> rules,
                                             const models::Model* weights) {
  for (sparsify::Rule& rule : rules) make_immediate(rule);
  Recipe now = recipe;
  now.sparsify = sparsify::Options();
  now.sparsify->rules = std::move(rules);
  const auto model = build_model(now, material.signature,
                                 weights != nullptr ? model_tensors(*weights) : NamedTensors());
  models::initialise(*model, 0);
  if (weights != nullptr) copy_values(*weights, *model);
  sparsify::Sparsity(*model, *now.sparsify, {}).begin(0);
  model->eval();
  return model;
}

FlopReport count_settled(const Recipe& recipe, const Material& material,
                         const std::vector<sparsify::Rule>& rules, const models::Model* weights) {
  const auto model = settled_model(recipe, material, rules, weights);
  return count_flops(*model, recipe, material, kSettledGraphs);
}

}  // namespace gtrain::train
