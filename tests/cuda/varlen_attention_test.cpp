// Varlen attention's CUDA kernels on the emulator against plain loops in double.
#include "ops/cuda/varlen_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "ops/detail/random.h"
#include "support/simt/device.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda {
namespace {

using simt::Device;

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

struct Problem {
  std::vector<int> sizes;
  int heads = 1, width = 16;
  int tile_rows = 0;  // 0: as planned
  bool hops = false, pair_bias = false;
  int buckets = 5;
  double dropout = 0;
  int gap = 0;             // elements between rows of qkv and of out
  bool offset = false;     // bases off the 16-byte grid
  double spread = 1;       // of q and k
  double bias_at_all = 0;  // added to every pair's bias
};

// Uniform in [-1, 1), a function of the place alone.
double noise(std::uint64_t stream, std::uint64_t i) {
  const std::uint64_t key = ops::detail::row_key(stream, i);
  return static_cast<double>(key >> 11) * 0x1p-52 - 1;
}

template <class S>
struct Case {
  using A = compute_t<S>;
  Problem problem;
  std::vector<std::int64_t> start{0}, pair{0};
  int total = 0, channels = 0, stride = 0, out_stride = 0;
  std::vector<S> qkv, dout;
  std::vector<std::uint8_t> hop;
  std::vector<A> table, pair_bias;

