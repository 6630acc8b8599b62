// What the rules find in a model, and the gates they attach there. The table of rules is in
// plan.cpp; a rule is its options (rule.h), an entry there, and a driver
// (src/sparsify/detail/driver.h).
//
// The room in one picture: a recipe's Options -> attach() puts gates into the layers of a model,
// wherever it is built (training, evaluation, export) -> Sparsity (sparsity.h) drives them while it
// trains. Gates carry what evaluation needs as parameters and buffers of the model, so a saved
// model is sparse by itself; what only training needs is saved beside it.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/sparsify/rule.h"
#include "gtrain/sparsify/weight_mask.h"

namespace gtrain::sparsify {

struct Entry {
  std::string_view name, doc, paper;
};
const std::vector<Entry>& catalog();

// An attention of the model, which the module must outlive.
struct Site {
  std::string path;  // "layer_0.attention"
  nn::Gated* gated = nullptr;
  torch::nn::Module* module = nullptr;
};
std::vector<Site> sites(torch::nn::Module& model);

// A residual branch: where its gate goes.
struct Branch {
  std::string path;  // "layer_0.attention.branch_gate", "layer_0.feed_gate"
  std::shared_ptr<nn::BranchGate>* gate = nullptr;
  torch::nn::Module* module = nullptr;
};
// Those that a rule acts on, in the order of the layers.
std::vector<Branch> branches(torch::nn::Module& model, const LayerRule& rule);

// Graph tokens in front of each graph's rows.
std::int64_t leading_tokens(torch::nn::Module& model);

// The parameters a weight rule masks, grouped as WeightMask wants them: matrices called weight,
// in_weight, … (no tables of embeddings, no gates), or the feed-forward blocks. Frozen ones are
// left alone.
std::vector<WeightMask::Group> weight_groups(torch::nn::Module& model, const WeightRule& rule);

// Attaches the gates of all rules that leave less than everything. Throws base::RecipeError, with
// the rule's place, where the model has nothing for a rule or cannot do what it asks.
void attach(torch::nn::Module& model, const Options& options);

// A number of its own for each place of a model: the stream of what is drawn there.
std::uint64_t stream_of(std::string_view path);

}  // namespace gtrain::sparsify
