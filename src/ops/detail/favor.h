// Linear attention of one graph and head: dense products around the element-wise kernels of
// detail/favor_kernels.h. Scratch is taken per call: the caller's tasks run nothing inside.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "ops/detail/gemm.h"
#include "ops/detail/kernels.h"

namespace gtrain::ops::detail {

// Rows of one graph and head. q, k, v, out and the gradients have row stride `stride` (out_stride
// for out and dout); `padding` more keys of zeros with values of zeros stand behind the graph's.
template <class S>
struct FavorHead {
  std::int64_t n = 0, padding = 0;
  std::int64_t stride = 0, out_stride = 0;
  const S *q = nullptr, *k = nullptr, *v = nullptr;
  S* out = nullptr;
  Compute<S>* denominator = nullptr;  // [n], stride denominator_stride
  std::int64_t denominator_stride = 0;
  Compute<S>* maximum = nullptr;  // one number: the keys' maximum
  const S* dout = nullptr;
  S *dq = nullptr, *dk = nullptr, *dv = nullptr;

  // The rows [begin, end) alone, without padding.
  FavorHead rows(std::int64_t begin, std::int64_t end) const {
    FavorHead a = *this;
    a.n = end - begin;
    a.padding = 0;
    for (const S** p : {&a.q, &a.k, &a.v}) *p += begin * stride;
    a.out += begin * out_stride;
    a.denominator += begin * denominator_stride;
    if (dout == nullptr) return a;
    a.dout += begin * out_stride;
    for (S** p : {&a.dq, &a.dk, &a.dv}) *p += begin * stride;
    return a;
  }
};

template <class S>
class Favor {
 public:
  using T = Compute<S>;
  using Index = std::int64_t;

  // projection [m, d] and its transpose [d, m].
  Favor(Index m, Index d, const T* projection, const T* transposed, double eps)
      : m_(m),
        d_(d),
        projection_(projection),
        transposed_(transposed),
        scale_(static_cast<T>(std::pow(static_cast<double>(d), -0.25))),
        ratio_(static_cast<T>(1 / std::sqrt(static_cast<double>(m)))),
        eps_(static_cast<T>(eps)) {}

  void forward(const FavorHead<S>& a) const {
    const Rows q = queries(a), k = keys(a, false, eps_);
    const auto v = values(a, k.count), o = scratch(a.n * (d_ + 1));
    if (direct(a.n)) {
      const auto weights = products_nt(a.n, k.count, m_, q.phi.get(), k.phi.get());
      product_nn(a.n, d_ + 1, k.count, weights.get(), v.get(), o.get());
    } else {
      const auto state = scratch(m_ * (d_ + 1));
      product_tn(k.count, m_, d_ + 1, 0, m_, k.phi.get(), v.get(), state.get());
      product_nn(a.n, d_ + 1, m_, q.phi.get(), state.get(), o.get());
    }
    kernel().divide(a.n, d_, o.get(), a.out, a.out_stride, a.denominator, a.denominator_stride);
  }

  void backward(const FavorHead<S>& a) const {
    const Index w = d_ + 1;
    const Rows q = queries(a), k = keys(a, true, eps_);
    const auto v = values(a, k.count), dout = scratch(a.n * w), dv = scratch(k.count * w);
    const auto dphi_q = scratch(a.n * m_), dphi_k = scratch(k.count * m_);
    kernel().divide_backward(a.n, d_, a.dout, a.out, a.out_stride, a.denominator,
                             a.denominator_stride, dout.get());
    if (direct(a.n)) {
      const auto weights = products_nt(a.n, k.count, m_, q.phi.get(), k.phi.get());
      const auto dweights = products_nt(a.n, k.count, w, dout.get(), v.get());
      product_nn(a.n, m_, k.count, dweights.get(), k.phi.get(), dphi_q.get());
      product_tn(a.n, k.count, m_, 0, k.count, dweights.get(), q.phi.get(), dphi_k.get());
      product_tn(a.n, k.count, w, 0, k.count, weights.get(), dout.get(), dv.get());
    } else {
      const auto state = scratch(m_ * w), dstate = scratch(m_ * w);
      product_tn(k.count, m_, w, 0, m_, k.phi.get(), v.get(), state.get());
      product_tn(a.n, m_, w, 0, m_, q.phi.get(), dout.get(), dstate.get());
      times_transposed(a.n, m_, w, dout.get(), state.get(), dphi_q.get());
      times_transposed(a.n, m_, w, v.get(), dstate.get(), dphi_k.get());
      product_nn(a.n, w, m_, k.phi.get(), dstate.get(), dv.get());
    }
    rows_backward(a.n, q, dphi_q.get(), a.dq, a.stride);
    rows_backward(a.n, k, dphi_k.get(), a.dk, a.stride);
    kernel().unpack(a.n, d_, dv.get(), w, nullptr, nullptr, T{1}, a.dv, a.stride);
  }

