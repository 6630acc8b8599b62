// Attention by tiles of a CSR pattern on the emulator against plain loops in double.
#include "ops/cuda/block_sparse_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "cuda/block_sparse_case.h"

namespace gtrain::ops::cuda {
namespace {

using simt::Device;

template <class S>
void check(const Problem& problem, int schedules = 1, std::uint64_t seed = 2, double slack = 1) {
  const Case<S> c(problem);
  const Result wanted = expected(c);
  const double tolerance = slack * Kind<S>::kTolerance;
  for (int i = 0; i < schedules_of(schedules); ++i) {
    Device device(seed + i);
    const Result found = run(device, c);
    expect_near(found.out, wanted.out, tolerance, "out");
    expect_near(found.lse, wanted.lse, tolerance, "lse");
    expect_near(found.dq, wanted.dq, tolerance, "dq");
    expect_near(found.dk, wanted.dk, tolerance, "dk");
    expect_near(found.dv, wanted.dv, tolerance, "dv");
    EXPECT_TRUE(device.findings().empty()) << device.report();
    if (::testing::Test::HasFailure()) return;
  }
}

template <class S>
class BlockSparseAttentionCuda : public ::testing::Test {};
using Kinds = ::testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(BlockSparseAttentionCuda, Kinds);

TYPED_TEST(BlockSparseAttentionCuda, AttendsToThePairsAtAllWidths) {
  for (const int width : {1, 4, 6, 8, 13, 16, 24, 32, 64, 80, 128}) {
    if (!block_sparse_attention_runs(Kind<TypeParam>::kStorage, width)) continue;
    SCOPED_TRACE(width);
    Problem p;
    p.pairs = odd_pairs(18, 40);
    p.width = width;
    p.heads = width <= 16 ? 2 : 1;
    p.dropout = width % 16 == 0 ? 0.3 : 0;
    check<TypeParam>(p);
  }
}

TYPED_TEST(BlockSparseAttentionCuda, SharesManyTilesAmongTheWarps) {
  Problem p;
  p.pairs = odd_pairs(33, 300);
  p.dropout = 0.5;
  check<TypeParam>(p);
  p.pairs = odd_pairs(170, 9);
  p.gap = 1;
  check<TypeParam>(p);
}

TYPED_TEST(BlockSparseAttentionCuda, TakesEachMatrixOffTheVectorGrid) {
  for (const char* name : {"q", "k", "v", "out", "dout", "dq", "dk", "dv"}) {
    SCOPED_TRACE(name);
    Problem p;
    p.pairs = odd_pairs(6, 7);
    p.shifted = name;
    check<TypeParam>(p);
    p.shifted = "";
    p.gapped = name;
    check<TypeParam>(p);
  }
}

TYPED_TEST(BlockSparseAttentionCuda, KeepsWhatIsDrawnAtTheThreshold) {
  Problem p;
  p.pairs = odd_pairs(6, 7);
  for (std::uint64_t e = 0; p.dropout < 0.3 || p.dropout > 0.7; ++e) {
    p.dropout = ops::detail::draw<std::uint32_t>(ops::detail::row_key(55, e), 0) * 0x1p-32;
  }
  check<TypeParam>(p);
}

TYPED_TEST(BlockSparseAttentionCuda, IsTheSameUnderFiftySchedules) {
  Problem p;
  p.pairs = odd_pairs(17, 70);
  p.dropout = 0.4;
  check<TypeParam>(p, 50, 0);
}

TYPED_TEST(BlockSparseAttentionCuda, LeavesTheScoresScaleToTheRow) {
  for (const double shift : {-25.0, 25.0}) {
    Problem p;
    p.pairs = odd_pairs(9, 40);
    p.shift = shift;
    p.spread = 0.1;
    check<TypeParam>(p, 1, 3, 30);
  }
  Problem p;
  p.pairs = odd_pairs(9, 40);
  p.spread = 0;
  check<TypeParam>(p);
}

TYPED_TEST(BlockSparseAttentionCuda, PatternsWithoutPairsGiveZeros) {
  for (const auto& [rows, columns] : {std::pair{0, 0}, {3, 0}, {0, 3}, {20, 5}}) {
    Problem p;
    p.pairs = pairs_where(rows, columns, [](int, int) { return false; });
    check<TypeParam>(p);
  }
}

TYPED_TEST(BlockSparseAttentionCuda, AttendsToOrFromASingleNode) {
  for (const auto& [rows, columns] : {std::pair{20, 1}, {1, 40}, {1, 1}}) {
    Problem p;
    p.pairs = pairs_where(rows, columns, [](int, int) { return true; });
    check<TypeParam>(p);
  }
}

TEST(BlockSparseAttentionCudaMemory, ProductsMeetInNoBank) {
  Problem p;
  p.pairs = odd_pairs(16, 64);
  p.width = 64;
  const Case<bf16> c(p);
  Device device(5, {true});
  Measured m;
  run(device, c, &m);
  // What there is comes from adding up the warps, once a window: fragments go to it two by two.
  EXPECT_LT(static_cast<double>(m.banks.conflicts()), 0.25 * static_cast<double>(m.banks.ideal))
      << device.traffic_report();
  for (const simt::Traffic& t : {m.q, m.k, m.dout}) {
    EXPECT_EQ(t.sectors, t.ideal);
    EXPECT_GE(t.sectors, 12 * t.requests);  // 16 bytes a lane
  }
}

TEST(BlockSparseAttentionCudaMemory, BlocksAskForWhatTheirTilesNeed) {
  Problem p;
  p.pairs = odd_pairs(17, 40);
  p.heads = 2;
  p.width = 64;
  const std::size_t row = 144, columns = 4 * 2 * 32 * 4;
  Device device;
  run(device, Case<bf16>(p));
  const auto blocks_of = [&](unsigned blocks, int lefts) {
    return simt::Launch{blocks, 1, 1, 128, (lefts * 16 + 4 * 2 * 32) * row + columns};
  };
  EXPECT_EQ(device.launches(),
            (std::vector<simt::Launch>{blocks_of(4, 1), blocks_of(4, 2), blocks_of(6, 2)}));
}

TEST(BlockSparseAttentionCudaWidths, AreLimitedByTheStorage) {
  for (const Storage storage : {Storage::kFloat, Storage::kBFloat16, Storage::kHalf}) {
    EXPECT_TRUE(block_sparse_attention_runs(storage, 128));
    EXPECT_FALSE(block_sparse_attention_runs(storage, 129));
  }
  EXPECT_TRUE(block_sparse_attention_runs(Storage::kDouble, 48));
  EXPECT_FALSE(block_sparse_attention_runs(Storage::kDouble, 49));
}

TEST(BlockPattern, PacksTheColumnsOfAWindow) {
  const Pairs p = pairs_where(18, 100, [](int i, int j) { return i == 1 ? j % 2 == 0 : j == 99; });
  const BlockPattern blocks = block_pattern(p.start.data(), p.column.data(), 18);
  EXPECT_EQ(blocks.windows(), 2);
  EXPECT_EQ(blocks.window_start, (std::vector<std::int64_t>{0, 2, 3}));
  EXPECT_EQ(blocks.column[0], 0);
  EXPECT_EQ(blocks.column[31], 62);
  EXPECT_EQ(blocks.column[32 + 18], 99);
  EXPECT_EQ(blocks.column[32 + 19], -1);
  EXPECT_EQ(blocks.mask[1], 0xffffffffu);
  EXPECT_EQ(blocks.mask[16 + 1], (1u << 18) - 1);
  EXPECT_EQ(blocks.mask[16], 1u << 18);
  EXPECT_EQ(blocks.entry[16 + 1], 1 + 32);
  EXPECT_NEAR(blocks.fill(67), 67.0 / 1536, 1e-12);
  EXPECT_TRUE(block_pattern_possible(p.start.data(), p.column.data(), 18));
  const std::vector<std::int64_t> start = {0, 2};
  for (const auto& column : {std::vector<std::int32_t>{4, 4}, {5, 2}}) {
    EXPECT_FALSE(block_pattern_possible(start.data(), column.data(), 1));
  }
}

bool useful(const Pairs& p) {
  return useful_block_pattern(p.start.data(), p.column.data(), p.rows).has_value();
}

TEST(BlockPattern, IsUsefulWhereRowsOfAWindowShareColumns) {
  const auto band = [](int i, int j) { return std::abs(i - j) <= 12; };  // 40 columns a window
  EXPECT_TRUE(useful(pairs_where(64, 64, band)));
  EXPECT_TRUE(useful(pairs_where(20, 20, [](int, int) { return true; })));
  EXPECT_FALSE(useful(pairs_where(64, 64, [](int i, int j) { return std::abs(i - j) <= 1; })));
  EXPECT_FALSE(useful(pairs_where(64, 4096, [](int i, int j) { return j / 32 == i; })));
  EXPECT_FALSE(useful(pairs_where(0, 0, band)));
  EXPECT_FALSE(useful(pairs_where(5, 5, [](int, int) { return false; })));
  Pairs repeated = pairs_where(20, 20, [](int, int) { return true; });
  repeated.column[1] = 0;
  EXPECT_FALSE(useful(repeated));
}

TEST(BlockPattern, NeverFillsMoreThanItsRowLengthsAllow) {
  for (const int rows : {1, 16, 33, 70}) {
    for (const Pairs& p : {odd_pairs(rows, 9), odd_pairs(rows, 40), odd_pairs(rows, 200)}) {
      const BlockPattern blocks = block_pattern(p.start.data(), p.column.data(), rows);
      EXPECT_LE(blocks.fill(p.start[rows]), block_fill_bound(p.start.data(), rows));
    }
  }
  const Pairs full = pairs_where(32, 64, [](int, int) { return true; });
  EXPECT_EQ(block_fill_bound(full.start.data(), 32), 1);
}

}  // namespace
}  // namespace gtrain::ops::cuda
