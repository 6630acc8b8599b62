// The tasks of one pass over a CSR on the CPU: ranges of whole rows of about equal cost, and long
// rows in pieces, which come first. Where it cuts depends on the CSR alone, so the bits of a result
// do not depend on the thread count. Linear in the rows; made anew for each pass, which costs less
// than a thousandth of it.
// Not detail/work_list.h, whose items are the rows themselves: sorted by length they would visit
// the rows' own data at random, and a warp's item is too small for a task.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/detail/sparse_kernels.h"

namespace gtrain::ops::detail {

struct SparsePlan {
  std::vector<SparseRange> ranges;
  std::vector<SparseCut> cuts;
  std::int64_t parts = 0;
};

constexpr std::int64_t kTaskPairs = 4096;  // of a task; rows with more are cut
constexpr std::int64_t kPiecePairs = 2048;
constexpr std::int64_t kRowCost = 4;  // of a row itself, in pairs

inline SparsePlan sparse_plan(const std::int64_t* start, std::int64_t rows) {
  SparsePlan plan;
  std::vector<SparseRange> whole;
  std::int64_t first = 0, cost = 0;
  const auto close = [&](std::int64_t row) {
    if (first < row) whole.push_back({first, row});
    cost = 0;
  };
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t pairs = start[r + 1] - start[r];
    if (pairs > kTaskPairs) {
      close(r);
      first = r + 1;
      const std::int64_t first_part = plan.parts;
      for (std::int64_t p = start[r]; p < start[r + 1]; p += kPiecePairs) {
        const std::int64_t end = p + kPiecePairs < start[r + 1] ? p + kPiecePairs : start[r + 1];
        plan.ranges.push_back({r, r + 1, p, end, plan.parts++});
      }
      plan.cuts.push_back({r, first_part, plan.parts - first_part});
      continue;
    }
    cost += pairs + kRowCost;
    if (cost >= kTaskPairs) {
      close(r + 1);
      first = r + 1;
    }
  }
  close(rows);
  plan.ranges.insert(plan.ranges.end(), whole.begin(), whole.end());
  return plan;
}

}  // namespace gtrain::ops::detail