  // The parts of a graph too large for one task (detail/favor_large.h); `a` is some of its rows. A
  // state is [m, d+1], the sum of phi_k (v | 1), with the sums of (v | 1) in one more row.
  Index state_size() const { return (m_ + 1) * (d_ + 1); }

  // With the rows' own maximum, and without eps.
  void shifted_state(const FavorHead<S>& a, T* out) const { sum_keys(a, false, T{0}, out); }
  // With the graph's maximum.
  void state(const FavorHead<S>& a, T* out) const { sum_keys(a, true, eps_, out); }

  // A shifted state becomes one relative to another maximum, with eps.
  void rescale(T* state, T factor) const {
    const Index w = d_ + 1;
    for (Index f = 0; f < m_; ++f) {
      for (Index c = 0; c < w; ++c) {
        state[f * w + c] = factor * state[f * w + c] + ratio_ * eps_ * state[m_ * w + c];
      }
    }
  }
  void add_padding(const FavorHead<S>& a, T* state) const {
    for (Index f = 0; f < m_ && a.padding > 0; ++f) state[f * (d_ + 1) + d_] += padding_feature(a);
  }

  void answer(const FavorHead<S>& a, const T* state) const {
    const Rows q = queries(a);
    const auto o = scratch(a.n * (d_ + 1));
    product_nn(a.n, d_ + 1, m_, q.phi.get(), state, o.get());
    kernel().divide(a.n, d_, o.get(), a.out, a.out_stride, a.denominator, a.denominator_stride);
  }

  // Writes dq, and the part of these rows in the gradient of the state.
  void query_gradient(const FavorHead<S>& a, const T* state, T* dstate) const {
    const Index w = d_ + 1;
    const Rows q = queries(a);
    const auto dout = scratch(a.n * w), dphi = scratch(a.n * m_);
    kernel().divide_backward(a.n, d_, a.dout, a.out, a.out_stride, a.denominator,
                             a.denominator_stride, dout.get());
    product_tn(a.n, m_, w, 0, m_, q.phi.get(), dout.get(), dstate);
    times_transposed(a.n, m_, w, dout.get(), state, dphi.get());
    rows_backward(a.n, q, dphi.get(), a.dq, a.stride);
  }
  // Writes dk and dv.
  void key_gradient(const FavorHead<S>& a, const T* dstate) const {
    const Index w = d_ + 1;
    const Rows k = keys(a, true, eps_);
    const auto v = values(a, a.n), dphi = scratch(a.n * m_), dv = scratch(a.n * w);
    times_transposed(a.n, m_, w, v.get(), dstate, dphi.get());
    product_nn(a.n, w, m_, k.phi.get(), dstate, dv.get());
    rows_backward(a.n, k, dphi.get(), a.dk, a.stride);
    kernel().unpack(a.n, d_, dv.get(), w, nullptr, nullptr, T{1}, a.dv, a.stride);
  }

  // Fewer operations through the weights of all pairs than through the state.
  bool direct(Index n) const { return n * (m_ + d_) < 2 * m_ * d_; }

 private:
  // Scaled rows, half their squares, and their features; `count` rows of features, one more than
  // there are rows where padding stands behind them.
  struct Rows {
    Index count;
    std::unique_ptr<T[]> x, half, phi;
  };

