// Random numbers as a function of (seed, stream): for what is drawn once, while a pattern is built.
#pragma once

#include <cstdint>

#include "ops/detail/random.h"

namespace gtrain::ops::detail {

class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::uint64_t stream) : key_(row_key(seed, stream)) {}

  // Evenly in [0, bound), 0 < bound < 2^53: 53 random bits, so off by at most bound/2^53.
  std::int64_t below(std::int64_t bound) {
    const double unit = static_cast<double>(row_key(key_, counter_++) >> 11) * 0x1p-53;
    return static_cast<std::int64_t>(unit * static_cast<double>(bound));
  }

 private:
  std::uint64_t key_, counter_ = 0;
};

}  // namespace gtrain::ops::detail
