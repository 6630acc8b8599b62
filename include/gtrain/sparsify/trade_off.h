// A budget of FLOPs divided by what was measured: each rule alone was tried at a few keeps on the
// model as it was when the first rule started, and the loss and the FLOPs of each part of the model
// were written down. Of all combinations on a grid, the one with the least predicted loss that
// meets the budget is taken: exact search, the curves taken for right where they join:
//   loss   increases over the dense model add up; a rule that removes more never loses less
//   FLOPs  of a part are what all rules leave of it, multiplied: f_p Π_r f_p(r) / f_p; of parts
//          that a rule brings along (scores of nodes) their sum
// Both are linear between measured keeps. What a combination really leaves is asked for (Left), and
// the search repeated with another aim: a lower one until the budget is met, a higher one where
// more than a hundredth of it is left over.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gtrain/sparsify/budget.h"

namespace gtrain::sparsify {

using PartFlops = std::map<std::string, double>;  // by part of the model, of a graph

struct Trial {
  double keep = 1;
  double loss = 0;  // over the dense model's
  PartFlops flops;
};
struct Curve {
  std::vector<Trial> trials;  // falling keep
};

// Keeps to try a rule at, falling, the first its most: whole heads and branches where it acts on
// such, else steps of a tenth and 0.05.
std::vector<double> keeps_to_try(const Rule& rule, torch::nn::Module& model);

struct Division {
  Options options;      // the rules with their keep set, and no budget any more
  bool evenly = false;  // as `trade_off: even` does, because no point of the grid meets the budget
};

// Throws base::RecipeError where the rules cannot meet the budget, which `options` has.
Division divide(const Options& options, torch::nn::Module& model, const Left& left,
                const PartFlops& dense, const std::vector<Curve>& curves);

}  // namespace gtrain::sparsify
