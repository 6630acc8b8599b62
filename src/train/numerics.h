#pragma once

#include <cstdint>

namespace gtrain::train {

// Raised whenever the same recipe and seed, or the same weights, would give other numbers than
// before.
inline constexpr std::int64_t kNumericsVersion = 8;

}  // namespace gtrain::train
