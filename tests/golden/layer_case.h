// Shared by the families that compare one layer on packed rows: outputs, loss, every gradient,
// buffers and the optimizer trace.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "golden/module_case.h"

namespace gtrain::golden {

// A layer with the case's parameters loaded, and how it runs. x [N, D], e [E, D] in the order of
// `read`; e is undefined where the case has no edge_attr, and so may e' be.
struct LayerCase {
  torch::nn::Module& module;
  NameMap names;
  const Batch& read;
  const std::vector<at::Tensor>& masks;  // in order of call; empty: none
  std::function<std::pair<at::Tensor, at::Tensor>(const at::Tensor& x, const at::Tensor& e,
                                                  nn::Context& context)>
      forward;
};

void check_layer(const Case& c, Checker& checker, const LayerCase& layer, at::ScalarType type);

}  // namespace gtrain::golden
