// Top-m on the emulator, against sorting.
#include "ops/cuda/top_m.h"

#include <limits>
#include <numeric>
#include <type_traits>

#include "row_case.h"

namespace gtrain::ops::cuda {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <class S>
struct Case {
  Starts start;
  std::vector<S> score;
  std::vector<std::int64_t> keep;  // of each segment

  std::vector<std::int64_t> kept() const {
    const Doubles s = widen(score);
    std::vector<std::int64_t> out;
    for (std::size_t g = 0; g + 1 < start.size(); ++g) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(start[g + 1] - start[g]));
      std::iota(order.begin(), order.end(), start[g]);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const double x = s[static_cast<std::size_t>(a)], y = s[static_cast<std::size_t>(b)];
        return std::isnan(y) ? !std::isnan(x) : x > y;
      });
      order.resize(static_cast<std::size_t>(keep[g]));
      std::sort(order.begin(), order.end());
      out.insert(out.end(), order.begin(), order.end());
    }
    return out;
  }

  void run(simt::Device& device) const {
    const Starts kept_start = starts_of(keep);
    std::int64_t longest = 0;
    for (std::size_t g = 0; g + 1 < start.size(); ++g) {
      longest = std::max(longest, start[g + 1] - start[g]);
    }
    const auto scores = device.input(score, "score");
    const auto starts = device.input(start, "start");
    const auto kept_starts = device.input(kept_start, "kept_start");
    const auto out =
        device.output<std::int64_t>(static_cast<std::size_t>(kept_start.back()), "kept");
    top_m(TopM<S>{scores.data(), starts.data(), kept_starts.data(),
                  static_cast<std::int64_t>(keep.size()), longest, out.data()},
          nullptr);
    EXPECT_EQ(out.read(), kept());
  }
};

// Segments of these sizes that keep these many.
template <class S>
Case<S> random_case(const std::vector<std::int64_t>& sizes, std::vector<std::int64_t> keep) {
  const Starts start = starts_of(sizes);
  return {start, numbers<S>(static_cast<std::size_t>(start.back()), 3), std::move(keep)};
}

template <class S>
class TopMKernel : public testing::Test {};
using Storages = testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(TopMKernel, Storages);

TYPED_TEST(TopMKernel, SelectsUnderManySchedules) {
  const auto c =
      random_case<TypeParam>({0, 5, 1, 40, 100, 33, 64, 32}, {0, 2, 1, 40, 17, 0, 1, 31});
  simt::for_each_schedule(50, [&](simt::Device& device) { c.run(device); });
}

// The border between the kernels, and histograms of one and many tiles.
TYPED_TEST(TopMKernel, SelectsFromLongSegments) {
  const auto c = random_case<TypeParam>({1024, 1025, 3, 1300}, {700, 3, 2, 1299});
  simt::for_each_schedule(3, [&](simt::Device& device) { c.run(device); });
}

TYPED_TEST(TopMKernel, SelectsFromALongSegmentUnderManySchedules) {
  const auto c = random_case<TypeParam>({1100}, {300});
  simt::for_each_schedule(std::is_same_v<TypeParam, float> ? 50 : 5,
                          [&](simt::Device& device) { c.run(device); });
}

// Few values, so that the threshold is shared by many.
TYPED_TEST(TopMKernel, KeepsTheFirstOfEqualScores) {
  for (const std::int64_t size : {70, 1200}) {
    for (const std::int64_t keep : {1, 30, 60, 69}) {
      auto c = random_case<TypeParam>({size}, {keep * size / 70});
      for (std::size_t i = 0; i < c.score.size(); ++i) {
        c.score[i] = from_float<TypeParam>(static_cast<float>(i * 7 % 3) - 1);
      }
      simt::for_each_schedule(2, [&](simt::Device& device) { c.run(device); });
    }
  }
}

TYPED_TEST(TopMKernel, OrdersSignsInfinitiesZerosAndNan) {
  const Doubles special{kNan, -kInfinity, -0.0, 0.0,  kInfinity, -1,    1,    -kNan,
                        2,    -2,         0.5,  -0.5, 1e-5,      -1e-5, kNan, -kInfinity};
  for (const std::int64_t size : {16, 1600}) {
    for (std::int64_t keep = 0; keep <= 16; keep += size == 16 ? 1 : 5) {
      auto c = random_case<TypeParam>({size}, {keep * size / 16});
      for (std::size_t i = 0; i < c.score.size(); ++i) {
        c.score[i] = from_float<TypeParam>(static_cast<compute_t<TypeParam>>(special[i % 16]));
      }
      simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
    }
  }
}

}  // namespace

TEST(TopMKernelFloat, SelectsNothingFromNothing) {
  simt::for_each_schedule(1, [&](simt::Device& device) { random_case<float>({}, {}).run(device); });
  simt::for_each_schedule(1, [&](simt::Device& device) {
    random_case<float>({0, 0}, {0, 0}).run(device);
  });
}

TEST(TopMKernelFloat, ComparesEveryBitOfAScore) {
  for (const std::int64_t size : {60, 1080}) {
    Case<float> c{{0, size}, {}, {}};
    for (std::int64_t i = 0; i < size; ++i) {
      const auto bits = static_cast<std::uint32_t>(0x3f800000u ^ (1u << (i * 7 % 30)));
      c.score.push_back(detail::float_of(bits));
    }
    for (const std::int64_t keep : {1, 7, 20, 41, 59}) {
      c.keep = {keep * size / 60};
      simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
    }
  }
}

// A warp with room for 1024 keys takes a segment, and only longer ones need a block.
TEST(TopMKernelFloat, LaunchesBlocksForLongSegmentsOnly) {
  const auto launches = [](std::int64_t longest, std::size_t segments) {
    std::vector<std::int64_t> sizes{longest, 3, 0, 9, 1}, keep{5, 1, 0, 2, 1};
    sizes.resize(segments);
    keep.resize(segments);
    const auto c = random_case<float>(sizes, keep);
    simt::Device device;
    c.run(device);
    return device.launches();
  };
  const simt::Launch warps{2, 1, 1, 128, 4 * 4 * 1024};
  const simt::Launch blocks{5, 1, 1, 256, 4 * (256 + 2 + 8 + 8)};
  EXPECT_EQ(launches(1024, 5), (std::vector<simt::Launch>{warps}));
  EXPECT_EQ(launches(1025, 5), (std::vector<simt::Launch>{warps, blocks}));
  EXPECT_EQ(launches(7, 4)[0], (simt::Launch{1, 1, 1, 128, 4 * 4 * 1024}));
}

TEST(TopMKernelFloat, ReadsWholeSectorsWithoutBankConflicts) {
  const auto c = random_case<float>({1024, 256}, {10, 200});
  simt::Device device(0, {true});
  const Starts kept_start = starts_of(c.keep);
  const auto scores = device.input(c.score, "score");
  const auto starts = device.input(c.start, "start");
  const auto kept_starts = device.input(kept_start, "kept_start");
  const auto out = device.output<std::int64_t>(210, "kept");
  top_m(TopM<float>{scores.data(), starts.data(), kept_starts.data(), 2, 1024, out.data()},
        nullptr);
  EXPECT_EQ(device.loads(scores).ratio(), 1.0);
  EXPECT_EQ(device.banks().conflicts(), 0u);
  EXPECT_EQ(device.report(), "");
}

}  // namespace gtrain::ops::cuda
