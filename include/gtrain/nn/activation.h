// Pointwise activations by recipe name: relu, gelu (exact, by erf).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace gtrain::nn {

enum class Activation { kRelu, kGelu };

Activation activation_named(const std::string& name);
at::Tensor activate(const at::Tensor& x, Activation activation);
// TorchScript expression of the activation of `argument`.
std::string script_of(Activation activation, const std::string& argument);

}  // namespace gtrain::nn
