// A forward and a backward of a model on torch's meta device, where tensors have a shape and no
// numbers: what a step costs, without doing it, and what a model makes on another device than its
// weights', before there is such a device. Floating-point columns go there with the weights;
// indices, categories and patterns stay on the CPU, as they do for CUDA.
//
// Counted: bytes of every tensor of meta alive at a time. Not counted: the loss, the optimizer,
// index tensors, scratch memory of kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/models/model.h"

namespace gtrain::train {

struct MetaRun {
  std::vector<std::int64_t> output;  // shape
  double kept_bytes = 0;             // when the backward begins, beside the weights
  double peak_bytes = 0;             // with weights and their gradients
  // Operators that got CPU tensors beside those of the device, each with the layer whose weights
  // were used last: "aten::add got [3, 4] on cpu beside meta, in layers.0.norm". None twice.
  std::vector<std::string> strays;
};

// Moves the parameters and buffers of `model` there: it is of no use afterwards. Throws c10::Error,
// with the layer, where devices mix so that torch refuses, or where numbers are asked for. Not for
// two threads at once. Needs ops::has_meta().
MetaRun run_on_meta(models::Model& model, data::GraphBatch batch);

}  // namespace gtrain::train
