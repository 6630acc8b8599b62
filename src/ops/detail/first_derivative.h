// Backward passes here are kernels, which record no graph of their own: second derivatives through
// them would be left out without a word, so that a gradient penalty would train on half its terms.
#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

namespace gtrain::ops::detail {

// The first line of each backward. Throws where a graph of the gradients is asked for.
inline void first_derivative_only(const char* op) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "[", op,
              "] has first derivatives only; expected backward without create_graph");
}

}  // namespace gtrain::ops::detail
