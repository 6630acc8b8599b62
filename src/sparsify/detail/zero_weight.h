// Weights of which so little is left that a product goes by their entries faster than through their
// zeros (ops/sparse_linear.h): they are marked, and a buffer "<name>_entries" [1] says how many
// entries there were, so that a saved model is marked again.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "gtrain/sparsify/compact.h"

namespace gtrain::sparsify::detail {

// Marks every matrix with at most a share of kFewEntries, and returns what it left out.
inline constexpr double kFewEntries = 0.3;
std::vector<Cut> leave_zeros_out(torch::nn::Module& model);

// Marks those that a state says were marked.
void mark_as_saved(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors);

}  // namespace gtrain::sparsify::detail
