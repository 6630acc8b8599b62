// Matrix instructions: products come out right through the documented fragments, and the emulator's
// fragment maps are those of CuTe, where its headers are at hand (GTRAIN_CUTLASS,
// cmake/GtrainSimt).
#include "simt/fragment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#if __has_include(<cute/atom/mma_traits_sm80.hpp>)
#define GTRAIN_HAS_CUTE 1
#include <cute/atom/copy_traits_sm75.hpp>
#include <cute/atom/mma_traits_sm80.hpp>
#endif

#include "support/simt/fragment.h"
#include "support/simt/schedule.h"

namespace gtrain::simt_fragment {
namespace {

using ops::cuda::bf16;
using ops::cuda::f16;
using simt::Device;
using simt::Place;

std::vector<float> random_values(int count, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<float> v(static_cast<std::size_t>(count));
  for (float& x : v) x = uniform(engine);
  return v;
}

template <class S>
std::vector<S> stored(const std::vector<float>& values) {
  std::vector<S> out;
  for (const float x : values) out.push_back(ops::cuda::from_float<S>(x));
  return out;
}

// Of A [16, depth] in rows, B [depth, 8] in rows and C, all widened.
std::vector<double> product(int depth, const std::vector<double>& a, const std::vector<double>& b,
                            const std::vector<float>& c) {
  std::vector<double> out(c.begin(), c.end());
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int k = 0; k < depth; ++k) out[i * 8 + j] += a[i * depth + k] * b[k * 8 + j];
    }
  }
  return out;
}

// The truncating model may lose a bit of the largest partial sum at each of its steps.
void expect_near(const std::vector<float>& got, const std::vector<double>& wanted) {
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-4) << i;
}

template <class S>
void check_product(int depth, bool b_in_rows) {
  const auto a = stored<S>(random_values(16 * depth, 1));
  const auto b = stored<S>(random_values(8 * depth, 2));
  const auto c = random_values(128, 3);
  std::vector<double> a_wide, b_wide(b.size());
  for (const S x : a) a_wide.push_back(to_float(x));
  for (int k = 0; k < depth; ++k) {
    for (int n = 0; n < 8; ++n) {
      b_wide[k * 8 + n] = to_float(b[b_in_rows ? k * 8 + n : n * depth + k]);
    }
  }
  const auto wanted = product(depth, a_wide, b_wide, c);
  simt::for_each_schedule(8, [&](Device& device) {
    auto a_buffer = device.input(a, "a");
    auto b_buffer = device.input(b, "b");
    auto sum = device.buffer(c, "c");
    multiply(depth, b_in_rows, a_buffer.data(), b_buffer.data(), sum.data());
    expect_near(sum.read(), wanted);
  });
}

TEST(Multiply, MultipliesBfloat16AndHalf) {
  for (const bool b_in_rows : {false, true}) {
    for (const int depth : {8, 16}) {
      check_product<bf16>(depth, b_in_rows);
      check_product<f16>(depth, b_in_rows);
    }
  }
}

TEST(Multiply, MultipliesTf32WithoutItsLowBits) {
  const auto a = random_values(128, 4), b = random_values(64, 5), c = random_values(128, 6);
  auto cut = [](const std::vector<float>& v) {
    std::vector<double> out;
    for (const float x : v) {
      out.push_back(ops::cuda::detail::float_of(ops::cuda::detail::bits_of(x) & 0xffffe000u));
    }
    return out;
  };
  const auto wanted = product(8, cut(a), cut(b), c);
  simt::for_each_schedule(8, [&](Device& device) {
    auto a_buffer = device.input(a, "a");
    auto b_buffer = device.input(b, "b");
    auto sum = device.buffer(c, "c");
    multiply_tf32(a_buffer.data(), b_buffer.data(), sum.data());
    expect_near(sum.read(), wanted);
  });
}

TEST(Multiply, RoundsInTwoWays) {
  const auto a = stored<bf16>(random_values(256, 7)), b = stored<bf16>(random_values(128, 8));
  std::vector<std::vector<float>> results;
  for (const std::uint64_t seed : {0, 1}) {
    Device device(seed);
    auto a_buffer = device.input(a, "a");
    auto b_buffer = device.input(b, "b");
    auto sum = device.buffer(std::vector<float>(128, 1.0f / 3), "c");
    multiply(16, false, a_buffer.data(), b_buffer.data(), sum.data());
    results.push_back(sum.read());
  }
  EXPECT_NE(results[0], results[1]);
}

