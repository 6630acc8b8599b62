#include "ops/cuda/sparse_attention.h"

#include <gtest/gtest.h>

#include "cuda/far_case.h"
#include "cuda/sparse_attention_case.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda::test {
namespace {

template <class S>
void expect_equal(const Results& found, const Results& wanted, double scale) {
  expect_near<S>(found.out, wanted.out, "out", scale);
  expect_near<S>(found.lse, wanted.lse, "lse", scale);
  expect_near<S>(found.dq, wanted.dq, "dq", scale);
  expect_near<S>(found.dk, wanted.dk, "dk", scale);
  expect_near<S>(found.dv, wanted.dv, "dv", scale);
  expect_near<S>(found.dpair_bias, wanted.dpair_bias, "dpair_bias", scale);
  expect_near<S>(found.dtype_bias, wanted.dtype_bias, "dtype_bias", scale);
}

// Against the definition, and the same bits under every schedule.
template <class S>
void expect_law(const Case& c, int schedules = 2, double scale = 1) {
  const Inputs x = inputs_of<S>(c);
  const Reference reference(c, x);
  Results first;
  simt::for_each_schedule(schedules, [&](simt::Device& device) {
    const Results found = Call<S>(device, c, x).results();
    expect_equal<S>(found, reference.r, scale);
    if (device.seed() == 0) first = found;
    EXPECT_EQ(found.out, first.out);
    EXPECT_EQ(found.dq, first.dq);
    EXPECT_EQ(found.dk, first.dk);
    EXPECT_EQ(found.dv, first.dv);
    EXPECT_EQ(found.dtype_bias, first.dtype_bias);
  });
}

Case everything(int heads, int width) {
  Case c;
  c.pairs = random_pairs(11, 9, 7, 12);
  c.heads = heads;
  c.width = width;
  c.pair_bias = c.type_bias = true;
  c.dropout = 0.3;
  return c;
}

TEST(SparseAttention, EqualsTheDefinitionForEveryShapeOfLanes) {
  const int shapes[][2] = {{1, 8},   {8, 8}, {3, 16}, {1, 24}, {2, 64}, {1, 80}, {1, 128},
                           {1, 144}, {5, 4}, {8, 10}, {2, 13}, {1, 33}, {40, 1}};
  for (const auto& s : shapes) {
    SCOPED_TRACE(testing::Message() << s[0] << " heads of " << s[1]);
    expect_law<float>(everything(s[0], s[1]), 1);
  }
}

TEST(SparseAttention, EqualsTheDefinitionInEveryStorage) {
  for (const auto& s : {std::pair{8, 8}, {2, 24}, {1, 13}, {1, 264}}) {
    SCOPED_TRACE(testing::Message() << s.first << " heads of " << s.second);
    if (s.second <= 256) expect_law<double>(everything(s.first, s.second), 1);
    expect_law<bf16>(everything(s.first, s.second), 1);
    expect_law<f16>(everything(s.first, s.second), 1);
  }
}

Case with(const Pairs& pairs, int heads, int width, Index cut = 8) {
  Case c = everything(heads, width);
  c.pairs = pairs;
  c.cut = cut;
  return c;
}

TEST(SparseAttention, MergesAHubFromItsParts) {
  expect_law<float>(with(hub_pairs(12, 70), 3, 8, 16));
  expect_law<float>(with(hub_pairs(5, 520), 1, 4, 256), 1);
  expect_law<double>(with(hub_pairs(12, 70), 2, 5, 7), 1);
  expect_law<bf16>(with(hub_pairs(12, 70), 2, 16, 20), 1);
  expect_law<float>(with(hub_pairs(4, 9), 3, 48, 4), 1);  // more channels than a block has threads
}

TEST(SparseAttention, NeedsNoWorkList) {
  expect_law<float>(with(hub_pairs(12, 70), 3, 8, 0));
  expect_law<float>(with(random_pairs(3, 9, 7, 5), 2, 13, 0), 1);
}

TEST(SparseAttention, GivesZerosToRowsWithoutPairs) {
  expect_law<float>(with(pairs_of({{}, {}, {}, {}, {}}, 3), 2, 8));
  expect_law<float>(with(pairs_of({{}, {1}, {}}, 2), 2, 8));
  expect_law<float>(with(pairs_of({{}, {}}, 0), 2, 8, 0), 1);
  expect_law<float>(with(pairs_of({}, 3), 2, 8), 1);
  expect_law<float>(with(pairs_of({}, 0), 2, 8, 0), 1);
}

TEST(SparseAttention, GoesWithoutWhatIsOptional) {
  for (int which = 0; which < 16; ++which) {
    SCOPED_TRACE(which);
    Case c = everything(2, 8);
    c.pair_bias = which & 1;
    c.type_bias = which & 2;
    c.types = which & 4;
    c.dropout = which & 8 ? 0.3 : 0;
    expect_law<float>(c, 1);
  }
}

TEST(SparseAttention, LeavesOutGradientsNotWanted) {
  const Case c = everything(2, 8);
  const Inputs x = inputs_of<float>(c);
  const Reference reference(c, x);
  simt::Device device;
  Call<float> call(device, c, x);
  call.g.dpair_bias = call.g.dtype_bias = nullptr;
  sparse_attention_forward(call.a, nullptr);
  sparse_attention_backward(call.a, call.g, nullptr);
  expect_near<float>(call.p.dq.read(), reference.r.dq, "dq");
  expect_near<float>(call.p.dk.read(), reference.r.dk, "dk");
  EXPECT_EQ(device.report(), "");
}

TEST(SparseAttention, ReadsSlicesOfPackedProjections) {
  Case c = with(random_pairs(4, 9, 9, 6), 2, 8);
  c.layout.packed = true;
  expect_law<float>(c, 1);
  expect_law<bf16>(c, 1);
  c.width = 13;
  expect_law<float>(c, 1);
}

TEST(SparseAttention, TakesTensorsThatAreNotAligned) {
  Case c = everything(2, 8);
  for (const char* name : {"q", "k", "v", "out", "dout", "dq", "dk", "dv"}) {
    SCOPED_TRACE(name);
    c.layout.shifted = name;
    expect_law<float>(c, 1);
  }
  c.layout.shifted = "";
  for (const char* name : {"q", "k", "v", "dq", "dk", "dv"}) {
    SCOPED_TRACE(name);
    c.layout.gapped = name;
    expect_law<float>(c, 1);
  }
}

template <class S>
bool takes(int heads, int width) {
  SparseAttention<S> a;
  a.heads = heads;
  a.width = width;
  return sparse_attention_takes(a);
}

TEST(SparseAttention, StatesWhichWidthsItTakes) {
  EXPECT_TRUE(takes<float>(1, 512));
  EXPECT_FALSE(takes<float>(1, 513));
  EXPECT_TRUE(takes<bf16>(1, 512));
  EXPECT_TRUE(takes<double>(1, 256));
  EXPECT_FALSE(takes<double>(1, 257));
  EXPECT_TRUE(takes<float>(1, 1));
  EXPECT_FALSE(takes<float>(1, 0));
  EXPECT_FALSE(takes<float>(0, 1));
}

TEST(SparseAttention, TakesTheWidestHeadsOfEitherAlignment) {
  Case c = with(random_pairs(8, 5, 4, 3), 1, 512);
  expect_law<float>(c, 1);
  expect_law<f16>(c, 1);
  c.layout.shifted = "dout";  // aligned forward, not so backward
  expect_law<float>(c, 1);
  c.width = 509;
  expect_law<bf16>(c, 1);
  c.width = 255;
  expect_law<double>(c, 1);
}

// Scores are what `biases` says, alone.
struct Biased {
  Case c;
  Inputs x;

