// A budget of FLOPs over several rules: which share each of them leaves so that together they leave
// `flops` of the dense model's. Costs are counted once, of dense forwards (ops/flop_count.h); what
// is left at other shares follows from what each rule removes:
//   tokens t   rows of an attention become Σ k / Σ n, its pairs Σ k² / Σ n², k = max(1, ceil(t n))
//   heads h    an attention costs max(1, round(h H)) / H
//   layers l   all attentions together cost max(1, round(l L)) / L; drop_path saves nothing
//   weights w  products with weights cost w (neuron: those of feed-forward blocks)
// All rules move together: keep = most + s (least - most) for one s in [0, 1]; most is the rule's
// own keep, or 1 without one; least is 0.05, and most for drop_path. Structure 2:4 stays at a
// half. The smallest s that meets the budget is taken.
#pragma once

#include <cstdint>
#include <vector>

#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

struct AttentionCost {
  double product = 0;    // with its weights
  double attention = 0;  // over pairs of rows
  std::int64_t heads = 1;
};

struct Costs {
  std::vector<AttentionCost> attentions;
  double feed = 0;                  // products of feed-forward blocks
  double products = 0;              // other products with weights that rules may prune
  double rest = 0;                  // all else
  std::vector<std::int64_t> sizes;  // nodes of the graphs they were counted on

  double dense() const;
};

// FLOPs with each rule at its keep (absent: 1).
double predicted(const Costs& costs, const std::vector<Rule>& rules);

// The rules with their keep set, and no budget any more. Throws base::RecipeError where the rules
// cannot meet it, naming what they can.
Options spend(const Options& options, const Costs& costs);

}  // namespace gtrain::sparsify
