// Batches for the tests of varlen attention, and what attention and its gradients are on them:
// plain loops in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/tile_case.h"

namespace gtrain::ops::cuda {

struct Problem {
  std::vector<int> sizes;
  int heads = 1, width = 16;
  int tile_rows = 0;  // 0: as planned
  bool hops = false, pair_bias = false;
  int buckets = 5;
  double dropout = 0;
  int gap = 0;             // elements between rows of all matrices
  std::string shifted;     // the matrix that begins off the 16-byte grid
  std::string gapped;      // the one with an element more between its rows
  double spread = 1;       // of q and k
  double bias_at_all = 0;  // added to every pair's bias
};

template <class S>
struct Case {
  using A = compute_t<S>;
  Problem problem;
  std::vector<std::int64_t> start{0}, pair{0};
  int total = 0, channels = 0, stride = 0, dout_stride = 0;
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
    stride = stride_of("qkv", 3 * channels);
    dout_stride = stride_of("dout", channels);
    for (int i = 0; i < total * stride; ++i) {
      const bool value = i % stride >= 2 * channels;
      qkv.push_back(from_float<S>(static_cast<A>(noise(1, i) * (value ? 1 : p.spread))));
    }
    for (int i = 0; i < total * dout_stride; ++i) {
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
  int stride_of(const std::string& name, int width) const {
    return width + problem.gap + (problem.gapped == name ? 1 : 0);
  }
  int offset_of(const std::string& name) const { return problem.shifted == name ? 1 : 0; }
  double at(int row, int operand, int head, int c) const {
    return to_float(qkv[row * stride + (operand * problem.heads + head) * problem.width + c]);
  }
  double dout_at(int row, int head, int c) const {
    return to_float(dout[row * dout_stride + head * problem.width + c]);
  }
  // Of the pair's bias [H, pairs].
  std::int64_t bias_at(std::int64_t pair_number, int head) const {
    return head * pair.back() + pair_number;
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
    if (p.pair_bias) s[j] += c.pair_bias[c.bias_at(pair, h)];
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
    if (p.pair_bias) r.dpair[c.bias_at(pair, h)] = ds;
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

}  // namespace gtrain::ops::cuda
