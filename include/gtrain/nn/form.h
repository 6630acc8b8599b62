// The two forms of a layer's TorchScript, and the phrases in which they differ: a layer whose
// methods have one shape in both is written once, with these in the places.
//   kPortable  chains of ATen: Layer::script()
//   kFused     calls of libgtrain_ops: Layer::fused_script()
// Arguments are expressions or names of children; they are pasted as they are.
#pragma once

#include <string>

#include "gtrain/nn/activation.h"

namespace gtrain::nn {

enum class Form { kPortable, kFused };

// residual + h
std::string sum_script(Form form, const std::string& residual, const std::string& h);

// norm(residual + h) of a child that is a Norm; no residual: "".
std::string norm_script(Form form, const std::string& norm, const std::string& h,
                        const std::string& residual, const std::string& batch);

// second(act(first(x))) of two children that are Linear with biases.
std::string feed_script(Form form, const std::string& first, const std::string& second,
                        Activation activation, const std::string& x);

// Groups of graphs of equal size, which portable attention asks for (nn/attention.h): an expression
// of List[Tensor] in a model that has graph_groups_script().
std::string groups_script(Form form, const std::string& batch);

}  // namespace gtrain::nn
