// Cutting out of a trained model what its gates and masks have switched off, so that it is smaller
// and faster instead of multiplied by zeros. What goes:
//   heads    that a head gate multiplies by 0, with their rows and columns of the projections
//   branches closed for good: all weights of the attention and its choice of nodes, or of the
//   feed-forward block but one
//            hidden unit of zeros
//   units    of feed_0 -> feed_1 that no weight leaves or that put out 0
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

// What was cut at one place: of `before` heads or hidden units `after` are left.
struct Cut {
  std::string path;  // "layer_0.attention", "layer_0.feed_0"
  std::string what;  // "heads" or "units"
  std::int64_t before = 0, after = 0;
};

// Of the heads that an attention has those that its gate does not multiply by 0 for good.
std::vector<std::int64_t> living_heads(const nn::Gated& gated);

// Attentions with heads that a gate multiplies by 0.
std::vector<Cut> dead_heads(torch::nn::Module& model);

// Throws base::RecipeError, before anything is cut, where heads are switched off in an attention
// that cannot do without them one by one.
std::vector<Cut> compact(torch::nn::Module& model);

// Cuts attentions and feed-forward blocks of a whole model to the sizes that the tensors of a state
// have; which weights stay does not matter, as they are about to be overwritten. Tensors that do
// not fit otherwise are left for whoever loads them.
void fit(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors);

}  // namespace gtrain::sparsify
