// Weights of which so little is left that a product goes by their entries faster than through their
// zeros (ops/sparse_linear.h): they are marked, and a buffer "<name>_entries" [1] says how many
// entries there were, so that a saved model is marked again. A buffer that counts all entries of
// its matrix stays where a mark was taken back: that matrix is one like any other.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/sparsify/compact.h"

namespace gtrain::sparsify::detail {

// What the matrices of a model are before anything is cut.
struct Uncut {
  struct Matrix {
    std::int64_t entries = 0;                // that products go by
    std::int64_t zeros = 0;                  // that they leave out
    std::optional<std::int64_t> noted = {};  // entries of a marked one, when it was marked
  };
  std::map<std::string, Matrix> matrices;  // by the name of the weight
  std::map<std::string, double> work;      // of a module's products, a row
};
Uncut uncut(torch::nn::Module& model);

// Marks every matrix with at most a share of kFewEntries, and anew every one that was marked before
// heads and units were cut; adds what that leaves out to the cuts of those.
inline constexpr double kFewEntries = 0.3;
void leave_zeros_out(torch::nn::Module& model, const Uncut& before, std::vector<Cut>& cuts);

// Marks those that a state says were marked.
void mark_as_saved(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors);

// Of these weights zeros are multiplied, and learn, like all others from now on.
void put_zeros_back(torch::nn::Module& model, const std::vector<std::string>& names);

}  // namespace gtrain::sparsify::detail
