// Inputs of the row kernels' tests, and the comparison with references in double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "ops/cuda/element.h"
#include "ops/detail/random.h"
#include "support/simt/device.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda {

using Doubles = std::vector<double>;
using Starts = std::vector<std::int64_t>;

// Half a unit in the last place of S for stored results, rounding of A for the rest.
template <class S>
double tolerance() {
  return sizeof(S) == 8 ? 1e-13 : 4e-6;
}
template <>
inline double tolerance<bf16>() {
  return 0x1p-8;
}
template <>
inline double tolerance<f16>() {
  return 0x1p-11;
}

// Numbers in [-2, 2) that S represents.
template <class S>
std::vector<S> numbers(std::size_t count, std::uint32_t seed) {
  std::vector<S> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto drawn = ops::detail::row_key(seed, static_cast<std::uint64_t>(i)) >> 40;  // 24 bits
    out[i] = from_float<S>(static_cast<compute_t<S>>(static_cast<double>(drawn) * 0x1p-22 - 2));
  }
  return out;
}

template <class S>
Doubles widen(const std::vector<S>& values) {
  Doubles out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_float(values[i]);
  return out;
}

template <class S>
std::vector<S> narrow(const Doubles& values) {
  std::vector<S> out(values.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = from_float<S>(static_cast<compute_t<S>>(values[i]));
  }
  return out;
}

// |got - want| <= slack tolerance (|want| + 1), and the same infinities and NaN.
template <class S>
void expect_close(const std::vector<S>& got, const Doubles& want, const std::string& what,
                  double slack = 1) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double found = to_float(got[i]);
    const bool same = found == want[i] || (std::isnan(found) && std::isnan(want[i]));
    const double allowed = slack * tolerance<S>() * (std::abs(want[i]) + 1);
    if (!same && !(std::abs(found - want[i]) <= allowed)) {
      FAIL() << what << "[" << i << "] is " << found << "; expected " << want[i];
    }
  }
}

inline Starts starts_of(const std::vector<std::int64_t>& sizes) {
  Starts start{0};
  for (const std::int64_t size : sizes) start.push_back(start.back() + size);
  return start;
}

// Segments that are empty, of one row, end at a chunk's border, cross one, fill several chunks.
inline Starts odd_starts() { return starts_of({0, 3, 0, 0, 13, 1, 15, 17, 0, 50, 0}); }

constexpr double kNotRead = 7;  // the scale of dropout where there is none

inline double keep_factor(std::uint32_t threshold, double keep_scale, std::uint64_t key,
                          std::size_t row, std::size_t column) {
  const std::uint64_t stream = ops::detail::row_key(key, row);
  const auto drawn = ops::detail::draw<std::uint32_t>(stream, static_cast<std::uint32_t>(column));
  if (threshold == 0) return 1;
  return drawn < threshold ? 0 : keep_scale;
}

}  // namespace gtrain::ops::cuda
