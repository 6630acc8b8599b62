// What of a score does not come from q and k: the biases, and the dropout mask of its weight.
#pragma once

#include "ops/cpu/sparse_vector.h"
#include "ops/detail/random.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class S>
class SparseBias {
 public:
  using T = Compute<S>;

  explicit SparseBias(const detail::SparseAttention<S>& a) : a_(a) {}

  // Adds the biases of pairs p, p + 1, ... to their scores [count, H].
  void add(Index p, Index count, T* score) const {
    const Index n = count * a_.heads;
    if (a_.pair_bias != nullptr) {
      const S* bias = a_.pair_bias + p * a_.heads;
      for (Index x = 0; x < n; x += kWidth<T>) {
        store(score + x, load(score + x) + load(bias + x, n - x));
      }
    }
    if (a_.type_bias == nullptr) return;
    for (Index x = 0; x < count; ++x) {
      add_row(a_.type_bias + type(p + x) * a_.heads, score + x * a_.heads);
    }
  }
  // The same for any list of pairs.
  void add(const Index* pair, Index count, T* score) const {
    for (Index x = 0; x < count; ++x) {
      T* to = score + x * a_.heads;
      if (a_.pair_bias != nullptr) add_row(a_.pair_bias + pair[x] * a_.heads, to);
      if (a_.type_bias != nullptr) add_row(a_.type_bias + type(pair[x]) * a_.heads, to);
    }
  }
  // Keep factors [count, H] of the pairs pair(0), pair(1), ...
  template <class Pair>
  void draw(Index count, const Pair& pair, T* factor) const {
    for (Index x = 0; x < count; ++x) {
      draw_factors(detail::row_key(a_.key, static_cast<std::uint64_t>(pair(x))), a_.threshold,
                   a_.keep_scale, a_.heads, factor + x * a_.heads);
    }
  }
  // The gradients of the biases of pairs p, p + 1, ... from those of the scores.
  void differentiate(Index p, Index count, const T* dscore, T* dtype_bias) const {
    const Index n = count * a_.heads;
    if (a_.dpair_bias != nullptr) {
      S* to = a_.dpair_bias + p * a_.heads;
      for (Index x = 0; x < n; x += kWidth<T>) store(to + x, load(dscore + x), n - x);
    }
    if (dtype_bias == nullptr) return;
    for (Index x = 0; x < count; ++x) {
      add_row(dscore + x * a_.heads, dtype_bias + type(p + x) * a_.heads);
    }
  }

 private:
  Index type(Index pair) const { return a_.type != nullptr ? a_.type[pair] : 0; }
  template <class B>
  void add_row(const B* from, T* to) const {
    for (Index h = 0; h < a_.heads; ++h) to[h] += detail::widen(from[h]);
  }

  const detail::SparseAttention<S>& a_;
};

}  // namespace gtrain::ops::GTRAIN_CPU