  explicit Biased(const std::vector<double>& biases) {
    c.pairs = pairs_of({{0, 1, 2, 3}, {3}}, 4);
    c.heads = 1;
    c.width = 4;
    c.pair_bias = true;
    x = inputs_of<float>(c);
    std::fill(x.q.begin(), x.q.end(), 0);
    x.pair_bias = biases;
  }
  Results run(simt::Device& device) { return Call<float>(device, c, x).results(); }
};

TEST(SparseAttention, AveragesValuesOfEqualScores) {
  for (const double score : {0.0, -200.0, 200.0, -3e4}) {
    SCOPED_TRACE(score);
    Biased b({score, score, score, score, score});
    simt::Device device;
    const Results r = b.run(device);
    for (int t = 0; t < 4; ++t) {
      const double mean = (b.x.v[t] + b.x.v[4 + t] + b.x.v[8 + t] + b.x.v[12 + t]) / 4;
      EXPECT_NEAR(r.out[t], mean, 1e-6);
      EXPECT_NEAR(r.out[4 + t], b.x.v[12 + t], 1e-6);
    }
    EXPECT_NEAR(r.lse[0], score / std::log(2.0) + 2, 1e-5 * std::abs(score) + 1e-6);
    EXPECT_EQ(device.report(), "");
  }
}

TEST(SparseAttention, GivesAllWeightToTheOneFiniteScore) {
  Biased b({-kInfinity, -kInfinity, -7, -kInfinity, 1});
  simt::Device device;
  const Results r = b.run(device);
  for (int t = 0; t < 4; ++t) {
    EXPECT_EQ(r.out[t], b.x.v[8 + t]);
    EXPECT_EQ(r.dv[t], 0);
    EXPECT_NEAR(r.dv[8 + t], b.x.dout[t], 1e-6);
    EXPECT_NEAR(r.dq[t], 0, 1e-6);
  }
  EXPECT_EQ(device.report(), "");
}

TEST(SparseAttention, GivesZerosWhereEveryScoreIsMinusInfinity) {
  for (const Index cut : {0, 2}) {
    Biased b({-kInfinity, -kInfinity, -kInfinity, -kInfinity, 1});
    b.c.cut = cut;
    simt::Device device;
    const Results r = b.run(device);
    EXPECT_EQ(r.lse[0], kInfinity);
    for (int t = 0; t < 4; ++t) {
      EXPECT_EQ(r.out[t], 0);
      EXPECT_EQ(r.dq[t], 0);
      EXPECT_EQ(r.dv[t], 0);
      EXPECT_EQ(r.dk[8 + t], 0);
      EXPECT_EQ(r.dpair_bias[t], 0);
    }
    EXPECT_EQ(device.report(), "");
  }
}

// A part without any finite score, and a maximum that grows from part to part.
TEST(SparseAttention, MergesPartsOfAnySize) {
  Case c = with(pairs_of({{0, 1, 2, 3, 0, 1}}, 4), 1, 4, 2);
  c.dropout = 0;
  c.type_bias = false;
  Inputs x = inputs_of<float>(c);
  x.pair_bias = {-kInfinity, -kInfinity, 1, 2, 90, 91};
  const Reference reference(c, x);
  simt::Device device;
  expect_equal<float>(Call<float>(device, c, x).results(), reference.r, 90);
  EXPECT_EQ(device.report(), "");
}

TEST(SparseAttention, PassesNanOn) {
  Biased b({0, 0, 0, 0, 0});
  b.x.k[8] = std::nan("");
  b.x.q[0] = 1;
  for (const Index cut : {0, 2}) {
    b.c.cut = cut;
    simt::Device device;
    const Results r = b.run(device);
    EXPECT_TRUE(std::isnan(r.out[0]) && std::isnan(r.out[1]) && std::isnan(r.lse[0]));
  }
}

TEST(SparseAttention, KeepsWhatIsDrawnAtTheThreshold) {
  Case c = everything(2, 8);
  c.dropout = 0;
  for (std::uint64_t p = 0; c.dropout < 0.3 || c.dropout > 0.7; ++p) {
    c.dropout = ops::detail::draw(ops::detail::row_key(kKey, p), 1u) * 0x1p-32;
  }
  expect_law<float>(c, 1);
}

TEST(SparseAttention, SumsTheTypeBiasOverMoreItemsThanBlocks) {
  Case c = with(random_pairs(5, 40, 9, 6), 3, 8, 4);
  for (c.type_blocks = 1; c.type_blocks < 4; ++c.type_blocks) expect_law<float>(c, 3);
  // 37 blocks with gradients, more than a warp has lanes: rows of one pair have none.
  c = with(random_pairs(6, 300, 3, 3), 1, 4);
  expect_law<float>(c, 1);
}

TEST(SparseAttention, AddressesMoreElementsThan32BitsCount) {
  Case c = everything(3, 16);
  c.dropout = 0;  // drawn by the number of the pair
  c.cut = 4;
  const Inputs x = inputs_of<float>(c);
  const Reference reference(c, x);
  simt::Device device;
  Call<float> call(device, c, x);
  const Far far(device, c.pairs, c.cut);
  far.assign(call.a, call.g);
  call.a.lse -= Far::kRows * c.heads;
  call.a.type -= Far::kPairs;
  call.a.pair_bias -= Far::kPairs * c.heads;
  call.g.dpair_bias -= Far::kPairs * c.heads;
  expect_equal<float>(call.results(), reference.r, 1);
  EXPECT_EQ(device.report(), "");
}

// 256 types of 32 heads take 128 KiB, of double 256: more than a block may have.
template <class S>
void expect_room_for_types() {
  Case c = with(random_pairs(5, 9, 9, 6), 40, 1, 0);
  for (std::size_t e = 0; e < c.pairs.type.size(); ++e) {
    c.pairs.type[e] = static_cast<std::uint8_t>(e * 37);
  }
  c.type_rows = 256;
  c.type_blocks = 2;
  expect_law<S>(c, 1);
  const Inputs x = inputs_of<S>(c);
  simt::Device device;
  Call<S>(device, c, x).results();
  const unsigned heads = sizeof(S) == 8 ? 4 : 8;
  EXPECT_EQ(device.launches()[0], (simt::Launch{3, 2, 1, 128, 0}));
  EXPECT_EQ(device.launches()[1], (simt::Launch{2, 40 / heads, 1, 128, 32 * 1024}));
  EXPECT_EQ(device.launches()[3], (simt::Launch{3, 2, 1, 128, 0}));
}

TEST(SparseAttention, DividesHeadsAmongWarpsWhereTablesOfTypesAreLarge) {
  expect_room_for_types<float>();
  expect_room_for_types<double>();
}

// And 16 bytes a lane: a row of 64 channels is one request of half a warp.
TEST(SparseAttention, ReadsWholeSectors) {
  Case c = everything(8, 8);
  c.cut = 0;
  const Inputs x = inputs_of<float>(c);
  simt::DeviceOptions options;
  options.measure = true;
  simt::Device device(0, options);
  Call<float> call(device, c, x);
  call.results();
  for (const auto* m : {&call.p.q, &call.p.k, &call.p.v, &call.dout}) {
    EXPECT_EQ(device.loads(m->buffer).ratio(), 1);
  }
  std::uint64_t steps = 0;  // a warp reads two entries at a time
  for (Index i = 0; i < c.pairs.rows; ++i) {
    steps += static_cast<std::uint64_t>(c.pairs.row_start[i + 1] - c.pairs.row_start[i] + 1) / 2;
  }
  EXPECT_EQ(device.loads(call.p.v.buffer).requests,
            2 * steps + static_cast<std::uint64_t>(c.pairs.columns));
  for (const auto* m : {&call.p.dq, &call.p.dk, &call.p.dv, &call.out}) {
    EXPECT_EQ(device.stores(m->buffer).ratio(), 1);
    EXPECT_EQ(device.stores(m->buffer).requests, static_cast<std::uint64_t>(m->rows));
  }
  EXPECT_EQ(device.banks().conflicts(), 0u);
}

TEST(SparseAttention, LaunchesAWarpForEachItemAndItsHeads) {
  const Pairs pairs = random_pairs(11, 9, 7, 12);
  const auto launches = [&](int heads, int width, Index cut) {
    const Case c = with(pairs, heads, width, cut);
    const Inputs x = inputs_of<float>(c);
    simt::Device device;
    Call<float>(device, c, x).results();
    return device.launches();
  };
  // 9 rows and 7 columns, 4 warps a block; a table of 3 types for each warp and head of it.
  const auto expected = [](unsigned y, std::size_t heads) {
    const unsigned entries = static_cast<unsigned>(3 * heads + 3) / 4;
    return std::vector<simt::Launch>{{3, y, 1, 128, 0},
                                     {3, y, 1, 128, 4 * 4 * 3 * heads},
                                     {entries, 1, 1, 128, 0},
                                     {2, y, 1, 128, 0}};
  };
  EXPECT_EQ(launches(8, 16, 0), expected(1, 8));
  EXPECT_EQ(launches(1, 128, 0), expected(1, 1));
  EXPECT_EQ(launches(2, 64, 0), expected(1, 2));
  EXPECT_EQ(launches(4, 64, 0)[0], (simt::Launch{3, 2, 1, 128, 0}));
  EXPECT_EQ(launches(32, 4, 0)[0], (simt::Launch{3, 1, 1, 128, 0}));
  EXPECT_EQ(launches(9, 16, 0)[0], (simt::Launch{3, 2, 1, 128, 0}));
  EXPECT_EQ(launches(8, 16, 300).size(), 4u);  // a list that cuts nothing
  const auto cut = launches(8, 16, 4);         // a block for each row that is cut
  ASSERT_EQ(cut.size(), 8u);
  EXPECT_EQ(cut[1], (simt::Launch{rows_cut(pairs.row_start, 4), 1, 1, 128, 0}));
  EXPECT_EQ(cut[5], cut[1]);
  EXPECT_EQ(cut[6], (simt::Launch{rows_cut(pairs.column_start, 4), 1, 1, 128, 0}));
}

TEST(SparseAttention, IsTheSameUnderFiftySchedules) { expect_law<float>(everything(3, 16), 50); }

}  // namespace
}  // namespace gtrain::ops::cuda::test
