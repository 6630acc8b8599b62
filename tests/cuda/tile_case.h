// What the tests of the tile kernels share: storage types and what each is held to, reproducible
// values, comparison.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ops/cuda/element.h"
#include "ops/cuda/storage.h"
#include "ops/detail/random.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda {

template <class S>
struct Kind;
template <>
struct Kind<float> {
  static constexpr Storage kStorage = Storage::kFloat;
  static constexpr double kTolerance = 3e-6;
};
template <>
struct Kind<double> {
  static constexpr Storage kStorage = Storage::kDouble;
  static constexpr double kTolerance = 1e-12;
};
template <>
struct Kind<bf16> {
  static constexpr Storage kStorage = Storage::kBFloat16;
  static constexpr double kTolerance = 2e-2;
};
template <>
struct Kind<f16> {
  static constexpr Storage kStorage = Storage::kHalf;
  static constexpr double kTolerance = 2.5e-3;
};

// Without dropout nobody reads its scale.
constexpr double kNotRead = 7;

// GTRAIN_SIMT_SCHEDULES stands for any number of schedules above 1.
inline int schedules_of(int count) { return count > 1 ? simt::schedule_count(count) : count; }

// Uniform in [-1, 1), a function of the place alone.
inline double noise(std::uint64_t stream, std::uint64_t i) {
  const std::uint64_t key = ops::detail::row_key(stream, i);
  return static_cast<double>(key >> 11) * 0x1p-52 - 1;
}

// `count` rows of `width` that begin at `from`, `stride` apart.
template <class T>
std::vector<double> rows(const std::vector<T>& all, int from, int count, int stride, int width) {
  std::vector<double> out;
  for (int r = 0; r < count; ++r) {
    for (int c = 0; c < width; ++c) out.push_back(to_float(all[from + r * stride + c]));
  }
  return out;
}

inline void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                        double tolerance, const char* name) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  double largest = 0.05;
  for (const double x : expected) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  int wrong = 0;
  for (std::size_t i = 0; i < found.size() && wrong < 3; ++i) {
    if (found[i] == expected[i]) continue;
    const bool near = std::abs(found[i] - expected[i]) <= tolerance * largest;
    EXPECT_TRUE(near) << name << "[" << i << "] is " << found[i] << "; expected " << expected[i];
    wrong += !near;
  }
}

}  // namespace gtrain::ops::cuda
