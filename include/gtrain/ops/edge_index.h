// The edges of a packed batch, sorted by (target, source), with both row boundaries. All int64.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct EdgeIndex {
  at::Tensor source;     // [E]
  at::Tensor target;     // [E]
  at::Tensor in_start;   // [N+1]: edges into node i are [in_start[i], in_start[i+1])
  at::Tensor out_start;  // [N+1]: out_edge[out_start[j] .. out_start[j+1]) leave node j
  at::Tensor out_edge;   // [E]: edge numbers sorted by (source, target)

  std::int64_t nodes() const { return in_start.size(0) - 1; }
  std::int64_t count() const { return source.size(0); }
};

}  // namespace gtrain::ops
