// Keep-masks from a counter: whether element `index` of the row with key `row` is kept is a pure
// function of (key, row, index), so backward draws the same mask again and nothing is stored.
// 32-bit mixing (the lowbias32 finaliser, the row's key entering twice) vectorises.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define GTRAIN_HOST_DEVICE __host__ __device__
#else
#define GTRAIN_HOST_DEVICE
#endif

namespace gtrain::ops::detail {

GTRAIN_HOST_DEVICE inline std::uint64_t row_key(std::uint64_t key, std::uint64_t row) {
  std::uint64_t x = key + 0x9e3779b97f4a7c15ULL * (row + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// U: std::uint32_t, or a vector of them.
template <class U>
GTRAIN_HOST_DEVICE inline U draw(std::uint64_t row, U index) {
  U x = (index * 0x9e3779b9u) ^ static_cast<std::uint32_t>(row);
  x = (x ^ (x >> 16)) * 0x21f0aaadu + static_cast<std::uint32_t>(row >> 32);
  x = (x ^ (x >> 15)) * 0xd35a2d97u;
  return x ^ (x >> 15);
}

// A draw below the threshold drops the element: P(drop) = p to 2^-32.
GTRAIN_HOST_DEVICE inline std::uint32_t drop_threshold(double p) {
  const double scaled = p * 4294967296.0;
  return scaled >= 4294967295.0 ? 4294967295u : static_cast<std::uint32_t>(scaled);
}

}  // namespace gtrain::ops::detail
