// Inference algebra on the graph of a frozen fused module, whose weights are constants: what stands
// around a product of libgtrain_ops moves into it, where nothing else reads what lies between.
//
//   batch_norm(f(x) + r)           f's last weights and bias scaled, r a term of f with a scale
//   f(batch_norm(x))               f's first weights and bias
//   act(f(x)), f(x) + r            f's activation, a term of f
//   a term batch_norm(h + r)       h and r terms with a scale, the shift into f's bias
//
// where f is linear, linear_sum or feed_forward (script/layer.h) and batch_norm x -> x * s + t. It
// leaves linear_sum and feed_forward. Exact but for rounding.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

namespace gtrain::deploy {

// Changes `graph` in place; dead nodes are left for dead code elimination.
void fold_fused(torch::jit::Graph& graph);

}  // namespace gtrain::deploy
