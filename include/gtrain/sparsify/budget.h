// A budget of FLOPs over several rules: which share each of them leaves so that together they leave
// `flops` of the dense model's. What rules leave is not predicted here but asked for (Left): the
// model as they leave it is built and counted, heads and hidden units taken for gone as `gtrain
// prune` makes them (train/build.h).
//
// Divided evenly, all rules move together: keep = most + s (least - most) for one s in [0, 1], the
// smallest that meets the budget. Divided by a measured trade-off: sparsify/trade_off.h. most is
// the rule's own keep, or 1 without one; least is 0.05. Structure 2:4 stays at a half, drop_path,
// which saves nothing, at its most.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <vector>

#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

// The share of the dense model's FLOPs that rules leave, each at its keep (1: it does nothing).
using Left = std::function<double(const std::vector<Rule>&)>;

double most_kept(const Rule& rule);
double least_kept(const Rule& rule);

// `keep` in steps of 1e-4, or 1 where it would remove nothing of the model: a rule that asks for
// that by itself is refused where a model is built, one that a budget leaves alone is not.
double effective_keep(const Rule& rule, double keep, torch::nn::Module& model);

// The rules with their keep set, and no budget any more; unchanged without a budget. `model`: with
// gates or without. Throws base::RecipeError where the rules cannot meet it, naming what they can.
// Asks `left` some 15 times, and once for each branch that a learned rule may close.
Options spend(const Options& options, torch::nn::Module& model, const Left& left);

// Which branches a learned rule on layers closes is settled by its gates, later: in `divided` it
// gets the FLOPs of each branch as costs, as the other rules leave them, and the keep at which any
// choice meets the budget that `asked` has. Asks `left` once for each branch.
Options priced(const Options& asked, Options divided, torch::nn::Module& model, const Left& left);

// Throws that error, and does no more.
void check_reachable(const Options& options, torch::nn::Module& model, const Left& left);

}  // namespace gtrain::sparsify