TEST(Element, NarrowsToNearestEvenAndWidensBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float b = to_float(bf16{half}), h = to_float(f16{half});
    if (!std::isnan(b)) {
      EXPECT_EQ(ops::cuda::from_float<bf16>(b).bits, half);
    }
    if (!std::isnan(h)) {
      EXPECT_EQ(ops::cuda::from_float<f16>(h).bits, half);
    }
  }
  EXPECT_EQ(ops::cuda::from_float<bf16>(1.00390625f).bits, 0x3f80);              // halfway, down
  EXPECT_EQ(ops::cuda::from_float<bf16>(1.01171875f).bits, 0x3f82);              // halfway, up
  EXPECT_EQ(ops::cuda::from_float<f16>(1.00048828125f).bits, 0x3c00);            // halfway, down
  EXPECT_EQ(ops::cuda::from_float<f16>(65520.0f).bits, 0x7c00);                  // infinity
  EXPECT_EQ(ops::cuda::from_float<f16>(65519.0f).bits, 0x7bff);                  // the largest
  EXPECT_EQ(ops::cuda::from_float<f16>(-2.98023223876953125e-8f).bits, 0x8000);  // 2^-25: even 0
  EXPECT_EQ(ops::cuda::from_float<f16>(3.0e-8f).bits, 1);                        // the smallest
  EXPECT_TRUE(std::isnan(to_float(ops::cuda::from_float<bf16>(NAN))));
  EXPECT_TRUE(std::isnan(to_float(ops::cuda::from_float<f16>(NAN))));
}

#ifdef GTRAIN_HAS_CUTE

// CuTe numbers the elements of A [16, k] and C [16, 8] down the columns, those of B as [8, k].
template <class Layout, class Map>
void expect_layout(int values, int rows, bool is_b, Map map) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < values; ++i) {
      const Place p = map(lane, i);
      const int index = is_b ? p.column + rows * p.row : p.row + rows * p.column;
      EXPECT_EQ(static_cast<int>(Layout{}(lane, i)), index) << "lane " << lane << " value " << i;
    }
  }
}

template <class Op>
void expect_half_fragments(int depth) {
  using Traits = cute::MMA_Traits<Op>;
  expect_layout<typename Traits::ALayout>(depth / 2, 16, false, simt::half_a);
  expect_layout<typename Traits::BLayout>(depth / 4, 8, true, simt::half_b);
  expect_layout<typename Traits::CLayout>(4, 16, false, simt::accumulator);
}

TEST(Fragment, MapsOfMmaAreThoseOfCute) {
  expect_half_fragments<cute::SM80_16x8x16_F32BF16BF16F32_TN>(16);
  expect_half_fragments<cute::SM80_16x8x16_F32F16F16F32_TN>(16);
  expect_half_fragments<cute::SM80_16x8x8_F32BF16BF16F32_TN>(8);
  expect_half_fragments<cute::SM80_16x8x8_F32F16F16F32_TN>(8);
  using Tf32 = cute::MMA_Traits<cute::SM80_16x8x8_F32TF32TF32F32_TN>;
  expect_layout<Tf32::ALayout>(4, 16, false, simt::tf32_a);
  expect_layout<Tf32::BLayout>(2, 8, true, simt::tf32_b);
  expect_layout<Tf32::CLayout>(4, 16, false, simt::accumulator);
}

// CuTe numbers the bits: row r of matrix m, as lane 8 m + r addresses it, holds 128 of them.
template <class Op>
void expect_matrices(int matrices, bool transposed) {
  using Layout = typename cute::Copy_Traits<Op>::DstLayout;
  for (int lane = 0; lane < 32; ++lane) {
    for (int m = 0; m < matrices; ++m) {
      for (int half = 0; half < 2; ++half) {
        const Place p = simt::matrix_element(lane, half, transposed);
        EXPECT_EQ(static_cast<int>(Layout{}(lane, 32 * m + 16 * half)),
                  1024 * m + 128 * p.row + 16 * p.column)
            << "lane " << lane << " matrix " << m << " half " << half;
      }
    }
  }
}

TEST(Fragment, MapsOfLdmatrixAreThoseOfCute) {
  expect_matrices<cute::SM75_U32x4_LDSM_N>(4, false);
  expect_matrices<cute::SM75_U32x2_LDSM_N>(2, false);
  expect_matrices<cute::SM75_U16x8_LDSM_T>(4, true);
  expect_matrices<cute::SM75_U16x4_LDSM_T>(2, true);
}

#else

TEST(Fragment, MapsAreThoseOfCute) {
  GTEST_SKIP() << "CuTe's headers are not there: configure with -DGTRAIN_CUTLASS=<include folder>";
}

#endif

}  // namespace
}  // namespace gtrain::simt_fragment
