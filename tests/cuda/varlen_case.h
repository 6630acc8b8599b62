// Batches for the tests of varlen attention, what attention and its gradients are on them by plain
// loops in double, and the call of the launchers.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/tile_case.h"
#include "ops/cuda/varlen_attention.h"
#include "support/simt/device.h"

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

template <class T>
std::vector<T> shifted(const std::vector<T>& values, int by) {
  std::vector<T> out(by, T{});
  out.insert(out.end(), values.begin(), values.end());
  return out;
}

struct Measured {
  simt::Traffic qkv, out, dqkv, hop, pair_bias, dpair_bias;
  simt::Banks banks;
};

template <class S>
Result run(simt::Device& device, const Case<S>& c, Measured* measured = nullptr) {
  using A = compute_t<S>;
  const Problem& p = c.problem;
  const int out_stride = c.stride_of("out", c.channels);
  const int dqkv_stride = c.stride_of("dqkv", 3 * c.channels);
  const int qkv_at = c.offset_of("qkv"), out_at = c.offset_of("out");
  const int dout_at = c.offset_of("dout"), dqkv_at = c.offset_of("dqkv");
  VarlenAttention a;
  a.storage = Kind<S>::kStorage;
  a.heads = p.heads;
  a.width = p.width;
  for (const int n : p.sizes) a.longest = std::max(a.longest, n);
  a.tile_rows = p.tile_rows != 0 ? p.tile_rows : varlen_tile_rows(a.longest);
  const auto plan =
      varlen_items(c.start.data(), static_cast<std::int64_t>(p.sizes.size()), a.tile_rows);
  const auto qkv = device.input(shifted(c.qkv, qkv_at), "qkv");
  const auto start = device.input(c.start, "graph_start");
  const auto items = device.input(plan, "items");
  const auto pair = device.input(c.pair, "pair_offset");
  const auto hop = device.input(c.hop, "hop");
  const auto table = device.input(c.table, "table");
  const auto pair_bias = device.input(c.pair_bias, "pair_bias");
  const auto out = device.output<S>(out_at + c.total * out_stride, "out");
  const auto lse = device.output<A>(c.total * p.heads, "lse");
  a.qkv = qkv.data() + qkv_at;
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
  a.out = out.data() + out_at;
  a.out_stride = out_stride;
  a.lse = lse.data();
  varlen_attention_forward(a, nullptr);

  VarlenAttentionGradient g;
  const auto dout = device.input(shifted(c.dout, dout_at), "dout");
  const auto delta = device.output<A>(c.total * p.heads, "delta");
  const auto dqkv = device.output<S>(dqkv_at + c.total * dqkv_stride, "dqkv");
  const auto dtable = device.output<A>(c.table.size(), "dtable");
  const auto partial = device.output<A>(plan.size() * c.table.size(), "partial");
  const auto dpair = device.output<A>(c.pair_bias.size(), "dpair_bias");
  g.dout = dout.data() + dout_at;
  g.dout_stride = c.dout_stride;
  g.delta = delta.data();
  g.dqkv = dqkv.data() + dqkv_at;
  g.dqkv_stride = dqkv_stride;
  if (p.hops) {
    g.dtable = dtable.data();
    g.table_partial = partial.data();
  }
  if (p.pair_bias) g.dpair_bias = dpair.data();
  varlen_attention_backward(a, g, nullptr);

  if (measured != nullptr) {
    *measured = {device.loads(qkv), device.stores(out),      device.stores(dqkv),
                 device.loads(hop), device.loads(pair_bias), device.stores(dpair),
                 device.banks()};
  }
  Result r;
  r.out = rows(out.read_any(), out_at, c.total, out_stride, c.channels);
  r.lse = rows(lse.read(), 0, c.total, p.heads, p.heads);
  r.dqkv = rows(dqkv.read_any(), dqkv_at, c.total, dqkv_stride, 3 * c.channels);
  if (p.hops && !plan.empty()) r.dtable = rows(dtable.read(), 0, p.buckets, p.heads, p.heads);
  if (p.pair_bias) r.dpair = rows(dpair.read(), 0, 1, 0, static_cast<int>(c.pair_bias.size()));
  return r;
}

}  // namespace gtrain::ops::cuda
