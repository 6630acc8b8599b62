#include "ops/detail/stable_order.h"

#include <algorithm>
#include <vector>

#include "ops/detail/parallel.h"

namespace gtrain::ops::detail {
namespace {

constexpr std::int64_t kChunk = 65536;  // entries of one task
constexpr std::int64_t kRanges = 256;   // of keys, at most

// Counts keys [first, last) of the listed entries, then places them from `position` on.
struct Counting {
  const std::int32_t* key;
  std::int64_t first, last;
  std::int64_t *start, *order;

  template <class Entry>
  void run(std::int64_t size, std::int64_t position, const Entry& entry) const {
    std::vector<std::int64_t> next(static_cast<std::size_t>(last - first), 0);
    const auto slot = [&](std::int64_t e) { return static_cast<std::size_t>(key[e] - first); };
    for (std::int64_t i = 0; i < size; ++i) ++next[slot(entry(i))];
    for (std::int64_t c = first; c < last; ++c) {
      std::int64_t& n = next[static_cast<std::size_t>(c - first)];
      start[c] = position;
      position += n;
      n = start[c];
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t e = entry(i);
      order[next[slot(e)]++] = e;
    }
  }
};

}  // namespace

void stable_order(const std::int32_t* key, std::int64_t size, std::int64_t count,
                  std::int64_t* start, std::int64_t* order) {
  start[count] = size;
  if (size <= kChunk) {
    Counting{key, 0, count, start, order}.run(size, 0, [](std::int64_t i) { return i; });
    return;
  }
  int shift = 0;
  while ((count - 1) >> shift >= kRanges) ++shift;
  const std::int64_t ranges = ((count - 1) >> shift) + 1, tasks = (size + kChunk - 1) / kChunk;
  // next[task][range]: where the task's next entry of the range goes
  std::vector<std::int64_t> next(static_cast<std::size_t>(tasks * ranges), 0);
  std::vector<std::int64_t> entries(static_cast<std::size_t>(size));
  std::vector<std::int64_t> range_start(static_cast<std::size_t>(ranges) + 1, 0);
  const auto for_each = [&](std::int64_t task, const auto& f) {
    std::int64_t* mine = next.data() + task * ranges;
    for (std::int64_t e = task * kChunk; e < std::min(size, (task + 1) * kChunk); ++e) {
      f(mine[key[e] >> shift], e);
    }
  };
  parallel_tasks(tasks, false,
                 [&](std::int64_t t) { for_each(t, [](std::int64_t& n, std::int64_t) { ++n; }); });
  std::int64_t position = 0;
  for (std::int64_t r = 0; r < ranges; ++r) {
    range_start[static_cast<std::size_t>(r)] = position;
    for (std::int64_t t = 0; t < tasks; ++t) {
      std::int64_t& n = next[static_cast<std::size_t>(t * ranges + r)];
      position += n;
      n = position - n;
    }
  }
  range_start[static_cast<std::size_t>(ranges)] = position;
  parallel_tasks(tasks, false, [&](std::int64_t t) {
    for_each(t,
             [&](std::int64_t& n, std::int64_t e) { entries[static_cast<std::size_t>(n++)] = e; });
  });
  parallel_tasks(ranges, false, [&](std::int64_t r) {
    const std::int64_t begin = range_start[static_cast<std::size_t>(r)];
    const std::int64_t end = range_start[static_cast<std::size_t>(r) + 1];
    const std::int64_t* mine = entries.data() + begin;
    Counting{key, r << shift, std::min(count, (r + 1) << shift), start, order}.run(
        end - begin, begin, [mine](std::int64_t i) { return mine[i]; });
  });
}

}  // namespace gtrain::ops::detail
