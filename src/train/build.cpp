#include "gtrain/train/build.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "gtrain/models/zoo.h"
#include "gtrain/nn/global.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/sparsify/budget.h"
#include "gtrain/sparsify/plan.h"
#include "material.h"

namespace gtrain::train {
namespace {

constexpr std::size_t kCounted = 64;  // graphs

std::string module_of(const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

bool below(const std::string& path, const std::string& module) {
  return path == module || path.starts_with(module + ".");
}

// Where an attention is a part of a layer that also holds what follows it (GT, SAN).
bool projects(const std::string& path, const std::string& layer) {
  for (const std::string_view part : {"q", "k", "v", "e", "q_other", "k_other", "e_other"}) {
    if (path == layer + "." + std::string(part)) return true;
  }
  return false;
}

sparsify::Costs costs_from(const ops::FlopCount& count, torch::nn::Module& model) {
  const std::vector<sparsify::Site> sites = sparsify::sites(model);
  sparsify::Costs costs;
  for (const sparsify::Site& site : sites) {
    costs.attentions.push_back({0, 0, std::max<std::int64_t>(1, site.gated->parts().heads)});
  }
  for (const auto& [path, flops] : count.modules()) {
    const double product = flops.of[static_cast<std::size_t>(ops::Work::kProduct)];
    const double attention = flops.of[static_cast<std::size_t>(ops::Work::kAttention)];
    const auto site = std::find_if(sites.begin(), sites.end(),
                                   [&](const auto& one) { return below(path, one.path); });
    const bool inside = site != sites.end();
    const bool own = inside && (dynamic_cast<nn::Global*>(site->module) != nullptr ||
                                projects(path, site->path));
    const bool feed = path.ends_with("feed_0") || path.ends_with("feed_1");
    sparsify::AttentionCost none;
    sparsify::AttentionCost& cost =
        inside ? costs.attentions[static_cast<std::size_t>(site - sites.begin())] : none;
    cost.attention += attention;
    (own ? cost.product : feed ? costs.feed : costs.products) += product;
    costs.rest += flops.total() - product - (inside ? attention : 0);
  }
  return costs;
}

sparsify::Costs costs_of(const Recipe& recipe, const Material& material) {
  const std::shared_ptr<models::Model> model = models::build(recipe.model, material.signature);
  models::initialise(*model, 0);
  model->eval();
  const data::Dataset& dataset = material.dataset();
  std::vector<std::int64_t> ids{0};
  if (!dataset.single_graph()) {
    const std::vector<std::int64_t>& train = material.split.train;
    ids.assign(train.begin(),
               train.begin() + static_cast<std::ptrdiff_t>(std::min(kCounted, train.size())));
  }
  const data::GraphBatch batch = data::collate(dataset, material.encodings, ids);
  ops::FlopCount count;
  for (const auto& p : model->named_parameters()) count.name(p.value(), module_of(p.key()));
  model->apply([&](const std::string& path, torch::nn::Module& m) { count.name(m, path); });
  const at::NoGradGuard guard;
  nn::Context context;
  model->forward(batch, context);
  sparsify::Costs costs = costs_from(count, *model);
  for (const std::int64_t id : ids) costs.sizes.push_back(dataset.nodes_of(id));
  return costs;
}

}  // namespace

std::shared_ptr<models::Model> build_model(const Recipe& recipe,
                                           const models::Signature& signature) {
  std::shared_ptr<models::Model> model = models::build(recipe.model, signature);
  if (recipe.sparsify) sparsify::attach(*model, *recipe.sparsify);
  return model;
}

Recipe with_budget(const Recipe& recipe, const Material& material) {
  if (!recipe.sparsify || !recipe.sparsify->flops) return recipe;
  Recipe out = recipe;
  out.sparsify = sparsify::spend(*recipe.sparsify, costs_of(recipe, material));
  return out;
}

Recipe with_budget(const Recipe& recipe, const data::Opened& opened) {
  if (!recipe.sparsify || !recipe.sparsify->flops) return recipe;
  return with_budget(recipe, prepare(recipe, opened));
}

}  // namespace gtrain::train
