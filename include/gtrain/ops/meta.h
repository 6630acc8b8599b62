// Ops on tensors of torch's meta device, which have a shape and no numbers: every op puts out what
// it would, keeps for its derivative what its CPU kernel keeps, and counts the work it stands for.
// So a model runs forward and backward for its shapes, its memory, its FLOPs, and for tensors that
// it makes on another device than its weights'. Index tensors (starts, edges, patterns) stay on the
// CPU, as they do for CUDA. It computes nothing; what depends on numbers (top_m) refuses.
//
//   attention     4 D for each pair of a query and a key: q·k and the sum of v
//   linear        8 M D for each node, M random features
//   message       2 D for each edge and term of its message; segment sums: D for each row
//   backward      twice its forward; element-wise work is not counted
#pragma once

namespace gtrain::ops {

// Whether this build has them: builds with CUDA kernels do not.
bool has_meta();

// Floating-point operations that the ops of this thread have stood for so far: the difference of
// two calls is what lies between them. Dense products of torch's own are not in it.
double meta_flops();

}  // namespace gtrain::ops
