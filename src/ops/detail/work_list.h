// The rows of a CSR cut into items of at most `cut` entries, longest first, so that a hub becomes
// many items of bounded cost and no long item starts last. Where rows are cut depends on the CSR
// alone: partial results of a row, merged in ascending order, are the same bits on any machine.
// Plain C++ without tensors, for both devices; built once per pattern. Linear in rows + items.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace gtrain::ops::detail {

constexpr std::int64_t kWorkCut = 256;

// Entries [begin, end) of `row`. `part` is -1 where the item is the whole row (empty rows are items
// as well), else the number of the partial result it writes.
struct WorkItem {
  std::int64_t begin, end;
  std::int32_t row, part;
};

// A row in several items: its partial results are [first_part, first_part + parts), in the order of
// its entries.
struct CutRow {
  std::int32_t row, first_part, parts;
};

struct WorkList {
  std::vector<WorkItem> items;
  std::vector<CutRow> cuts;
  std::int64_t parts = 0;  // over all cut rows
};

// start [rows+1]; cut >= 1. Items of one length keep the order of the entries.
inline WorkList work_list(const std::int64_t* start, std::int64_t rows,
                          std::int64_t cut = kWorkCut) {
  WorkList list;
  std::vector<std::int64_t> place(static_cast<std::size_t>(cut) + 2, 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t length = start[r + 1] - start[r], whole = length / cut, rest = length % cut;
    place[static_cast<std::size_t>(cut)] += whole;
    if (rest > 0 || whole == 0) ++place[static_cast<std::size_t>(rest)];
  }
  std::int64_t count = 0;  // place[n]: where the next item of n entries goes
  for (std::int64_t n = cut; n >= 0; --n) {
    count += std::exchange(place[static_cast<std::size_t>(n)], count);
  }
  list.items.resize(static_cast<std::size_t>(count));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t parts = std::max<std::int64_t>(1, (start[r + 1] - start[r] + cut - 1) / cut);
    const bool whole = parts == 1;
    const auto row = static_cast<std::int32_t>(r);
    const auto first = static_cast<std::int32_t>(list.parts);
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t begin = start[r] + p * cut, end = std::min(begin + cut, start[r + 1]);
      const auto at = static_cast<std::size_t>(place[static_cast<std::size_t>(end - begin)]++);
      const std::int32_t part = whole ? -1 : first + static_cast<std::int32_t>(p);
      list.items[at] = {begin, end, row, part};
    }
    if (!whole) {
      list.cuts.push_back({row, first, static_cast<std::int32_t>(parts)});
      list.parts += parts;
    }
  }
  return list;
}

}  // namespace gtrain::ops::detail
