// Loops over the targets of edges: in tasks of about equal cost, whose boundaries depend on the
// edges alone, so bits do not depend on the thread count.
#pragma once

#include <cstdint>

#include "gtrain/ops/edge_index.h"
#include "ops/detail/dtype.h"
#include "ops/detail/message_kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/segment_plan.h"

namespace gtrain::ops::detail {

inline EdgeView edge_view(const EdgeIndex& e) {
  using Index = std::int64_t;
  return {data<Index>(e.source), data<Index>(e.target), data<Index>(e.in_start),
          data<Index>(e.out_start), data<Index>(e.out_edge)};
}

// body(begin, end) over rows, of which `start` [rows + 1] says where their edges begin; d numbers
// an edge. Serial when there is only little work.
template <class Body>
void edge_rows(const at::Tensor& start, std::int64_t edges, std::int64_t d, const Body& body) {
  const std::int64_t n = start.size(0) - 1;
  if ((n + edges) * d < 16384) return body(0, n);
  const auto plan = segment_plan(data<std::int64_t>(start), n, true);
  parallel_tasks(plan.count(), false, [&](std::int64_t t) {
    const SegmentTask& task = plan.tasks[static_cast<std::size_t>(t)];
    body(task.first, task.last);
  });
}

}  // namespace gtrain::ops::detail
