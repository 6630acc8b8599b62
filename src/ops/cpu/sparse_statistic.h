// Scratch of the passes of attention over pairs, and statistics per head of flat scores [pairs, H].
#pragma once

#include <numeric>
#include <vector>

#include "ops/cpu/sparse_vector.h"

namespace gtrain::ops::GTRAIN_CPU {

// Scratch of one task, reused by the thread; 64-byte aligned pieces.
template <class T>
class SparseScratch {
 public:
  explicit SparseScratch(Index numbers) {
    const auto wanted = static_cast<std::size_t>(numbers) * sizeof(T) + 64;
    if (memory().size() < wanted) memory().resize(wanted);
    const auto address = reinterpret_cast<std::uintptr_t>(memory().data());
    next_ = reinterpret_cast<T*>((address + 63) / 64 * 64);
  }
  T* take(Index numbers) {
    T* p = next_;
    next_ += padded(numbers);
    return p;
  }
  static Index padded(Index numbers) { return (numbers + 15) / 16 * 16; }

 private:
  static std::vector<char>& memory() {
    static thread_local std::vector<char> bytes;
    return bytes;
  }
  T* next_;
};

// Statistics per head, repeated so that whole vectors of flat scores meet their own: position x of
// the scores belongs to entry x % period(H).
template <class T>
inline Index period(Index heads) {
  return std::lcm(heads, kWidth<T>);
}
template <class T>
inline void repeat(T* statistic, Index heads) {
  for (Index x = heads; x < period<T>(heads); ++x) statistic[x] = statistic[x - heads];
}

// f(x, y) for the vectors at x of `total` flat scores and at y = x % length of the statistics.
template <class T, class F>
inline void for_each_vector(Index total, Index length, const F& f) {
  for (Index x = 0, y = 0; x < total; x += kWidth<T>) {
    f(x, y);
    y = y + kWidth<T> == length ? 0 : y + kWidth<T>;
  }
}

// statistic[h] = op over all scores of head h, starting from `start`; repeated.
template <class T, class Op>
inline void reduce_heads(const T* score, Index total, Index heads, T start, T* statistic,
                         const Op& op) {
  const Index length = period<T>(heads);
  if (length == kWidth<T>) {
    Vec<T> all = splat<T>(start);
    for (Index x = 0; x < total; x += kWidth<T>) all = op(all, load(score + x));
    typename Simd<T>::I lane = {};
    for (int l = 0; l < Simd<T>::kLanes; ++l) lane[l] = l;
    for (Index shift = kWidth<T> / 2; shift >= heads; shift /= 2) {
      const typename Simd<T>::I other = (lane + static_cast<int>(shift)) & (Simd<T>::kLanes - 1);
      all = op(all, __builtin_shuffle(all, other));
    }
    store(statistic, all);
    return;
  }
  for (Index y = 0; y < length; y += kWidth<T>) store(statistic + y, splat<T>(start));
  for_each_vector<T>(total, length, [&](Index x, Index y) {
    store(statistic + y, op(load(statistic + y), load(score + x)));
  });
  for (Index h = 0; h < heads; ++h) {
    Vec<T> one = splat<T>(statistic[h]);
    for (Index y = h + heads; y < length; y += heads) one = op(one, splat<T>(statistic[y]));
    statistic[h] = one[0];
  }
  repeat(statistic, heads);
}

}  // namespace gtrain::ops::GTRAIN_CPU
