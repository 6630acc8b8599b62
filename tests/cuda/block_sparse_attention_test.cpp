// Attention by tiles of a CSR pattern on the emulator against plain loops in double.
#include "ops/cuda/block_sparse_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/tile_case.h"
#include "ops/cuda/block_pattern.h"
#include "ops/detail/random.h"
#include "support/simt/device.h"

namespace gtrain::ops::cuda {
namespace {

using simt::Device;

struct Pairs {
  int rows = 0, columns = 0;
  std::vector<std::int64_t> start{0};
  std::vector<std::int32_t> column;
};

Pairs pairs_where(int rows, int columns, const std::function<bool(int, int)>& there) {
  Pairs out{rows, columns, {0}, {}};
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      if (there(i, j)) out.column.push_back(j);
    }
    out.start.push_back(static_cast<std::int64_t>(out.column.size()));
  }
  return out;
}

// Rows without pairs, a full row, a full column, windows of one and of several tiles.
Pairs odd_pairs(int rows, int columns) {
  return pairs_where(rows, columns, [=](int i, int j) {
    if (i % 7 == 3) return false;
    if (i == 5 || j == columns / 2) return true;
    return noise(9, static_cast<std::uint64_t>(i * columns + j)) > (i < 16 ? 0.2 : 0.9);
  });
}

// The transpose and the pair each of its entries is.
Pairs transposed(const Pairs& p, std::vector<std::int64_t>& pair) {
  Pairs out{p.columns, p.rows, {0}, {}};
  for (int j = 0; j < p.columns; ++j) {
    for (int i = 0; i < p.rows; ++i) {
      for (std::int64_t e = p.start[i]; e < p.start[i + 1]; ++e) {
        if (p.column[e] != j) continue;
        out.column.push_back(i);
        pair.push_back(e);
      }
    }
    out.start.push_back(static_cast<std::int64_t>(out.column.size()));
  }
  return out;
}

struct Problem {
  Pairs pairs;
  int heads = 1, width = 8;
  double dropout = 0, spread = 1, shift = 0;  // shift: added to the first channel of q and k
  int gap = 0;
  std::string shifted;  // the matrix that begins off the 16-byte grid
  std::string gapped;   // the one with an element more between its rows
};

// Rows of a matrix on the host; `at`: where it begins on the device.
template <class S>
struct Matrix {
  int rows = 0, stride = 0, at = 0;
  std::vector<S> values;
};

template <class S>
struct Case {
  Problem p;
  int channels;
  Matrix<S> q, k, v, dout;
  explicit Case(const Problem& problem) : p(problem), channels(p.heads * p.width) {
    q = filled("q", p.pairs.rows, 1, p.spread, p.shift);
    k = filled("k", p.pairs.columns, 2, p.spread, std::abs(p.shift));
    v = filled("v", p.pairs.columns, 3, 1, 0);
    dout = filled("dout", p.pairs.rows, 4, 1, 0);
  }
  Matrix<S> empty(const std::string& name, int rows) const {
    return {rows, channels + p.gap + (p.gapped == name ? 1 : 0), p.shifted == name ? 1 : 0, {}};
  }
  Matrix<S> filled(const std::string& name, int rows, std::uint64_t stream, double scale,
                   double shift) const {
    Matrix<S> m = empty(name, rows);
    for (int i = 0; i < rows * m.stride; ++i) {
      const double more = i % m.stride % p.width == 0 ? shift : 0;
      m.values.push_back(from_float<S>(static_cast<compute_t<S>>(scale * noise(stream, i) + more)));
    }
    return m;
  }
  double at(const Matrix<S>& from, int row, int h, int c) const {
    return to_float(from.values[row * from.stride + h * p.width + c]);
  }
  double scale() const { return 1 / std::sqrt(static_cast<double>(p.width)); }
};

struct Result {
  std::vector<double> out, lse, dq, dk, dv;
};

template <class S>
void expect_row(const Case<S>& c, int i, int h, Result& r) {
  const Problem& p = c.p;
  const std::int64_t first = p.pairs.start[i], end = p.pairs.start[i + 1];
  const int d = p.width, n = static_cast<int>(end - first);
  std::vector<double> s(n, 0.0), f(n, 1.0), dp(n, 0.0);
  double top = -INFINITY, sum = 0, delta = 0;
  for (int e = 0; e < n; ++e) {
    const int j = p.pairs.column[first + e];
    for (int x = 0; x < d; ++x) s[e] += c.scale() * c.at(c.q, i, h, x) * c.at(c.k, j, h, x);
    if (p.dropout > 0) {
      const std::uint64_t stream = ops::detail::row_key(55, first + e);
      const bool kept =
          ops::detail::draw<std::uint32_t>(stream, h) >= ops::detail::drop_threshold(p.dropout);
      f[e] = kept ? 1 / (1 - p.dropout) : 0;
    }
    top = std::max(top, s[e]);
  }
  for (int e = 0; e < n; ++e) sum += std::exp(s[e] - top);
  r.lse[i * p.heads + h] = n > 0 ? (top + std::log(sum)) / std::log(2.0) : INFINITY;
  for (int e = 0; e < n; ++e) {
    const int j = p.pairs.column[first + e];
    s[e] = std::exp(s[e] - top) / sum;
    for (int x = 0; x < d; ++x) {
      r.out[i * c.channels + h * d + x] += s[e] * f[e] * c.at(c.v, j, h, x);
      dp[e] += f[e] * c.at(c.dout, i, h, x) * c.at(c.v, j, h, x);
      r.dv[j * c.channels + h * d + x] += s[e] * f[e] * c.at(c.dout, i, h, x);
    }
    delta += s[e] * dp[e];
  }
  for (int e = 0; e < n; ++e) {
    const int j = p.pairs.column[first + e];
    const double ds = c.scale() * s[e] * (dp[e] - delta);
    for (int x = 0; x < d; ++x) {
      r.dq[i * c.channels + h * d + x] += ds * c.at(c.k, j, h, x);
      r.dk[j * c.channels + h * d + x] += ds * c.at(c.q, i, h, x);
    }
  }
}

