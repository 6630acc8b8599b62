// Softmax attention of one graph and head. Scores of a few query rows at a time are computed
// against the transposed keys, so that every inner loop runs over full vectors; nothing of size n²
// is stored, backward recomputes the weights from the row's log-sum-exp.
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "ops/cpu/kernel.h"
#include "ops/detail/random.h"
#include "ops/detail/simd.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::AttentionHead;
// Query rows in flight: as many accumulators as the registers hold beside the operands.
#ifdef __AVX512F__
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif

template <class T>
std::int64_t padded(std::int64_t n) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  return (n + w - 1) / w * w;
}

// Scratch of one task, reused by the thread. Rows are padded to whole vectors with zeros.
template <class T>
struct Scratch {
  std::vector<T> memory;
  T* take(std::int64_t size) {
    T* p = memory.data() + used;
    used += size;
    return p;
  }
  void reset(std::int64_t size) {
    if (static_cast<std::int64_t>(memory.size()) < size)
      memory.resize(static_cast<std::size_t>(size));
    used = 0;
  }
  std::int64_t used = 0;
};

template <class T>
Scratch<T>& scratch() {
  static thread_local Scratch<T> s;
  return s;
}

// [n, width] with a stride -> transposed [width, np].
template <class T>
void transpose(const T* from, std::int64_t n, std::int64_t width, std::int64_t stride,
               std::int64_t np, T* to) {
  for (std::int64_t c = 0; c < width; ++c) {
    for (std::int64_t j = 0; j < n; ++j) to[c * np + j] = from[j * stride + c];
    for (std::int64_t j = n; j < np; ++j) to[c * np + j] = 0;
  }
}

// [n, width] with a stride -> rows padded to wp.
template <class T>
void pack(const T* from, std::int64_t n, std::int64_t width, std::int64_t stride, std::int64_t wp,
          T* to) {
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t c = 0; c < width; ++c) to[j * wp + c] = from[j * stride + c];
    for (std::int64_t c = width; c < wp; ++c) to[j * wp + c] = 0;
  }
}

// s[r][j] = sum_c a[r][c] bt[c][j] for kRows rows of a (row length `stride_a`).
template <class T>
void products(const T* a, std::int64_t stride_a, const T* bt, std::int64_t width, std::int64_t np,
              T* s) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  for (std::int64_t j = 0; j < np; j += w) {
    Vec<T> acc[kRows] = {};
    for (std::int64_t c = 0; c < width; ++c) {
      const Vec<T> b = load(bt + c * np + j);
      for (int r = 0; r < kRows; ++r) acc[r] += b * a[r * stride_a + c];
    }
    for (int r = 0; r < kRows; ++r) store(s + r * np + j, acc[r]);
  }
}

// o[r][:] = sum_j s[r][j] b[j][:]
template <class T>
void combine(const T* s, std::int64_t np, const T* b, std::int64_t n, std::int64_t wp, T* o) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  for (std::int64_t c = 0; c < wp; c += w) {
    Vec<T> acc[kRows] = {};
    for (std::int64_t j = 0; j < n; ++j) {
      const Vec<T> v = load(b + j * wp + c);
      for (int r = 0; r < kRows; ++r) acc[r] += v * s[r * np + j];
    }
    for (int r = 0; r < kRows; ++r) store(o + r * wp + c, acc[r]);
  }
}

// b[j][:] += sum_r s[r][j] a[r][:]
template <class T>
void accumulate(const T* s, std::int64_t np, const T* a, std::int64_t n, std::int64_t wp, T* b) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  for (std::int64_t c = 0; c < wp; c += w) {
    Vec<T> row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = load(a + r * wp + c);
    for (std::int64_t j = 0; j < n; ++j) {
      Vec<T> acc = load(b + j * wp + c);
      for (int r = 0; r < kRows; ++r) acc += row[r] * s[r * np + j];
      store(b + j * wp + c, acc);
    }
  }
}

// The row's keep factors: 0 or 1/(1-p).
template <class T>
void keep_factors(const AttentionHead<T>& a, std::int64_t row, std::int64_t np, T* factor) {
  const std::uint64_t key =
      detail::row_key(a.key, static_cast<std::uint64_t>(a.first_row + row * a.row_step));
  draw_factors(key, a.threshold, a.keep_scale, np, factor);
}

// v with the lanes from `count` on replaced.
template <class T>
Vec<T> first_lanes(Vec<T> v, std::int64_t count, T other) {
  using Lane = std::decay_t<decltype(typename Simd<T>::I{}[0])>;
  typename Simd<T>::I lane = {};
  for (int l = 0; l < Simd<T>::kLanes; ++l) lane[l] = static_cast<Lane>(l);
  return lane < static_cast<Lane>(count) ? v : splat<T>(other);
}

// Softmax of one padded row in place, padding 0; returns its log-sum-exp.
template <class T>
T softmax(T* s, std::int64_t n, std::int64_t np, T scale) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  const std::int64_t last = np - w;  // the block that ends in padding
  Vec<T> top = first_lanes<T>(load(s + last), n - last, -std::numeric_limits<T>::infinity());
  for (std::int64_t j = 0; j < last; j += w) {
    const Vec<T> v = load(s + j);
    top = v > top ? v : top;
  }
  T largest = top[0];
  for (int l = 1; l < w; ++l) largest = top[l] > largest ? top[l] : largest;
  const Vec<T> tail = first_lanes<T>(exp<T>((load(s + last) - largest) * scale), n - last, T{0});
  Vec<T> total = tail;
  for (std::int64_t j = 0; j < last; j += w) {
    const Vec<T> e = exp<T>((load(s + j) - largest) * scale);
    store(s + j, e);
    total += e;
  }
  const T sum = sum_lanes<T>(total);
  const T inverse = 1 / sum;
  for (std::int64_t j = 0; j < last; j += w) store(s + j, load(s + j) * inverse);
  store(s + last, tail * inverse);
  return largest * scale + std::log(sum);
}

}  // namespace

