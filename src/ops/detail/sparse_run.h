// Runs one pass of attention over pairs: the tasks of a plan in parallel, then the merging of the
// rows that it cut.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/sparse_plan.h"

namespace gtrain::ops::detail {

// a: SparseAttention<S> or EdgeAttention<S>; pass(a, t): task t of the plan; merge(a, cut).
template <template <class> class Arguments, class S, class Pass, class Merge>
void run_plan(Arguments<S>& a, const SparsePlan& plan, const Pass& pass, const Merge& merge) {
  const std::int64_t size = kernels<S>().sparse.partial_size(a.heads, a.width);
  std::vector<Compute<S>> partial(static_cast<std::size_t>(plan.parts * size));
  a.partial = partial.data();
  const bool small = a.pairs * a.heads * a.width < 32768;
  parallel_tasks(static_cast<std::int64_t>(plan.ranges.size()), small,
                 [&](std::int64_t t) { pass(a, t); });
  parallel_tasks(static_cast<std::int64_t>(plan.cuts.size()), false,
                 [&](std::int64_t t) { merge(a, plan.cuts[static_cast<std::size_t>(t)]); });
}

}  // namespace gtrain::ops::detail
