// GT of the golden cases: names, options, batches, and the order of recorded dropout masks.
#pragma once

#include "golden/module_case.h"
#include "gtrain/models/gt.h"

namespace gtrain::golden {

// The reference names of Dwivedi & Bresson's layers and nets.
std::string gt_name(const std::string& reference);

// The recorded keep-masks in the order in which gtrain draws: the reference alternates between the
// node and the edge stream, gtrain finishes the nodes of a layer first.
std::vector<at::Tensor> read_gt_masks(const Case& c, const at::Tensor& permutation);

// Built from case.json and the parameters' shapes.
std::shared_ptr<models::Model> build_gt_case(const Case& c);

// A batch with its Laplacian vectors; `prefix` is "input.", "input.b<k>." or "input.val0.".
Batch read_gt_batch(const Case& c, const std::string& prefix, at::ScalarType type);

// The case's loss of the model's raw output.
at::Tensor gt_loss(const Case& c, const at::Tensor& output, const at::Tensor& label);

}  // namespace gtrain::golden