  static const FavorKernels<S>& kernel() { return kernels<S>().favor; }

  Rows queries(const FavorHead<S>& a) const {
    Rows rows = project(a.n, a.n, a.q, a.stride);
    kernel().query_features({a.n, m_, rows.phi.get(), rows.half.get(), ratio_, eps_});
    return rows;
  }

  // What all padding keys of a graph, whose features are equal, add up to.
  T padding_feature(const FavorHead<S>& a) const {
    return static_cast<T>(a.padding) * ratio_ * (std::exp(-*a.maximum) + eps_);
  }

  // known: the maximum is given, else found. One row stands for all padding keys.
  Rows keys(const FavorHead<S>& a, bool known, T eps) const {
    Rows rows = project(a.n, a.n + (a.padding > 0), a.k, a.stride);
    if (!known) {
      *a.maximum = kernel().maximum(a.n * m_, rows.phi.get());
      if (a.padding > 0 && *a.maximum < 0) *a.maximum = 0;
    }
    kernel().key_features({a.n, m_, rows.phi.get(), rows.half.get(), ratio_, eps}, *a.maximum);
    if (a.padding > 0) std::fill_n(rows.phi.get() + a.n * m_, m_, padding_feature(a));
    return rows;
  }

  // [count, d + 1]: the values, and ones.
  std::unique_ptr<T[]> values(const FavorHead<S>& a, Index count) const {
    auto v = scratch(count * (d_ + 1));
    kernel().pack(a.n, d_, a.v, a.stride, T{1}, v.get(), d_ + 1, nullptr);
    if (count > a.n) {
      std::fill_n(v.get() + a.n * (d_ + 1), d_, T{0});
      v[static_cast<std::size_t>(a.n * (d_ + 1) + d_)] = T{1};
    }
    return v;
  }

  void sum_keys(const FavorHead<S>& a, bool known, T eps, T* out) const {
    const Index w = d_ + 1;
    const Rows k = keys(a, known, eps);
    const auto v = values(a, a.n);
    product_tn(a.n, m_, w, 0, m_, k.phi.get(), v.get(), out);
    kernels<T>().row.column_sum(0, a.n, w, v.get(), out + m_ * w);
  }

  static std::unique_ptr<T[]> scratch(Index count) {
    return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(count)]);
  }

  Rows project(Index n, Index count, const S* x, Index stride) const {
    Rows rows{count, scratch(n * d_), scratch(n), scratch(count * m_)};
    kernel().pack(n, d_, x, stride, scale_, rows.x.get(), d_, rows.half.get());
    product_nt(n, m_, d_, rows.x.get(), projection_, transposed_, rows.phi.get());
    return rows;
  }

  // x [n, k] times y [o, k] transposed, where y has no transpose at hand.
  static void times_transposed(Index n, Index o, Index k, const T* x, const T* y, T* out) {
    const auto turned = wants_transposed<T>() ? scratch(o * k) : nullptr;
    for (Index r = 0; turned != nullptr && r < o; ++r) {
      for (Index c = 0; c < k; ++c) turned[static_cast<std::size_t>(c * o + r)] = y[r * k + c];
    }
    product_nt(n, o, k, x, y, static_cast<const T*>(turned.get()), out);
  }
  static std::unique_ptr<T[]> products_nt(Index n, Index o, Index k, const T* x, const T* y) {
    auto out = scratch(n * o);
    times_transposed(n, o, k, x, y, out.get());
    return out;
  }

  void rows_backward(Index n, const Rows& rows, T* dphi, S* dx, Index stride) const {
    const auto sums = scratch(n), du = scratch(n * d_);
    kernel().features_backward(n, m_, rows.phi.get(), ratio_ * eps_, dphi, sums.get());
    product_nn(n, d_, m_, dphi, projection_, du.get());
    kernel().unpack(n, d_, du.get(), d_, rows.x.get(), sums.get(), scale_, dx, stride);
  }

  Index m_, d_;
  const T *projection_, *transposed_;
  T scale_, ratio_, eps_;
};

}  // namespace gtrain::ops::detail
