// One problem of softmax attention over pairs: its inputs, its results by the definition in double
// precision, and the call of the launchers on buffers of the emulator.
#pragma once

#include <limits>

#include "cuda/sparse_case.h"
#include "ops/cuda/sparse_attention.h"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda::test {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNotRead = 7;  // the scale of dropout where there is none
inline constexpr std::uint64_t kKey = 0x1234567890abcdefULL;

struct Case {
  Pairs pairs;
  int heads = 1, width = 4;
  bool pair_bias = false, type_bias = false, types = true;
  double dropout = 0;
  Index cut = 8;                          // of the work lists; 0: none
  int type_blocks = 1024, type_rows = 3;  // of the table
  double spread = 2;                      // of q
  Layout layout{};                        // its size follows
};

struct Inputs {
  Numbers q, k, v, dout, pair_bias, type_bias;
};

struct Results {
  Numbers out, lse, dq, dk, dv, dpair_bias, dtype_bias;
};

template <class S>
Inputs inputs_of(const Case& c) {
  const Index size = c.heads * c.width;
  Inputs x{uniform(1, c.pairs.rows * size, -c.spread, c.spread),
           uniform(2, c.pairs.columns * size),
           uniform(3, c.pairs.columns * size),
           uniform(4, c.pairs.rows * size),
           uniform(5, c.pair_bias ? c.pairs.count() * c.heads : 0),
           uniform(6, c.type_bias ? c.type_rows * c.heads : 0)};
  for (Numbers* n : {&x.q, &x.k, &x.v, &x.dout, &x.pair_bias, &x.type_bias}) *n = rounded<S>(*n);
  return x;
}

inline double scale_of(const Case& c) { return 1.3 / std::sqrt(static_cast<double>(c.width)); }

// The definition, row by row and head by head.
struct Reference {
  const Case& c;
  const Inputs& x;
  Results r;
  Index size;

  Reference(const Case& problem, const Inputs& inputs) : c(problem), x(inputs) {
    size = c.heads * c.width;
    r.out.assign(x.q.size(), 0);
    r.dq = r.out;
    r.dk.assign(x.k.size(), 0);
    r.dv = r.dk;
    r.lse.assign(static_cast<std::size_t>(c.pairs.rows * c.heads), kInfinity);
    r.dpair_bias.assign(x.pair_bias.size(), 0);
    r.dtype_bias.assign(x.type_bias.size(), 0);
    for (Index i = 0; i < c.pairs.rows; ++i) {
      for (int h = 0; h < c.heads; ++h) row(i, h);
    }
  }

  double dot(const Numbers& a, Index i, const Numbers& b, Index j, int h) const {
    double sum = 0;
    for (int t = 0; t < c.width; ++t) {
      sum += a[i * size + h * c.width + t] * b[j * size + h * c.width + t];
    }
    return sum;
  }
  int type_of(Index p) const { return c.types ? c.pairs.type[p] : 0; }
  double score(Index i, Index p, int h) const {
    double s = scale_of(c) * dot(x.q, i, x.k, c.pairs.column[p], h);
    if (c.pair_bias) s += x.pair_bias[p * c.heads + h];
    if (c.type_bias) s += x.type_bias[type_of(p) * c.heads + h];
    return s;
  }
  double keep(Index p, int h) const {
    if (c.dropout == 0) return 1;
    const auto row = ops::detail::row_key(kKey, static_cast<std::uint64_t>(p));
    const auto draw = ops::detail::draw(row, static_cast<std::uint32_t>(h));
    return draw < ops::detail::drop_threshold(c.dropout) ? 0 : 1 / (1 - c.dropout);
  }

  void row(Index i, int h) {
    const Index begin = c.pairs.row_start[i], end = c.pairs.row_start[i + 1];
    double max = -kInfinity, sum = 0, delta = 0;
    for (Index p = begin; p < end; ++p) max = std::max(max, score(i, p, h));
    if (max == -kInfinity) return;
    for (Index p = begin; p < end; ++p) sum += std::exp(score(i, p, h) - max);
    r.lse[i * c.heads + h] = (max + std::log(sum)) / std::log(2.0);
    const Index at = i * size + h * c.width;
    for (Index p = begin; p < end; ++p) {
      const double weight = std::exp(score(i, p, h) - max) / sum * keep(p, h);
      const Index from = c.pairs.column[p] * size + h * c.width;
      for (int t = 0; t < c.width; ++t) r.out[at + t] += weight * x.v[from + t];
    }
    for (int t = 0; t < c.width; ++t) delta += r.out[at + t] * x.dout[at + t];
    for (Index p = begin; p < end; ++p) {
      const double weight = std::exp(score(i, p, h) - max) / sum;
      const Index j = c.pairs.column[p], from = j * size + h * c.width;
      const double ds = weight * (keep(p, h) * dot(x.dout, i, x.v, j, h) - delta);
      for (int t = 0; t < c.width; ++t) {
        r.dq[at + t] += scale_of(c) * ds * x.k[from + t];
        r.dk[from + t] += scale_of(c) * ds * x.q[at + t];
        r.dv[from + t] += weight * keep(p, h) * x.dout[at + t];
      }
      if (c.pair_bias) r.dpair_bias[p * c.heads + h] += ds;
      if (c.type_bias) r.dtype_bias[type_of(p) * c.heads + h] += ds;
    }
  }
};