template <class T>
void attention_forward(const AttentionHead<T>& a) {
  const std::int64_t np = padded<T>(a.n), wp = padded<T>(a.width);
  Scratch<T>& memory = scratch<T>();
  memory.reset(a.width * np + a.n * wp + kRows * (2 * np + 2 * wp));
  T* kt = memory.take(a.width * np);
  T* v = memory.take(a.n * wp);
  T* s = memory.take(kRows * np);
  T* factor = memory.take(kRows * np);
  T* q = memory.take(kRows * wp);
  T* o = memory.take(kRows * wp);
  transpose(a.k, a.n, a.width, a.stride, np, kt);
  pack(a.v, a.n, a.width, a.stride, wp, v);
  for (std::int64_t i = 0; i < a.n; i += kRows) {
    const std::int64_t rows = std::min<std::int64_t>(kRows, a.n - i);
    pack(a.q + i * a.stride, rows, a.width, a.stride, wp, q);
    for (std::int64_t x = rows * wp; x < kRows * wp; ++x) q[x] = 0;
    products(q, wp, kt, a.width, np, s);
    for (std::int64_t r = 0; r < rows; ++r) {
      a.lse[(i + r) * a.lse_stride] = softmax(s + r * np, a.n, np, a.scale);
      if (a.threshold != 0) {
        keep_factors(a, i + r, np, factor);
        for (std::int64_t j = 0; j < np; ++j) s[r * np + j] *= factor[j];
      }
    }
    combine(s, np, v, a.n, wp, o);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < a.width; ++c) a.out[(i + r) * a.out_stride + c] = o[r * wp + c];
    }
  }
}

template <class T>
void attention_backward(const AttentionHead<T>& a) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  const std::int64_t np = padded<T>(a.n), wp = padded<T>(a.width);
  Scratch<T>& memory = scratch<T>();
  memory.reset(2 * a.width * np + 3 * a.n * wp + kRows * (2 * np + 3 * wp) + np);
  T* kt = memory.take(a.width * np);
  T* vt = memory.take(a.width * np);
  T* k = memory.take(a.n * wp);
  T* dk = memory.take(a.n * wp);
  T* dv = memory.take(a.n * wp);
  T* p = memory.take(kRows * np);
  T* ds = memory.take(kRows * np);
  T* q = memory.take(kRows * wp);
  T* g = memory.take(kRows * wp);
  T* dq = memory.take(kRows * wp);
  T* factor = memory.take(np);
  transpose(a.k, a.n, a.width, a.stride, np, kt);
  transpose(a.v, a.n, a.width, a.stride, np, vt);
  pack(a.k, a.n, a.width, a.stride, wp, k);
  for (std::int64_t x = 0; x < a.n * wp; ++x) dk[x] = dv[x] = 0;
  for (std::int64_t j = 0; j < np; ++j) factor[j] = 1;

  for (std::int64_t i = 0; i < a.n; i += kRows) {
    const std::int64_t rows = std::min<std::int64_t>(kRows, a.n - i);
    pack(a.q + i * a.stride, rows, a.width, a.stride, wp, q);
    pack(a.dout + i * a.out_stride, rows, a.width, a.out_stride, wp, g);
    for (std::int64_t x = rows * wp; x < kRows * wp; ++x) q[x] = g[x] = 0;
    products(q, wp, kt, a.width, np, p);   // scores
    products(g, wp, vt, a.width, np, ds);  // dO · V
    for (std::int64_t r = 0; r < rows; ++r) {
      T* pr = p + r * np;
      T* dr = ds + r * np;
      const T lse = a.lse[(i + r) * a.lse_stride];
      T dot = 0;  // dO · O = sum_j P_j dP_j
      for (std::int64_t c = 0; c < a.width; ++c) {
        dot += g[r * wp + c] * a.out[(i + r) * a.out_stride + c];
      }
      if (a.threshold != 0) keep_factors(a, i + r, np, factor);
      for (std::int64_t j = 0; j < np; j += w) {
        const Vec<T> weight = exp<T>(load(pr + j) * a.scale - lse);
        const Vec<T> f = load(factor + j);
        store(dr + j, weight * (load(dr + j) * f - dot) * a.scale);
        store(pr + j, weight * f);
      }
      const std::int64_t last = np - w;
      store(pr + last, first_lanes<T>(load(pr + last), a.n - last, T{0}));
      store(dr + last, first_lanes<T>(load(dr + last), a.n - last, T{0}));
    }
    for (std::int64_t x = rows * np; x < kRows * np; ++x) p[x] = ds[x] = 0;
    combine(ds, np, k, a.n, wp, dq);
    accumulate(ds, np, q, a.n, wp, dk);
    accumulate(p, np, g, a.n, wp, dv);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < a.width; ++c) a.dq[(i + r) * a.stride + c] = dq[r * wp + c];
    }
  }
  for (std::int64_t j = 0; j < a.n; ++j) {
    for (std::int64_t c = 0; c < a.width; ++c) {
      a.dk[j * a.stride + c] = dk[j * wp + c];
      a.dv[j * a.stride + c] = dv[j * wp + c];
    }
  }
}

template void attention_forward<float>(const AttentionHead<float>&);
template void attention_forward<double>(const AttentionHead<double>&);
template void attention_backward<float>(const AttentionHead<float>&);
template void attention_backward<double>(const AttentionHead<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
