// Shared by the families that compare a whole module: load reference parameters under gtrain's
// names, run, compare outputs, loss, gradients, buffers and the optimizer trace.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "golden/golden.h"
#include "gtrain/data/batch.h"
#include "gtrain/nn/layer.h"

namespace gtrain::golden {

// gtrain's name of a reference parameter or buffer; empty: deliberately not loaded.
using NameMap = std::function<std::string(const std::string&)>;

// The reference names of GraphGPS's layer, encoders and heads.
std::string gps_name(const std::string& reference);

// The module's own name of what a NameMap gave: some depend on what the module holds (its last head
// layer, a table or a single vector).
std::string parameter_name(const torch::nn::Module& module, const std::string& name);

// From now on `load` refuses names that are not those of the page (docs/parameters.md).
void hold_names(const std::filesystem::path& page);

// Copies param.* and buffer.* in; Skip where gtrain has no such tensor, failure where one of the
// module's stays unset.
void load(const Case& c, torch::nn::Module& module, const NameMap& names, at::ScalarType type);

// grad.*, buffer_after.* after one backward.
void compare_module(const Case& c, Checker& checker, torch::nn::Module& module,
                    const NameMap& names, at::ScalarType type);

// adamw.losses: `loss` runs a fresh forward on the same batch.
void compare_optimizer(const Case& c, Checker& checker, torch::nn::Module& module,
                       const std::function<at::Tensor()>& loss, at::ScalarType type);

// The batch of input.edge_index, batch, ptr; x and edge_attr where present. `permutation` (new ->
// old) takes reference edge rows to gtrain's order.
struct Batch {
  data::GraphBatch batch;
  at::Tensor permutation;
};
Batch read_batch(const Case& c, const std::string& prefix, at::ScalarType type);

// Recorded keep-masks in order of call; edge rows permuted.
std::vector<at::Tensor> read_masks(const Case& c, const at::Tensor& permutation);

}  // namespace gtrain::golden
