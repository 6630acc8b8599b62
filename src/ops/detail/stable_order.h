// Stable counting sort of keys [P] in [0, count), in parallel and the same for any thread count.
// Large inputs go through ranges of keys first, so that each counts in a part that fits the cache.
#pragma once

#include <cstdint>

namespace gtrain::ops::detail {

// start [count+1]: the entries with key c are order[start[c] .. start[c+1]), ascending.
void stable_order(const std::int32_t* key, std::int64_t size, std::int64_t count,
                  std::int64_t* start, std::int64_t* order);

}  // namespace gtrain::ops::detail
