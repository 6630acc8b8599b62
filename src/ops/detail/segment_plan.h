// Segments grouped into tasks of about kSegmentCut rows; a longer segment is cut at multiples of
// kSegmentCut into tasks of its own, whose results are merged pairwise in a fixed tree. The plan
// depends on `start` alone, so bits do not depend on the thread count. Plain C++.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gtrain::ops::detail {

constexpr std::int64_t kSegmentCut = 1024;

// Whole segments [first, last), or where part >= 0 the rows [begin, end) of segment `first`.
struct SegmentTask {
  std::int64_t first, last, begin, end, part;
};

struct CutSegment {
  std::int64_t segment, first_part, parts;
};

struct SegmentPlan {
  std::vector<SegmentTask> tasks;
  std::vector<CutSegment> cuts;
  std::int64_t parts = 0;

  std::int64_t count() const { return static_cast<std::int64_t>(tasks.size()); }
};

// start [segments+1]. `whole`: cut no segment.
inline SegmentPlan segment_plan(const std::int64_t* start, std::int64_t segments,
                                bool whole = false) {
  SegmentPlan plan;
  std::int64_t first = 0;
  const auto flush = [&](std::int64_t last) {
    if (first < last) plan.tasks.push_back({first, last, start[first], start[last], -1});
    first = last;
  };
  for (std::int64_t g = 0; g < segments; ++g) {
    const std::int64_t rows = start[g + 1] - start[g];
    if (rows > kSegmentCut && !whole) {
      flush(g);
      const std::int64_t parts = (rows + kSegmentCut - 1) / kSegmentCut;
      plan.cuts.push_back({g, plan.parts, parts});
      for (std::int64_t p = 0; p < parts; ++p) {
        const std::int64_t begin = start[g] + p * kSegmentCut;
        plan.tasks.push_back(
            {g, g + 1, begin, std::min(begin + kSegmentCut, start[g + 1]), plan.parts + p});
      }
      plan.parts += parts;
      first = g + 1;
    } else if (start[g + 1] - start[first] + g + 1 - first >= kSegmentCut) {
      flush(g + 1);
    }
  }
  flush(segments);
  return plan;
}

// merge(a, b) adds part b to part a, pairwise; the result is part first.
template <class Merge>
void merge_tree(std::int64_t first, std::int64_t parts, const Merge& merge) {
  for (std::int64_t step = 1; step < parts; step *= 2) {
    for (std::int64_t p = 0; p + step < parts; p += 2 * step) merge(first + p, first + p + step);
  }
}

}  // namespace gtrain::ops::detail
