// Patterns and matrices for the tests of attention by tiles, what it and its gradients are on them
// by plain loops in double, and the call of the launchers.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/tile_case.h"
#include "ops/cuda/block_pattern.h"
#include "ops/cuda/block_sparse_attention.h"
#include "ops/detail/random.h"
#include "support/simt/device.h"

namespace gtrain::ops::cuda {

struct Pairs {
  int rows = 0, columns = 0;
  std::vector<std::int64_t> start{0};
  std::vector<std::int32_t> column;
};

inline Pairs pairs_where(int rows, int columns, const std::function<bool(int, int)>& there) {
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
inline Pairs odd_pairs(int rows, int columns) {
  return pairs_where(rows, columns, [=](int i, int j) {
    if (i % 7 == 3) return false;
    if (i == 5 || j == columns / 2) return true;
    return noise(9, static_cast<std::uint64_t>(i * columns + j)) > (i < 16 ? 0.2 : 0.9);
  });
}

// The transpose and the pair each of its entries is.
inline Pairs transposed(const Pairs& p, std::vector<std::int64_t>& pair) {
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
  Tiles(simt::Device& device, const Pairs& pairs)
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
  Operand(simt::Device& device, Matrix<S> matrix, const std::string& name)
      : host(std::move(matrix)) {
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
Result run(simt::Device& device, const Case<S>& c, Measured* measured = nullptr) {
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

}  // namespace gtrain::ops::cuda
