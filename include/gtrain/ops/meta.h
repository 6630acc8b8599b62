// Ops on tensors of torch's meta device, which have a shape and no numbers: every op puts out what
// it would and keeps for its derivative what its CPU kernel keeps. So a model runs forward and
// backward for its shapes, its memory, and for tensors that it makes on another device than its
// weights'. Index tensors (starts, edges, patterns) stay on the
// CPU, as they do for CUDA. It computes nothing; what depends on numbers (top_m) refuses.
#pragma once

namespace gtrain::ops {

// Whether this build has them: builds with CUDA kernels do not.
bool has_meta();

}  // namespace gtrain::ops
