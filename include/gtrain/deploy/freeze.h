// A scripted module with its weights as constants of its code: calls inlined, attributes gone
// (state_dict() is empty), what depends on weights alone computed beforehand, and batch norm, in
// evaluation an affine map x * s + t, folded into the linear map it stands next to:
//
//   norm(W x + b) = (s W) x + (s b + t)        W norm(x) + b = (W s) x + (W t + b)
//   norm(r + W x + b) = s r + (s W) x + (s b + t), one pass fewer over the rows
//
// where nothing else reads what lies between them; in a fused module by deploy/fused_fold.h.
// Differs from the module by rounding.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace gtrain::deploy {

// `module` stays as it is; its weights are shared where nothing was folded.
torch::jit::Module frozen(const torch::jit::Module& module);

// Batch norms of the forward of a frozen module that stand as such.
int batch_norms_in(const torch::jit::Module& module);

}  // namespace gtrain::deploy
