// Cutting out of a trained model what its gates and masks have switched off, so that it is smaller
// and faster instead of multiplied by zeros. What goes:
//   heads    that a head gate multiplies by 0, with their rows and columns of the projections
//   branches closed for good: what the heads of the attention own (of one that is a module of its
//            own, all weights) and its choice of nodes, or of the feed-forward block all but one
//            hidden unit of zeros
//   units    of feed_0 -> feed_1 that no weight leaves or that put out 0
//   weights  of matrices of which at most 0.3 is left, or which were cut so before: they keep their
//            shape, and products go by the entries that are not 0 (ops/sparse_linear.h); the zeros
//            do not learn from then on, but under a rule that exchanges weights
// The gates of heads and branches go with them; those of tokens stay. Values are those of the gated
// model up to the rounding of shorter sums. What a cut model looks like stands in the shapes of its
// tensors alone: `fit` gives a whole model the shapes of a state.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gtrain::nn {
class Gated;
}

namespace gtrain::sparsify {

// What was cut at one place: of `before` heads, hidden units or weights `after` are left.
struct Cut {
  std::string path;  // "layer_0.attention", "layer_0.feed_0", "layer_0.feed_0.weight"
  std::string what;  // "heads", "units" or "weights"
  std::int64_t before = 0, after = 0;
  std::vector<std::string> modules = {};  // whose products shrink with it,
  double gone = 0;                        // by this share
  std::int64_t parameters = 0;            // that are gone
};

// Of the heads that an attention has those that its gate does not multiply by 0 for good.
std::vector<std::int64_t> living_heads(const nn::Gated& gated);

// Attentions with heads that a gate multiplies by 0.
std::vector<Cut> dead_heads(torch::nn::Module& model);

std::vector<Cut> compact(torch::nn::Module& model);

// Weights that a compacted model has in memory alone, as zeros of its sparse matrices.
std::int64_t zeros_left_out(torch::nn::Module& model);

// Cuts attentions and feed-forward blocks of a whole model to the sizes that the tensors of a state
// have; which weights stay does not matter, as they are about to be overwritten. Tensors that do
// not fit otherwise are left for whoever loads them.
void fit(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors);

}  // namespace gtrain::sparsify
