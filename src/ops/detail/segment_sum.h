// Loops over the tasks of a segment plan, and the sum of rows by segment that segment_sum and
// scatter_add share.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <vector>

#include "ops/detail/dtype.h"
#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/segment_plan.h"

namespace gtrain::ops::detail {

// body(task) for all tasks of a plan over rows of d numbers; serial when there is only little work.
template <class Body>
void for_segment_tasks(const SegmentPlan& plan, std::int64_t d, const Body& body) {
  const bool small = plan.tasks.empty() || plan.tasks.back().end * d < 16384;
  parallel_tasks(plan.count(), small,
                 [&](std::int64_t t) { body(plan.tasks[static_cast<std::size_t>(t)]); });
}

// body(task, first part of its segment) for the tasks that are parts of cut segments.
template <class Body>
void for_cut_tasks(const SegmentPlan& plan, std::int64_t d, const Body& body) {
  if (plan.cuts.empty()) return;
  std::vector<std::int64_t> first(static_cast<std::size_t>(plan.parts));
  for (const CutSegment& cut : plan.cuts) {
    std::fill_n(first.begin() + cut.first_part, cut.parts, cut.first_part);
  }
  for_segment_tasks(plan, d, [&](const SegmentTask& t) {
    if (t.part >= 0) body(t, first[static_cast<std::size_t>(t.part)]);
  });
}

// Leaves the sum of the parts of a cut segment in its first part.
template <class T>
void add_parts(const CutSegment& cut, std::int64_t d, T* parts) {
  merge_tree(cut.first_part, cut.parts, [&](std::int64_t a, std::int64_t b) {
    for (std::int64_t c = 0; c < d; ++c) parts[a * d + c] += parts[b * d + c];
  });
}

// out_g = sum over k in [start_g, start_g+1) of x_{position_k} (undefined: x_k), or their mean.
inline at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& position,
                              const at::Tensor& start, bool mean) {
  const std::int64_t g = start.size(0) - 1, d = x.size(1);
  const std::int64_t* s = data<std::int64_t>(start);
  const std::int64_t* at = position.defined() ? data<std::int64_t>(position) : nullptr;
  at::Tensor out = at::empty({g, d}, x.options());
  with_storage("segment_sum", x.scalar_type(), [&]<class S>(Storage<S>) {
    using T = Compute<S>;
    const auto& kernel = kernels<S>().segment;
    const S* xp = data<S>(x);
    S* op = mutable_data<S>(out);
    const SegmentPlan plan = segment_plan(s, g);
    std::vector<T> parts(static_cast<std::size_t>(plan.parts * d));
    for_segment_tasks(plan, d, [&](const SegmentTask& t) {
      if (t.part < 0) return kernel.sum(t.first, t.last, d, xp, at, s, mean, op);
      kernel.part_sum(t.begin, t.end, d, xp, at, parts.data() + t.part * d);
    });
    for (const CutSegment& cut : plan.cuts) {
      add_parts(cut, d, parts.data());
      const T* sum = parts.data() + cut.first_part * d;
      const std::int64_t rows = s[cut.segment + 1] - s[cut.segment];
      const T count = mean ? static_cast<T>(rows) : T{1};
      for (std::int64_t c = 0; c < d; ++c) narrow(sum[c] / count, op[cut.segment * d + c]);
    }
  });
  return out;
}

}  // namespace gtrain::ops::detail
