// Varlen attention's CUDA kernels on the emulator against plain loops in double.
#include "ops/cuda/varlen_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "cuda/varlen_case.h"
#include "support/simt/device.h"

namespace gtrain::ops::cuda {
namespace {

using simt::Device;

void expect_all(const Result& found, const Result& expected, double tolerance) {
  expect_near(found.out, expected.out, tolerance, "out");
  expect_near(found.lse, expected.lse, tolerance, "lse");
  expect_near(found.dqkv, expected.dqkv, tolerance, "dqkv");
  expect_near(found.dtable, expected.dtable, tolerance, "dtable");
  expect_near(found.dpair, expected.dpair, tolerance, "dpair_bias");
}

template <class S>
void check(const Problem& problem, int schedules = 1, std::uint64_t seed = 2) {
  const Case<S> c(problem);
  const Result reference = expected(c);
  for (int i = 0; i < schedules_of(schedules); ++i) {
    Device device(seed + i);
    expect_all(run(device, c), reference, Kind<S>::kTolerance);
    EXPECT_TRUE(device.findings().empty()) << device.report();
    if (::testing::Test::HasFailure()) return;
  }
}

const std::vector<int> kSmall = {0, 1, 2, 15, 16, 17, 0, 23, 31, 32};

template <class S>
class VarlenAttentionCuda : public ::testing::Test {};
using Kinds = ::testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(VarlenAttentionCuda, Kinds);

TYPED_TEST(VarlenAttentionCuda, AttendsInsideSmallGraphsAtAllWidths) {
  for (const int width : {4, 6, 8, 16, 24, 32, 64, 80, 128}) {
    if (!varlen_attention_runs(Kind<TypeParam>::kStorage, width)) continue;
    SCOPED_TRACE(width);
    Problem p;
    p.sizes = width == 16 ? kSmall : std::vector<int>{5, 0, 17};
    p.width = width;
    p.heads = width <= 16 ? 4 : 1;
    p.hops = width % 16 == 0;
    p.dropout = width % 32 == 0 ? 0.3 : 0;
    check<TypeParam>(p);
  }
}

TYPED_TEST(VarlenAttentionCuda, WalksOverTheTilesOfLargerGraphs) {
  Problem p;
  p.sizes = {33, 48, 64};
  p.width = 8;
  check<TypeParam>(p);
  p.sizes = {65, 3, 100};
  p.heads = 2;
  p.hops = p.pair_bias = true;
  p.dropout = 0.5;
  check<TypeParam>(p);
  p.sizes = {130};
  p.width = 24;
  p.heads = 2;
  p.tile_rows = 32;
  check<TypeParam>(p);
}

TYPED_TEST(VarlenAttentionCuda, TakesRowsOffTheVectorGrid) {
  for (const int width : {1, 5, 9, 13, 17, 20, 33, 65}) {  // one more than each tile has
    if (!varlen_attention_runs(Kind<TypeParam>::kStorage, width)) continue;
    SCOPED_TRACE(width);
    Problem p;
    p.sizes = {7, width > 20 ? 17 : 34};
    p.width = width;
    p.heads = width > 20 ? 1 : 3;
    p.hops = true;
    p.dropout = 0.2;
    p.gap = 1;
    check<TypeParam>(p);
  }
  Problem p;
  p.sizes = {19};
  for (const int gap : {16, 3}) {
    p.gap = gap;
    check<TypeParam>(p);
  }
}

TYPED_TEST(VarlenAttentionCuda, TakesEachMatrixOffTheVectorGrid) {
  for (const char* name : {"qkv", "out", "dout", "dqkv"}) {
    SCOPED_TRACE(name);
    Problem p;
    p.sizes = {9};
    p.shifted = name;
    check<TypeParam>(p);
    p.shifted = "";
    p.gapped = name;
    check<TypeParam>(p);
  }
}

// Copies of no bytes fill the columns between a width and its tile.
TEST(VarlenAttentionCudaRange, PaddingAddsNothingToAScoreOfZero) {
  Problem p;
  p.sizes = {1, 1};
  p.width = 24;
  Case<f16> c(p);
  std::fill(c.qkv.begin() + c.stride, c.qkv.end(), f16{});
  Device device;
  EXPECT_EQ(run(device, c).lse[1], 0);
}

TYPED_TEST(VarlenAttentionCuda, KeepsWhatIsDrawnAtTheThreshold) {
  Problem p;
  p.sizes = {7};
  p.width = 8;
  for (std::uint32_t j = 0; p.dropout < 0.3 || p.dropout > 0.7; ++j) {
    p.dropout = ops::detail::draw<std::uint32_t>(ops::detail::row_key(77, j / 7), j % 7) * 0x1p-32;
  }
  check<TypeParam>(p);
}

TYPED_TEST(VarlenAttentionCuda, IsTheSameUnderFiftySchedules) {
  Problem p;
  p.sizes = {34};
  p.width = 8;
  p.tile_rows = 32;
  p.hops = p.pair_bias = true;
  p.dropout = 0.4;
  check<TypeParam>(p, 50, 0);
}

TYPED_TEST(VarlenAttentionCuda, TakesTilesOfEverySize) {
  for (const int tile_rows : {16, 32, 64}) {
    Problem p;
    p.sizes = {40, 1, 18};
    p.width = 16;
    p.tile_rows = tile_rows;
    p.hops = true;
    check<TypeParam>(p);
  }
}

TYPED_TEST(VarlenAttentionCuda, SumsTheTableOverManyBuckets) {
  Problem p;
  p.sizes = {9, 1, 12, 20, 3, 3, 3, 3, 3, 3, 4};
  p.width = 8;
  p.heads = 3;
  p.hops = true;
  p.buckets = 75;  // one column more than the blocks' threads
  check<TypeParam>(p);
  p.sizes = {5};  // one item
  p.buckets = 2;
  check<TypeParam>(p);
}

TYPED_TEST(VarlenAttentionCuda, TakesATableOfOneBucket) {
  Problem p;
  p.sizes = {5, 20};
  p.width = 8;
  p.hops = true;
  p.buckets = 1;
  const Case<TypeParam> c(p);
  Device device(2);
  const Result found = run(device, c), wanted = expected(c);
  expect_near(found.out, wanted.out, Kind<TypeParam>::kTolerance, "out");
  expect_near(found.dqkv, wanted.dqkv, Kind<TypeParam>::kTolerance, "dqkv");
  EXPECT_NEAR(found.dtable[0], 0, Kind<TypeParam>::kTolerance * 25);  // rows of weights sum to 1
  EXPECT_TRUE(device.findings().empty()) << device.report();
}

TYPED_TEST(VarlenAttentionCuda, LeavesTheScoresScaleToTheRow) {
  for (const double bias : {-200.0, 200.0}) {
    Problem p;
    p.sizes = {6, 35};
    p.width = 8;
    p.pair_bias = true;
    p.bias_at_all = bias;
    Case<TypeParam> c(p);
    Device device(3);
    // The added constant costs digits of the bias itself, not of the weights of its rounded value.
    expect_all(run(device, c), expected(c), std::max(Kind<TypeParam>::kTolerance, 2e-5) * 1.5);
    EXPECT_TRUE(device.findings().empty()) << device.report();
  }
}

TYPED_TEST(VarlenAttentionCuda, AveragesTheValuesWhereQueriesAreZero) {
  Problem p;
  p.sizes = {5, 20};
  p.width = 8;
  p.spread = 0;
  check<TypeParam>(p);
}

TYPED_TEST(VarlenAttentionCuda, RowWithoutAFiniteScoreGivesZero) {
  Problem p;
  p.sizes = {4, 34};
  p.width = 8;
  p.pair_bias = true;
  Case<TypeParam> c(p);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(c.pair_bias.size()); ++i) {
    const int row = static_cast<int>((i - 16) / 34), column = static_cast<int>((i - 16) % 34);
    const bool only = row == 20 && column == 33;  // one finite score in its row
    if (i < 4 || (i >= 16 && (row == 7 || (row == 20 && !only)))) c.pair_bias[i] = -INFINITY;
  }
  Device device(4);
  const Result found = run(device, c);
  expect_all(found, expected(c), Kind<TypeParam>::kTolerance);
  EXPECT_TRUE(device.findings().empty()) << device.report();
  EXPECT_EQ(found.lse[0], INFINITY);
  for (int x = 0; x < 8; ++x) EXPECT_EQ(found.out[x], 0);
}

TYPED_TEST(VarlenAttentionCuda, NothingToDoLaunchesNothing) {
  for (const auto& sizes : {std::vector<int>{}, std::vector<int>{0, 0}}) {
    Problem p;
    p.sizes = sizes;
    check<TypeParam>(p);
  }
}

// 2^32 blocks: none, by the last 32 bits.
TEST(VarlenAttentionCudaRange, LaunchesNoGridLargerThanADeviceTakes) {
  Device device;
  VarlenAttention a;
  a.item_count = std::int64_t{1} << 31;
  a.heads = 2;
  varlen_attention_forward(a, nullptr);
  ASSERT_EQ(device.findings().size(), 1u);
  EXPECT_THAT(device.findings()[0].message, ::testing::HasSubstr("larger than"));
}

TEST(VarlenAttentionCudaBits, AreThoseOfEverySchedule) {
  Problem p;
  p.sizes = {20, 37, 2};
  p.width = 16;
  p.hops = true;
  p.dropout = 0.25;
  const Case<float> c(p);
  const auto under = [&](std::uint64_t seed) {
    Device device(seed);
    return run(device, c);
  };
  const Result once = under(0);
  for (const std::uint64_t seed : {1, 7, 8, 9}) {
    const Result again = under(seed);
    EXPECT_EQ(again.out, once.out);
    EXPECT_EQ(again.lse, once.lse);
    EXPECT_EQ(again.dqkv, once.dqkv);
    EXPECT_EQ(again.dtable, once.dtable);
  }
}

template <class S>
void expect_whole_sectors(int width, double conflicts) {  // conflicts: per ideal wavefront
  SCOPED_TRACE(width);
  Problem p;
  p.sizes = {32, 16};
  p.width = width;
  p.heads = 2;
  const Case<S> c(p);
  Device device(5, {true});
  Measured m;
  run(device, c, &m);
  EXPECT_EQ(m.qkv.sectors, m.qkv.ideal);
  EXPECT_EQ(m.out.sectors, m.out.ideal);
  EXPECT_EQ(m.dqkv.sectors, m.dqkv.ideal);
  EXPECT_GE(m.dqkv.sectors, 12 * m.dqkv.requests);  // 16 bytes a lane
  EXPECT_GE(m.qkv.sectors, 12 * m.qkv.requests);
  EXPECT_LE(static_cast<double>(m.banks.conflicts()),
            conflicts * static_cast<double>(m.banks.ideal))
      << device.traffic_report();
}

TEST(VarlenAttentionCudaMemory, MovesWholeSectorsWithoutBankConflicts) {
  expect_whole_sectors<bf16>(64, 0);
  expect_whole_sectors<f16>(128, 0);
  expect_whole_sectors<float>(32, 0);
  // Rows of less than 128 bytes: copies to and from shared memory go twice, products do not.
  expect_whole_sectors<bf16>(16, 0.6);
  expect_whole_sectors<float>(16, 0.6);
}

// Lanes have every second number of a sector, and the next access the others.
TEST(VarlenAttentionCudaMemory, NeighboursShareTheSectorsOfThePairBias) {
  Problem p;
  p.sizes = {32};
  p.heads = 3;
  p.pair_bias = true;
  const Case<bf16> c(p);
  Device device(0, {true});
  Measured m;
  run(device, c, &m);
  EXPECT_LE(m.pair_bias.ratio(), 2.0);
  EXPECT_LE(m.dpair_bias.ratio(), 2.0);
}

// A word a lane, and only those that a tile of hops lies in.
TEST(VarlenAttentionCudaMemory, ReadsTheHopsByWords) {
  Problem p;
  p.sizes = {32};
  p.heads = 3;
  p.hops = true;
  const Case<bf16> c(p);
  Device device(0, {true});
  Measured m;
  run(device, c, &m);
  EXPECT_EQ(m.hop.requests, 3u * 3 * 32 * 32 / 4 / 32);
}

// The most shared memory that a width and its buckets ask for: a block of sm_80 has it.
TEST(VarlenAttentionCudaMemory, WidestHeadsFitIntoABlock) {
  Problem p;
  p.sizes = {65};
  p.width = 64;
  p.hops = true;
  p.buckets = 256;
  check<double>(p);
  p.width = 128;
  check<float>(p);
}

TEST(VarlenAttentionCudaMemory, BlocksAskForWhatTheirTilesNeed) {
  Problem p;
  p.sizes = {40, 1, 18};
  p.width = 64;
  p.heads = 2;
  p.tile_rows = 32;
  p.hops = true;
  p.buckets = 4;  // 16 bytes
  const std::size_t row = 4 * 68, scratch = 4 * 32 * 20, hops = 640;
  const auto blocks = [&](int lefts, int stages, int gradients, int columns) {
    const std::size_t operands = (lefts * 32 + stages * 2 * 32) * row;
    return simt::Launch{8, 1, 1, 64,
                        operands + 2 * scratch + (1 + gradients) * 16 + 2 * hops + columns};
  };
  for (const int longest : {40, 32}) {
    p.sizes[0] = longest;
    const int stages = longest > 32 ? 2 : 1;
    Device device;
    run(device, Case<float>(p));
    std::vector<simt::Launch> expected = {blocks(1, stages, 0, 0),
                                          blocks(2, stages, 2, 0),
                                          blocks(2, stages, 0, stages * 32 * 16),
                                          {1, 1, 1, 256, 256 * 4}};
    for (simt::Launch& launch : expected) launch.x = launch.x == 8 && stages == 1 ? 6 : launch.x;
    EXPECT_EQ(device.launches(), expected);
  }
}

TEST(VarlenAttentionCudaMemory, BlocksWithoutBiasAskForOperandsOnly) {
  Problem p;
  p.sizes = {16};
  p.width = 64;
  Device device;
  run(device, Case<bf16>(p));
  const std::size_t row = 2 * 72, forward = (16 + 2 * 32) * row, backward = forward + 16 * row;
  EXPECT_EQ(device.launches(), (std::vector<simt::Launch>{{1, 1, 1, 32, forward},
                                                          {1, 1, 1, 32, backward},
                                                          {1, 1, 1, 32, backward + 32 * 16}}));
}

TEST(VarlenAttentionCudaWidths, AreLimitedByTheStorage) {
  for (const Storage storage : {Storage::kFloat, Storage::kBFloat16, Storage::kHalf}) {
    EXPECT_TRUE(varlen_attention_runs(storage, 128));
    EXPECT_FALSE(varlen_attention_runs(storage, 129));
  }
  EXPECT_TRUE(varlen_attention_runs(Storage::kDouble, 64));
  EXPECT_FALSE(varlen_attention_runs(Storage::kDouble, 65));
}

TEST(VarlenPlan, PutsTheLongestGraphsFirst) {
  const std::vector<std::int64_t> start = {0, 3, 3, 40, 43};
  const auto items = varlen_items(start.data(), 4, 16);
  const std::vector<std::pair<int, int>> expected = {{2, 0}, {2, 16}, {2, 32}, {0, 0}, {3, 0}};
  ASSERT_EQ(items.size(), expected.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].graph, expected[i].first);
    EXPECT_EQ(items[i].first, expected[i].second);
  }
  EXPECT_EQ(varlen_tile_rows(16), 16);
  EXPECT_EQ(varlen_tile_rows(17), 32);
  EXPECT_EQ(varlen_tile_rows(64), 32);
  EXPECT_EQ(varlen_tile_rows(65), 64);
}

}  // namespace
}  // namespace gtrain::ops::cuda
