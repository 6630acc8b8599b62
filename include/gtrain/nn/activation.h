// Pointwise activations by recipe name: relu, gelu (exact, by erf).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

enum class Activation { kRelu, kGelu };

Activation activation_named(const std::string& name);
at::Tensor activate(const at::Tensor& x, Activation activation);
// residual + Drop_p(act(x)), rows [N, D], in one pass; residual may be undefined: 0.
at::Tensor activate(const at::Tensor& x, Activation activation, double dropout, Context& context,
                    const at::Tensor& residual = {});
const char* name_of(Activation activation);
// TorchScript expression of the activation of `argument`.
std::string script_of(Activation activation, const std::string& argument);

}  // namespace gtrain::nn