template <class S>
Result expected(const Case<S>& c) {
  Result r;
  r.out.resize(c.p.pairs.rows * c.channels);
  r.dq = r.out;
  r.lse.resize(c.p.pairs.rows * c.p.heads);
  r.dk.resize(c.p.pairs.columns * c.channels);
  r.dv = r.dk;
  for (int i = 0; i < c.p.pairs.rows; ++i) {
    for (int h = 0; h < c.p.heads; ++h) expect_row(c, i, h, r);
  }
  return r;
}

// A pattern's arrays on the device.
struct Tiles {
  BlockPattern host;
  simt::Buffer<std::int64_t> window_start, entry;
  simt::Buffer<std::int32_t> column;
  simt::Buffer<std::uint32_t> mask;
  Tiles(Device& device, const Pairs& pairs)
      : host(block_pattern(pairs.start.data(), pairs.column.data(), pairs.rows)) {
    window_start = device.input(host.window_start, "window_start");
    column = device.input(host.column, "column");
    mask = device.input(host.mask, "mask");
    entry = device.input(host.entry, "entry");
  }
  BlockTiles view(const std::int64_t* pair) const {
    return {host.rows,     host.windows(), window_start.data(),
            column.data(), mask.data(),    entry.data(),
            pair};
  }
};

// Matrices on the device: of the case, or to be written.
template <class S>
struct Operand {
  Matrix<S> host;
  simt::Buffer<S> buffer;
  S* data;
  Operand(Device& device, Matrix<S> matrix, const std::string& name) : host(std::move(matrix)) {
    if (host.values.empty()) {
      buffer = device.output<S>(host.at + host.rows * host.stride, name);
    } else {
      std::vector<S> values(host.at, S{});
      values.insert(values.end(), host.values.begin(), host.values.end());
      buffer = device.input(values, name);
    }
    data = buffer.data() + host.at;
  }
  std::vector<double> read(int width) const {
    return rows(buffer.read_any(), host.at, host.rows, host.stride, width);
  }
};

struct Measured {
  simt::Traffic q, k, dout;
  simt::Banks banks;
};

template <class S>
Result run(Device& device, const Case<S>& c, Measured* measured = nullptr) {
  using A = compute_t<S>;
  const Problem& p = c.p;
  const int n = p.pairs.rows, m = p.pairs.columns;
  std::vector<std::int64_t> pair;
  const Pairs back = transposed(p.pairs, pair);
  const Tiles by_row(device, p.pairs), by_column(device, back);
  const auto pairs = device.input(pair, "pair");
  const Operand<S> q(device, c.q, "q"), k(device, c.k, "k"), v(device, c.v, "v");
  const Operand<S> dout(device, c.dout, "dout"), out(device, c.empty("out", n), "out");
  const Operand<S> dq(device, c.empty("dq", n), "dq"), dk(device, c.empty("dk", m), "dk");
  const Operand<S> dv(device, c.empty("dv", m), "dv");
  const auto lse = device.output<A>(n * p.heads, "lse");
  const auto delta = device.output<A>(n * p.heads, "delta");
  BlockSparseAttention a;
  a.storage = Kind<S>::kStorage;
  a.heads = p.heads;
  a.width = p.width;
  a.q = q.data;
  a.k = k.data;
  a.v = v.data;
  a.q_stride = q.host.stride;
  a.k_stride = k.host.stride;
  a.v_stride = v.host.stride;
  a.out_stride = out.host.stride;
  a.scale = c.scale();
  a.threshold = ops::detail::drop_threshold(p.dropout);
  a.keep_scale = p.dropout > 0 ? 1 / (1 - p.dropout) : kNotRead;
  a.key = 55;
  a.by_row = by_row.view(nullptr);
  a.out = out.data;
  a.lse = lse.data();
  block_sparse_attention_forward(a, nullptr);
  BlockSparseAttentionGradient g;
  g.dout = dout.data;
  g.delta = delta.data();
  g.dq = dq.data;
  g.dk = dk.data;
  g.dv = dv.data;
  g.dout_stride = dout.host.stride;
  g.dq_stride = dq.host.stride;
  g.dk_stride = dk.host.stride;
  g.dv_stride = dv.host.stride;
  g.by_column = by_column.view(pairs.data());
  block_sparse_attention_backward(a, g, nullptr);
  if (measured != nullptr) {
    *measured = {device.loads(q.buffer), device.loads(k.buffer), device.loads(dout.buffer),
                 device.banks()};
  }
  return {out.read(c.channels), rows(lse.read_any(), 0, n, p.heads, p.heads), dq.read(c.channels),
          dk.read(c.channels), dv.read(c.channels)};
}

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
  for (const int width : {1, 8, 13, 16, 24, 32, 64, 80, 128}) {
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