template <class S>
struct Call {
  simt::Device& device;
  const Case& c;
  const Inputs& x;
  Layout layout;
  Projections<S> p;
  Matrix<S> dout, out;
  DeviceWork<S> rows, columns;
  simt::Buffer<compute_t<S>> lse, delta, type_partial;
  simt::Buffer<std::int32_t> column, row;
  simt::Buffer<Index> pair;
  simt::Buffer<std::uint8_t> type;
  simt::Buffer<S> pair_bias, type_bias, dpair_bias, dtype_bias;
  SparseAttention<S> a;
  SparseAttentionGradient<S> g;

  Call(simt::Device& on, const Case& problem, const Inputs& inputs)
      : device(on),
        c(problem),
        x(inputs),
        layout{c.heads * c.width, c.layout.packed, c.layout.shifted, c.layout.gapped},
        p(on, layout, x.q, x.k, x.v),
        dout(input_matrix<S>(on, layout, x.dout, "dout")),
        out(output_matrix<S>(on, layout, c.pairs.rows, "out")),
        rows(on, c.pairs.row_start, c.cut, layout.size + 2 * c.heads),
        columns(on, c.pairs.column_start, c.cut, 2 * layout.size) {
    p.assign(a, g);
    forward_arguments();
    backward_arguments();
  }

  void forward_arguments() {
    const auto statistics = static_cast<std::size_t>(c.pairs.rows * c.heads);
    column = device.input(c.pairs.column, "column");
    type = device.input(c.pairs.type, "type");
    pair_bias = device.input(stored<S>(x.pair_bias), "pair_bias");
    type_bias = device.input(stored<S>(x.type_bias), "type_bias");
    lse = device.output<compute_t<S>>(statistics, "lse");
    a.heads = c.heads;
    a.width = c.width;
    a.column = column.data();
    if (c.types) a.type = type.data();
    if (c.pair_bias) a.pair_bias = pair_bias.data();
    if (c.type_bias) a.type_bias = type_bias.data();
    a.scale = static_cast<compute_t<S>>(scale_of(c));
    a.threshold = ops::detail::drop_threshold(c.dropout);
    a.keep_scale = static_cast<compute_t<S>>(c.dropout > 0 ? 1 / (1 - c.dropout) : kNotRead);
    a.key = kKey;
    a.out = out.data;
    a.lse = lse.data();
    a.row_work = rows.work;
  }

  void backward_arguments() {
    row = device.input(c.pairs.row, "row");
    pair = device.input(c.pairs.pair, "pair");
    delta = device.output<compute_t<S>>(lse.size(), "delta");
    dpair_bias = device.output<S>(x.pair_bias.size(), "dpair_bias");
    dtype_bias = device.output<S>(x.type_bias.size(), "dtype_bias");
    type_partial = device.output<compute_t<S>>(
        x.type_bias.size() * static_cast<std::size_t>(c.type_blocks), "type_partial");
    g.dout = dout.data;
    g.delta = delta.data();
    if (c.pair_bias) g.dpair_bias = dpair_bias.data();
    if (c.type_bias) {
      g.dtype_bias = dtype_bias.data();
      g.types = static_cast<int>(x.type_bias.size()) / c.heads;
      g.type_blocks = c.type_blocks;
      g.type_partial = type_partial.data();
    }
    g.row = row.data();
    g.pair = pair.data();
    g.column_work = columns.work;
  }

  Results results() {
    sparse_attention_forward(a, nullptr);
    sparse_attention_backward(a, g, nullptr);
    return {out.read(),
            numbers(lse.read()),
            p.dq.read(),
            p.dk.read(),
            p.dv.read(),
            numbers(dpair_bias.read()),
            numbers(dtype_bias.read())};
  }
};

}  // namespace gtrain::ops::cuda::test
