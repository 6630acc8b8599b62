// A part of a split that stands for all of it: splits may be sorted by what they hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

namespace gtrain::train {

// `most` of ids, or all, evenly spread over them, in their order.
inline std::vector<std::int64_t> spread(const std::vector<std::int64_t>& ids, std::int64_t most) {
  const std::int64_t all = std::ssize(ids), count = std::min(all, most);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < count; ++i) {
    out.push_back(ids[static_cast<std::size_t>(i * all / count)]);
  }
  return out;
}

}  // namespace gtrain::train
