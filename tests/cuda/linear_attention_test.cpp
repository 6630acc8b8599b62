// Linear attention's CUDA kernels on the emulator against the definition in plain loops in double.
#include "ops/cuda/linear_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "cuda/tile_case.h"
#include "ops/detail/random.h"
#include "support/simt/device.h"

namespace gtrain::ops::cuda {
namespace {

using simt::Device;

struct Problem {
  std::vector<int> sizes;
  int heads = 1, width = 8, features = 12;
  std::int64_t padded = 0;
  double eps = 1e-2, spread = 1;
  int gap = 0;
};

template <class S>
struct Case {
  using A = compute_t<S>;
  Problem p;
  std::vector<std::int64_t> start{0};
  int total = 0, channels = 0, stride = 0, out_stride = 0;
  std::vector<S> qkv, dout;
  std::vector<A> projection;

  explicit Case(const Problem& problem) : p(problem) {
    for (const int n : p.sizes) start.push_back(start.back() + n);
    total = static_cast<int>(start.back());
    channels = p.heads * p.width;
    stride = 3 * channels + p.gap;
    out_stride = channels + p.gap;
    for (int i = 0; i < total * stride; ++i) {
      const double scale = i % stride >= 2 * channels ? 1 : p.spread;
      qkv.push_back(from_float<S>(static_cast<A>(noise(1, i) * scale)));
    }
    for (int i = 0; i < total * out_stride; ++i) {
      dout.push_back(from_float<S>(static_cast<A>(noise(2, i))));
    }
    for (int i = 0; i < p.features * p.width; ++i) {
      projection.push_back(static_cast<A>(2 * noise(3, i)));
    }
  }
  double at(int row, int operand, int h, int c) const {
    return to_float(qkv[row * stride + (operand * p.heads + h) * p.width + c]);
  }
};

struct Result {
  std::vector<double> out, dqkv;
};

// exp(u - h - max) + eps of one graph and head, and its first part.
struct Features {
  std::vector<std::vector<double>> whole, exponential;
};

template <class S>
Features features_of(const Case<S>& c, int g, int h, bool key) {
  const Problem& p = c.p;
  const int n = p.sizes[g], first = static_cast<int>(c.start[g]);
  const double s = std::pow(p.width, -0.25);
  Features out;
  std::vector<double> half(n, 0);
  double most = key && p.padded > n ? 0 : -INFINITY;
  for (int i = 0; i < n; ++i) {
    out.whole.emplace_back(p.features, 0.0);
    for (int x = 0; x < p.width; ++x) {
      const double value = s * c.at(first + i, key ? 1 : 0, h, x);
      half[i] += value * value / 2;
      for (int f = 0; f < p.features; ++f) out.whole[i][f] += value * c.projection[f * p.width + x];
    }
    for (const double u : out.whole[i]) most = std::max(most, u);
  }
  out.exponential = out.whole;
  for (int i = 0; i < n; ++i) {
    double top = most;
    if (!key) top = *std::max_element(out.whole[i].begin(), out.whole[i].end());
    for (int f = 0; f < p.features; ++f) {
      out.exponential[i][f] = std::exp(out.whole[i][f] - half[i] - top) / std::sqrt(p.features);
      out.whole[i][f] = out.exponential[i][f] + p.eps / std::sqrt(p.features);
    }
  }
  if (key && p.padded > n) {  // what one row of zeros has, as row n
    out.whole.emplace_back(p.features, (std::exp(-most) + p.eps) / std::sqrt(p.features));
  }
  return out;
}

// d/dx of exponentials with derivative dphi: s (sum_f e dphi W_f - (sum_f e dphi) s x).
template <class S>
void add_gradient(const Case<S>& c, int row, int operand, int h, const std::vector<double>& e,
                  const std::vector<double>& dphi, std::vector<double>& dqkv) {
  const double s = std::pow(c.p.width, -0.25);
  for (int x = 0; x < c.p.width; ++x) {
    double sum = 0;
    for (int f = 0; f < c.p.features; ++f) {
      sum += e[f] * dphi[f] * (c.projection[f * c.p.width + x] - s * c.at(row, operand, h, x));
    }
    dqkv[row * 3 * c.channels + (operand * c.p.heads + h) * c.p.width + x] += s * sum;
  }
}

template <class S>
void expect_head(const Case<S>& c, int g, int h, Result& r) {
  const Problem& p = c.p;
  const int n = p.sizes[g], first = static_cast<int>(c.start[g]), d = p.width;
  const Features q = features_of(c, g, h, false), k = features_of(c, g, h, true);
  std::vector<std::vector<double>> dkey(n, std::vector<double>(p.features, 0.0));
  for (int i = 0; i < n; ++i) {
    std::vector<double> weight(k.whole.size(), 0.0), value(d, 0.0), dquery(p.features, 0.0);
    double sum = 0, dsum = 0;
    for (std::size_t j = 0; j < k.whole.size(); ++j) {
      for (int f = 0; f < p.features; ++f) weight[j] += q.whole[i][f] * k.whole[j][f];
      const double count = static_cast<int>(j) < n ? 1 : static_cast<double>(p.padded - n);
      sum += count * weight[j];
      for (int x = 0; x < d && static_cast<int>(j) < n; ++x) {
        value[x] += weight[j] * c.at(first + j, 2, h, x);
      }
    }
    for (int x = 0; x < d; ++x) {
      const double g_out = to_float(c.dout[(first + i) * c.out_stride + h * d + x]);
      r.out[(first + i) * c.channels + h * d + x] = value[x] / sum;
      dsum -= g_out * value[x] / sum / sum;
    }
    for (std::size_t j = 0; j < k.whole.size(); ++j) {
      const bool real = static_cast<int>(j) < n;
      double dweight = dsum * (real ? 1 : static_cast<double>(p.padded - n));
      for (int x = 0; x < d && real; ++x) {
        const double g_out = to_float(c.dout[(first + i) * c.out_stride + h * d + x]);
        dweight += g_out / sum * c.at(first + j, 2, h, x);
        r.dqkv[(first + j) * 3 * c.channels + (2 * p.heads + h) * d + x] += weight[j] / sum * g_out;
      }
      for (int f = 0; f < p.features; ++f) {
        dquery[f] += dweight * k.whole[j][f];
        if (real) dkey[j][f] += dweight * q.whole[i][f];
      }
    }
    add_gradient(c, first + i, 0, h, q.exponential[i], dquery, r.dqkv);
  }
  for (int j = 0; j < n; ++j) add_gradient(c, first + j, 1, h, k.exponential[j], dkey[j], r.dqkv);
}

template <class S>
Result expected(const Case<S>& c) {
  Result r;
  r.out.resize(c.total * c.channels);
  r.dqkv.resize(c.total * 3 * c.channels);
  for (std::size_t g = 0; g < c.p.sizes.size(); ++g) {
    for (int h = 0; h < c.p.heads; ++h) expect_head(c, static_cast<int>(g), h, r);
  }
  return r;
}

struct Measured {
  simt::Traffic qkv, out, dqkv;
  simt::Banks banks;
};

template <class S>
Result run(Device& device, const Case<S>& c, Measured* measured = nullptr) {
  using A = compute_t<S>;
  const Problem& p = c.p;
  LinearPlan plan = linear_plan(c.start.data(), static_cast<std::int64_t>(p.sizes.size()));
  LinearAttention a;
  const std::size_t graphs = p.sizes.size(), pieces = plan.pieces.size();
  const std::size_t states = graphs * p.heads * (p.features + 1) * (p.width + 1);
  const auto qkv = device.input(c.qkv, "qkv");
  const auto projection = device.input(c.projection, "projection");
  const auto start = device.input(c.start, "graph_start");
  const auto items = device.input(plan.pieces, "pieces");
  const auto piece_start = device.input(plan.piece_start, "piece_start");
  const auto out = device.output<S>(c.total * c.out_stride, "out");
  const auto partial =
      device.output<A>(pieces * p.heads * (p.features * (p.width + 3) + p.width), "partial");
  const auto state = device.output<A>(states, "state");
  const auto key_largest = device.output<A>(graphs * p.heads, "key_largest");
  const auto row_largest = device.output<A>(c.total * p.heads, "row_largest");
  const auto row_sum = device.output<A>(c.total * p.heads, "row_sum");
  a.storage = Kind<S>::kStorage;
  a.heads = p.heads;
  a.width = p.width;
  a.features = p.features;
  a.qkv = qkv.data();
  a.qkv_stride = c.stride;
  a.projection = projection.data();
  a.graph_start = start.data();
  a.graphs = static_cast<std::int64_t>(graphs);
  a.pieces = items.data();
  a.piece_start = piece_start.data();
  a.piece_count = static_cast<std::int64_t>(pieces);
  a.piece_rows = plan.piece_rows;
  a.eps = p.eps;
  a.padded_length = p.padded;
  a.out = out.data();
  a.out_stride = c.out_stride;
  a.partial = partial.data();
  a.state = state.data();
  a.key_largest = key_largest.data();
  a.row_largest = row_largest.data();
  a.row_sum = row_sum.data();
  linear_attention_forward(a, nullptr);

  LinearAttentionGradient g;
  const auto dout = device.input(c.dout, "dout");
  const auto dqkv = device.output<S>(c.total * c.stride, "dqkv");
  const auto dsum = device.output<A>(c.total * p.heads, "dsum");
  const auto dstate = device.output<A>(states, "dstate");
  g.dout = dout.data();
  g.dout_stride = c.out_stride;
  g.dqkv = dqkv.data();
  g.dqkv_stride = c.stride;
  g.dsum = dsum.data();
  g.dstate = dstate.data();
  linear_attention_backward(a, g, nullptr);
  if (measured != nullptr) {
    *measured = {device.loads(qkv), device.stores(out), device.stores(dqkv), device.banks()};
  }
  return {rows(out.read_any(), 0, c.total, c.out_stride, c.channels),
          rows(dqkv.read_any(), 0, c.total, c.stride, 3 * c.channels)};
}

template <class S>
void expect_case(const Case<S>& c, std::uint64_t seed, int schedules = 1) {
  const Result reference = expected(c);
  const double tolerance = Kind<S>::kTolerance * (sizeof(S) == 2 ? 1 : 4);
  for (int i = 0; i < schedules_of(schedules); ++i) {
    Device device(seed + i);
    const Result found = run(device, c);
    expect_near(found.out, reference.out, tolerance, "out");
    expect_near(found.dqkv, reference.dqkv, tolerance, "dqkv");
    EXPECT_TRUE(device.findings().empty()) << device.report();
    if (::testing::Test::HasFailure()) return;
  }
}

template <class S>
void check(const Problem& problem, int schedules = 1, std::uint64_t seed = 2) {
  expect_case(Case<S>(problem), seed, schedules);
}

template <class S>
class LinearAttentionCuda : public ::testing::Test {};
using Kinds = ::testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(LinearAttentionCuda, Kinds);

TYPED_TEST(LinearAttentionCuda, IsTheDefinitionOnSmallGraphs) {
  Problem p;
  p.sizes = {0, 1, 2, 15, 0, 17};
  p.heads = 2;
  p.features = 33;
  check<TypeParam>(p);
}

TYPED_TEST(LinearAttentionCuda, TakesAllWidthsAndNumbersOfFeatures) {
  Problem p;
  p.sizes = {3, 6};
  for (const auto& [width, features] :
       {std::pair{1, 1}, {13, 16}, {16, 31}, {20, 65}, {64, 32}, {80, 12}, {128, 5}, {2, 200}}) {
    if (!linear_attention_runs(Kind<TypeParam>::kStorage, width)) continue;
    SCOPED_TRACE(width);
    p.width = width;
    p.features = features;
    check<TypeParam>(p);
  }
}

TYPED_TEST(LinearAttentionCuda, WalksOverTilesAndBlocksOfRows) {
  Problem p;
  p.sizes = {33, 2, 66};
  p.gap = 5;
  check<TypeParam>(p);
}

TYPED_TEST(LinearAttentionCuda, CountsPaddedKeysInTheDenominator) {
  Problem p;
  p.sizes = {4, 9, 12};
  p.padded = 9;
  p.heads = 2;
  check<TypeParam>(p);
}

TYPED_TEST(LinearAttentionCuda, PaddedKeysHoldTheMaximumAtZero) {
  Problem p;
  p.sizes = {3, 2};
  p.width = 1;
  p.features = 2;
  p.padded = 5;
  p.eps = 0.5;
  Case<TypeParam> c(p);
  for (auto& w : c.projection) w = -std::abs(w) - 1;
  for (int i = 0; i < c.total; ++i) {  // every k positive: all u below 0
    c.qkv[i * c.stride + 1] = from_float<TypeParam>(static_cast<compute_t<TypeParam>>(1 + i));
  }
  expect_case(c, 2);
}

// All u lie where 2^-u is beyond float: nothing but the maximum may be taken away from them.
TYPED_TEST(LinearAttentionCuda, BearsMaximaFarBelowZero) {
  Problem p;
  p.sizes = {3, 2, 0};
  p.width = 1;
  p.features = 2;
  Case<TypeParam> c(p);
  for (auto& w : c.projection) w = -80 - std::abs(w);
  for (int i = 0; i < c.total; ++i) {
    for (const int operand : {0, 1}) {
      c.qkv[i * c.stride + operand] =
          from_float<TypeParam>(static_cast<compute_t<TypeParam>>(1.5 + 0.25 * (i % 3)));
    }
  }
  expect_case(c, 2);
}

TYPED_TEST(LinearAttentionCuda, NothingToDoLaunchesNothing) {
  for (const auto& sizes : {std::vector<int>{}, std::vector<int>{0, 0}}) {
    Problem p;
    p.sizes = sizes;
    check<TypeParam>(p);
  }
}

TYPED_TEST(LinearAttentionCuda, IsTheSameUnderFiftySchedules) {
  Problem p;
  p.sizes = {2, 35};
  p.features = 6;
  check<TypeParam>(p, 50, 0);
}

TEST(LinearAttentionCudaPieces, AreMergedInOrder) {
  Problem p;
  p.sizes = {520, 3, 513};
  p.features = 2;
  p.width = 4;
  check<float>(p);
  check<bf16>(p);
}

TEST(LinearAttentionCudaRange, KeepsSmallExponentialsBesideLargeOnes) {
  Problem p;
  p.sizes = {6, 5};
  p.spread = 12;
  p.eps = 1e-4;
  check<double>(p);
}

TEST(LinearAttentionCudaMemory, BlocksAskForWhatTheirTilesNeed) {
  Problem p;
  p.sizes = {3, 66};
  p.heads = 3;
  p.features = 64;
  const auto launches = [&](int width) {
    p.width = width;
    Device device;
    run(device, Case<float>(p));
    return device.launches();
  };
  const auto expected = [](unsigned slices, std::size_t stride) {  // pieces of 128 rows
    const std::size_t bytes = 4 * (192 * stride + 4 * 32 * 20 + 64 + 4 * 32);
    return std::vector<simt::Launch>{{6, 1, slices, 128, bytes},  {6, 1, 1, 128, 16},
                                     {12, slices, 1, 128, bytes}, {12, slices, 1, 128, bytes},
                                     {6, 1, slices, 128, bytes},  {6, 1, 1, 128, 0},
                                     {12, slices, 1, 128, bytes}};
  };
  EXPECT_EQ(launches(16), expected(1, 20));
  EXPECT_EQ(launches(17), expected(1, 20));
  p.features = 2;
  EXPECT_EQ(launches(64), expected(1, 68));
  EXPECT_EQ(launches(65), expected(2, 68));
}

TEST(LinearAttentionCudaWidths, AreLimitedByTheStorage) {
  for (const Storage storage : {Storage::kFloat, Storage::kBFloat16, Storage::kHalf}) {
    EXPECT_TRUE(linear_attention_runs(storage, 128));
    EXPECT_FALSE(linear_attention_runs(storage, 129));
  }
  EXPECT_TRUE(linear_attention_runs(Storage::kDouble, 64));
  EXPECT_FALSE(linear_attention_runs(Storage::kDouble, 65));
}

TEST(LinearPlan, CutsGraphsInPieces) {
  const std::vector<std::int64_t> start = {0, 3, 3, 1100};
  const LinearPlan plan = linear_plan(start.data(), 3);
  EXPECT_EQ(plan.piece_rows, 512);
  EXPECT_EQ(plan.piece_start, (std::vector<std::int64_t>{0, 1, 1, 4}));
  ASSERT_EQ(plan.pieces.size(), 4u);
  EXPECT_EQ(plan.pieces[3].graph, 2);
  EXPECT_EQ(plan.pieces[3].first, 1024);
  EXPECT_EQ(linear_plan(start.data(), 2).piece_rows, 64);
}

TEST(LinearAttentionCudaMemory, MovesWholeSectorsWithoutBankConflicts) {
  Problem p;
  p.sizes = {32};
  p.width = 16;
  p.features = 32;
  const Case<float> c(p);
  Device device(5, {true});
  Measured m;
  run(device, c, &m);
  EXPECT_EQ(m.qkv.sectors, m.qkv.ideal);
  EXPECT_EQ(m.out.sectors, m.out.ideal);
  EXPECT_EQ(m.dqkv.sectors, m.dqkv.ideal);
  EXPECT_LT(static_cast<double>(m.banks.conflicts()), 0.05 * static_cast<double>(m.banks.ideal));
}

// Seven operands are read once each, a warp a row, and what is staged ends with its tile.
TEST(LinearAttentionCudaMemory, ReadsEachRowOnceInEachPass) {
  Problem p;
  p.sizes = {70};
  p.width = 32;
  p.features = 64;
  const Case<float> c(p);
  Device device(5, {true});
  Measured m;
  run(device, c, &m);
  EXPECT_EQ(m.qkv.requests, 7u * 70);
}

}  // namespace
}  // namespace gtrain::ops::cuda
