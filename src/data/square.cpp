#include "gtrain/data/square.h"

#include <fmt/format.h>

#include "gtrain/base/error.h"

namespace gtrain::data {

std::vector<std::int64_t> square_starts(const Dataset& dataset) {
  std::vector<std::int64_t> start{0};
  start.reserve(static_cast<std::size_t>(dataset.graphs()) + 1);
  for (std::int64_t g = 0; g < dataset.graphs(); ++g) {
    const std::int64_t n = dataset.nodes_of(g);
    std::int64_t pairs = 0;
    std::int64_t end = 0;
    if (__builtin_mul_overflow(n, n, &pairs) || __builtin_add_overflow(start.back(), pairs, &end)) {
      throw base::DataError(
          fmt::format("{}: the pairs of nodes up to graph {} ({} nodes) do not fit 64 bits; "
                      "expected smaller graphs",
                      dataset.info.name, g, n));
    }
    start.push_back(end);
  }
  return start;
}

}  // namespace gtrain::data