  explicit Case(const Problem& p) : problem(p) {
    for (const int n : p.sizes) {
      start.push_back(start.back() + n);
      pair.push_back(pair.back() + static_cast<std::int64_t>(n) * n);
    }
    total = static_cast<int>(start.back());
    channels = p.heads * p.width;
    stride = 3 * channels + p.gap;
    out_stride = channels + p.gap;
    for (int i = 0; i < total * stride; ++i) {
      const bool value = i % stride >= 2 * channels;
      qkv.push_back(from_float<S>(static_cast<A>(noise(1, i) * (value ? 1 : p.spread))));
    }
    for (int i = 0; i < total * out_stride; ++i) {
      dout.push_back(from_float<S>(static_cast<A>(noise(2, i))));
    }
    if (p.hops) {
      for (std::int64_t i = 0; i < pair.back(); ++i) {
        hop.push_back(static_cast<std::uint8_t>((noise(3, i) + 1) / 2 * p.buckets));
      }
      for (int i = 0; i < p.buckets * p.heads; ++i) table.push_back(static_cast<A>(noise(4, i)));
    }
    if (p.pair_bias) {
      for (std::int64_t i = 0; i < pair.back() * p.heads; ++i) {
        pair_bias.push_back(static_cast<A>(noise(5, i) + p.bias_at_all));
      }
    }
  }
  double at(int row, int operand, int head, int c) const {
    return to_float(qkv[row * stride + (operand * problem.heads + head) * problem.width + c]);
  }
  double dout_at(int row, int head, int c) const {
    return to_float(dout[row * out_stride + head * problem.width + c]);
  }
  double scale() const { return 1 / std::sqrt(static_cast<double>(problem.width)); }
};

struct Result {
  std::vector<double> out, lse, dqkv, dtable, dpair;
};

// One row of one head: weights, dropout factors, then what the row contributes.
template <class S>
void expect_row(const Case<S>& c, int g, int i, int h, Result& r) {
  const Problem& p = c.problem;
  const int n = p.sizes[g], first = static_cast<int>(c.start[g]), d = p.width;
  const std::uint64_t stream = ops::detail::row_key(77, std::uint64_t(first + i) * p.heads + h);
  std::vector<double> s(n), f(n, 1.0), dp(n, 0.0);
  double top = -INFINITY, sum = 0, delta = 0;
  for (int j = 0; j < n; ++j) {
    for (int x = 0; x < d; ++x)
      s[j] += c.scale() * c.at(first + i, 0, h, x) * c.at(first + j, 1, h, x);
    const std::int64_t pair = c.pair[g] + static_cast<std::int64_t>(i) * n + j;
    if (p.hops) s[j] += c.table[c.hop[pair] * p.heads + h];
    if (p.pair_bias) s[j] += c.pair_bias[pair * p.heads + h];
    if (p.dropout > 0) {
      const bool kept =
          ops::detail::draw<std::uint32_t>(stream, j) >= ops::detail::drop_threshold(p.dropout);
      f[j] = kept ? 1 / (1 - p.dropout) : 0;
    }
    top = std::max(top, s[j]);
  }
  if (top == -INFINITY) top = 0;
  for (int j = 0; j < n; ++j) sum += std::exp(s[j] - top);
  r.lse[(first + i) * p.heads + h] = sum > 0 ? (top + std::log(sum)) / std::log(2.0) : INFINITY;
  for (int j = 0; j < n; ++j) {
    s[j] = sum > 0 ? std::exp(s[j] - top) / sum : 0;
    for (int x = 0; x < d; ++x) {
      const double g_out = c.dout_at(first + i, h, x);
      r.out[(first + i) * c.channels + h * d + x] += s[j] * f[j] * c.at(first + j, 2, h, x);
      dp[j] += f[j] * g_out * c.at(first + j, 2, h, x);
      r.dqkv[(first + j) * 3 * c.channels + (2 * p.heads + h) * d + x] += s[j] * f[j] * g_out;
    }
    delta += s[j] * dp[j];
  }
  for (int j = 0; j < n; ++j) {
    const double ds = s[j] * (dp[j] - delta);
    const std::int64_t pair = c.pair[g] + static_cast<std::int64_t>(i) * n + j;
    if (p.hops) r.dtable[c.hop[pair] * p.heads + h] += ds;
    if (p.pair_bias) r.dpair[pair * p.heads + h] = ds;
    for (int x = 0; x < d; ++x) {
      r.dqkv[(first + i) * 3 * c.channels + h * d + x] += c.scale() * ds * c.at(first + j, 1, h, x);
      r.dqkv[(first + j) * 3 * c.channels + (p.heads + h) * d + x] +=
          c.scale() * ds * c.at(first + i, 0, h, x);
    }
  }
}

template <class S>
Result expected(const Case<S>& c) {
  const Problem& p = c.problem;
  Result r;
  r.out.resize(c.total * c.channels);
  r.lse.resize(c.total * p.heads);
  r.dqkv.resize(c.total * 3 * c.channels);
  r.dtable.resize(c.table.size());
  r.dpair.resize(c.pair_bias.size());
  for (std::size_t g = 0; g < p.sizes.size(); ++g) {
    for (int i = 0; i < p.sizes[g]; ++i) {
      for (int h = 0; h < p.heads; ++h) expect_row(c, static_cast<int>(g), i, h, r);
    }
  }
  return r;
}

template <class T>
std::vector<T> shifted(const std::vector<T>& values, int by) {
  std::vector<T> out(by, T{});
  out.insert(out.end(), values.begin(), values.end());
  return out;
}

// Rows of `width` of a buffer with gaps; the gaps must still be poison (never written).
template <class T>
std::vector<double> rows(const std::vector<T>& all, int from, int count, int stride, int width) {
  std::vector<double> out;
  for (int r = 0; r < count; ++r) {
    for (int c = 0; c < width; ++c) out.push_back(to_float(all[from + r * stride + c]));
  }
  return out;
}

struct Measured {
  simt::Traffic qkv, out, dqkv, hop;
  simt::Banks banks;
};

template <class S>
Result run(Device& device, const Case<S>& c, Measured* measured = nullptr) {
  using A = compute_t<S>;
  const Problem& p = c.problem;
  const int off = p.offset ? 1 : 0;
  VarlenAttention a;
  a.storage = Kind<S>::kStorage;
  a.heads = p.heads;
  a.width = p.width;
  for (const int n : p.sizes) a.longest = std::max(a.longest, n);
  a.tile_rows = p.tile_rows != 0 ? p.tile_rows : varlen_tile_rows(a.longest);
  const auto plan =
      varlen_items(c.start.data(), static_cast<std::int64_t>(p.sizes.size()), a.tile_rows);
  const auto qkv = device.input(shifted(c.qkv, off), "qkv");
  const auto start = device.input(c.start, "graph_start");
  const auto items = device.input(plan, "items");
  const auto pair = device.input(c.pair, "pair_offset");
  const auto hop = device.input(c.hop, "hop");
  const auto table = device.input(c.table, "table");
  const auto pair_bias = device.input(c.pair_bias, "pair_bias");
  const auto out = device.output<S>(off + c.total * c.out_stride, "out");
  const auto lse = device.output<A>(c.total * p.heads, "lse");
  a.qkv = qkv.data() + off;
  a.qkv_stride = c.stride;
  a.scale = c.scale();
  a.graph_start = start.data();
  a.items = items.data();
  a.item_count = static_cast<std::int64_t>(plan.size());
  if (p.hops || p.pair_bias) a.pair_offset = pair.data();
  a.pairs = c.pair.back();
  if (p.hops) {
    a.hop = hop.data();
    a.table = table.data();
    a.buckets = p.buckets;
  }
  if (p.pair_bias) a.pair_bias = pair_bias.data();
  a.threshold = ops::detail::drop_threshold(p.dropout);
  a.keep_scale = 1 / (1 - p.dropout);
  a.key = 77;
  a.out = out.data() + off;
  a.out_stride = c.out_stride;
  a.lse = lse.data();
  varlen_attention_forward(a, nullptr);

  VarlenAttentionGradient g;
  const auto dout = device.input(shifted(c.dout, off), "dout");
  const auto delta = device.output<A>(c.total * p.heads, "delta");
  const auto dqkv = device.output<S>(off + c.total * c.stride, "dqkv");
  const auto dtable = device.output<A>(c.table.size(), "dtable");
  const auto partial = device.output<A>(plan.size() * c.table.size(), "partial");
  const auto dpair = device.output<A>(c.pair_bias.size(), "dpair_bias");
  g.dout = dout.data() + off;
  g.dout_stride = c.out_stride;
  g.delta = delta.data();
  g.dqkv = dqkv.data() + off;
  g.dqkv_stride = c.stride;
  if (p.hops) {
    g.dtable = dtable.data();
    g.table_partial = partial.data();
  }
  if (p.pair_bias) g.dpair_bias = dpair.data();
  varlen_attention_backward(a, g, nullptr);

  if (measured != nullptr) {
    *measured = {device.loads(qkv), device.stores(out), device.stores(dqkv), device.loads(hop),
                 device.banks()};
  }
  Result r;
  r.out = rows(out.read_any(), off, c.total, c.out_stride, c.channels);
  r.lse = rows(lse.read(), 0, c.total, p.heads, p.heads);
  r.dqkv = rows(dqkv.read_any(), off, c.total, c.stride, 3 * c.channels);
  if (p.hops && !plan.empty()) r.dtable = rows(dtable.read(), 0, p.buckets, p.heads, p.heads);
  if (p.pair_bias) r.dpair = rows(dpair.read(), 0, 1, 0, static_cast<int>(c.pair_bias.size()));
  return r;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
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

void expect_near(const Result& found, const Result& expected, double tolerance) {
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
  for (int i = 0; i < schedules; ++i) {
    Device device(seed + i);
    expect_near(run(device, c), reference, Kind<S>::kTolerance);
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
  for (const int width : {8, 16, 24, 32, 64, 80, 128}) {
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
  for (const int width : {1, 5, 13, 20}) {
    SCOPED_TRACE(width);
    Problem p;
    p.sizes = {7, 34};
    p.width = width;
    p.heads = 3;
    p.hops = true;
    p.dropout = 0.2;
    p.gap = 1;
    check<TypeParam>(p);
  }
  Problem p;
  p.sizes = {19};
  p.offset = true;
  check<TypeParam>(p);
  p.offset = false;
  p.gap = 16;
  check<TypeParam>(p);
  p.gap = 3;
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
  p.buckets = 70;
  check<TypeParam>(p);
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
    expect_near(run(device, c), expected(c), std::max(Kind<TypeParam>::kTolerance, 2e-5) * 1.5);
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
  expect_near(found, expected(c), Kind<TypeParam>::kTolerance);
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
void expect_whole_sectors(int width, double conflicts) {
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
