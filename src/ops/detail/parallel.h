// Parallel loops at fixed boundaries: the chunks depend on the sizes alone, never on the number of
// threads, so every result is the same bits on any machine with the same instruction set.
#pragma once

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>

#include <algorithm>
#include <cstdint>

namespace gtrain::ops::detail {

constexpr std::int64_t kRowChunk = 128;

inline std::int64_t chunks(std::int64_t rows) { return (rows + kRowChunk - 1) / kRowChunk; }

// body(task) for tasks 0..count-1, each one TBB task; serial when there is only little work.
template <class Body>
void parallel_tasks(std::int64_t count, bool small, const Body& body) {
  if (small || count <= 1) {
    for (std::int64_t t = 0; t < count; ++t) body(t);
    return;
  }
  tbb::parallel_for(
      tbb::blocked_range<std::int64_t>(0, count, 1),
      [&](const tbb::blocked_range<std::int64_t>& r) {
        for (std::int64_t t = r.begin(); t != r.end(); ++t) body(t);
      },
      tbb::simple_partitioner());
}

// body(chunk, begin, end) over chunks of kRowChunk rows of `width` numbers.
template <class Body>
void parallel_rows(std::int64_t rows, std::int64_t width, const Body& body) {
  parallel_tasks(chunks(rows), rows * width < 16384, [&](std::int64_t t) {
    const std::int64_t begin = t * kRowChunk;
    body(t, begin, std::min(rows, begin + kRowChunk));
  });
}

}  // namespace gtrain::ops::detail
