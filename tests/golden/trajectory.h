// Shared by the families that follow fifty training steps of a reference's own loop: losses, rates,
// gradient norms, validation losses and the weights at the end, over batches cycled in the
// reference's order, with the optimizer and the schedule that case.json names.
#pragma once

#include <functional>
#include <string>

#include "golden/module_case.h"
#include "gtrain/models/model.h"

namespace gtrain::golden {

struct Trajectory {
  models::Model& model;
  NameMap names;
  // Batch of "input.b<k>." or "input.val0.".
  std::function<Batch(const std::string& prefix)> batch;
  std::function<at::Tensor(const at::Tensor& output, const at::Tensor& label)> loss;
};

// Loads the first weights and follows: all steps in double, the first ten losses in float.
void check_trajectory(const Case& c, Checker& checker, const Trajectory& trajectory,
                      at::ScalarType type);

}  // namespace gtrain::golden
