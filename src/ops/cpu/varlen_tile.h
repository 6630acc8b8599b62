// What varlen attention is made of: a register-tiled product of small matrices and 2^x. A tile
// holds kTile queries side by side, so every row statistic of the softmax is a vector operation and
// no sum runs across lanes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "ops/cpu/varlen_vector.h"

namespace gtrain::ops::GTRAIN_CPU::varlen {

using Index = std::int64_t;

// kTileRows x kTileVectors accumulators and their operands fill the register file.
constexpr int kTileVectors = 2;
#ifdef __AVX512F__
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif
template <class T>
constexpr Index kTile = kTileVectors* Simd<T>::kLanes;
constexpr Index kKeys = 64;  // of a tile: two tiles and their operands stay in L1

// Where element (r, k) of the left factor lies.
enum class Left {
  kRows,     // a[r * stride + k]
  kColumns,  // a[k * stride + r]
  kScores    // a[r * kTile + k]
};

// C [m, V vectors] (+)= A [m, k] B [k, V vectors].
template <class T>
struct Product {
  const T* a;
  Index a_stride;
  const T* b;
  Index b_stride;
  T* c;
  Index c_stride;
  Index k;
  bool add;
};

template <class T, int R, int V, Left kLeft>
void tile(const Product<T>& p) {
  constexpr Index w = Simd<T>::kLanes;
  const Index stride = kLeft == Left::kScores ? kTile<T> : p.a_stride;
  const Index row = kLeft == Left::kColumns ? 1 : stride;
  const Index step = kLeft == Left::kColumns ? stride : 1;
  const Index c_stride = p.c_stride;
  T* const c = p.c;
  const bool add = p.add;
  Vec<T> acc[R][V];  // in registers only because every loop over it is unrolled early
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      acc[r][v] = add ? load(c + r * c_stride + v * w) : Vec<T>{};
    }
  }
  const T* a = p.a;
  const T* b = p.b;
  for (Index k = p.k; k > 0; --k) {
    Vec<T> right[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) right[v] = load(b + v * w);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[r][v] += right[v] * a[r * row];
    }
    a += step;
    b += p.b_stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + r * c_stride + v * w, acc[r][v]);
  }
}

template <class T>
using Tile = void (*)(const Product<T>&);

template <class T, int V, Left kLeft, std::size_t... R>
constexpr std::array<Tile<T>, kTileRows> tiles(std::index_sequence<R...>) {
  return {tile<T, static_cast<int>(R) + 1, V, kLeft>...};
}

// All m rows, in groups of nearly equal height: a last group of one row would wait on itself.
template <class T, int V, Left kLeft>
void multiply(Product<T> p, Index m) {
  static constexpr auto kTiles = tiles<T, V, kLeft>(std::make_index_sequence<kTileRows>());
  const Index groups = (m + kTileRows - 1) / kTileRows;
  for (Index g = 0; g < groups; ++g) {
    const Index rows = (m + g) / groups;
    kTiles[static_cast<std::size_t>(rows - 1)](p);
    p.a += rows * (kLeft == Left::kRows ? p.a_stride : kLeft == Left::kColumns ? 1 : kTile<T>);
    p.c += rows * p.c_stride;
  }
}

// Columns of B and C beyond kTileVectors in turn; `columns` is a multiple of the vector.
template <class T, Left kLeft>
void multiply_wide(Product<T> p, Index m, Index columns) {
  constexpr Index w = Simd<T>::kLanes;
  for (; columns >= kTileVectors * w; columns -= kTileVectors * w) {
    multiply<T, kTileVectors, kLeft>(p, m);
    p.b += kTileVectors * w;
    p.c += kTileVectors * w;
  }
  if (columns > 0) multiply<T, 1, kLeft>(p, m);
}

template <class T>
Index padded(Index n) {
  constexpr Index w = Simd<T>::kLanes;
  return (n + w - 1) / w * w;
}

template <class T>
struct Power;
template <>
struct Power<float> {  // minimax on [-1/2, 1/2], relative error 7.5e-8
  static constexpr std::array<float, 6> kSeries{1.0000000716546549f,  0.6931469670638637f,
                                                0.24022119723934282f, 0.055507132749637145f,
                                                0.00967554133066191f, 0.0013276471518606989f};
  static constexpr float kLow = -125;
};
template <>
struct Power<double> {  // ln(2)^k / k!
  static constexpr std::array<double, 14> kSeries = [] {
    std::array<double, 14> c{1};
    for (std::size_t k = 1; k < c.size(); ++k) {
      c[k] = c[k - 1] * 0.69314718055994530942 / static_cast<double>(k);
    }
    return c;
  }();
  static constexpr double kLow = -1021;
};

// 2^x for x <= 1; 0 below kLow, so that -inf weighs nothing.
template <class T>
inline Vec<T> power(Vec<T> x) {
  using S = Simd<T>;
  using I = typename S::I;
  constexpr auto& c = Power<T>::kSeries;
  const Vec<T> low = splat<T>(Power<T>::kLow);
  const Vec<T> t = x < low ? low : x;
  const Vec<T> shifted = t + S::kMagic;
  const Vec<T> r = t - (shifted - S::kMagic);
  Vec<T> p = splat<T>(c[c.size() - 1]);
  for (std::size_t k = c.size() - 1; k-- > 0;) p = p * r + c[k];
  I bits, exponent;
  std::memcpy(&bits, &p, sizeof(bits));
  std::memcpy(&exponent, &shifted, sizeof(exponent));
  bits += exponent << S::kMantissa;
  std::memcpy(&p, &bits, sizeof(p));
  return x < low ? Vec<T>{} : p;
}

// Asks for rows that lie together all at once, where they fit the caches: each head reads a part of
// every row, and would wait for row after row.
template <class T>
inline void prefetch(const T* rows, Index count) {
  constexpr Index kLine = 64, kMost = 128 * 1024;
  const char* from = reinterpret_cast<const char*>(rows);
  const Index bytes = count * static_cast<Index>(sizeof(T));
  if (bytes > kMost) return;
  for (Index at = 0; at < bytes; at += kLine) __builtin_prefetch(from + at);
}

// Memory of one task, reused by the thread; zero when new, so that padding is finite.
template <class T>
class Scratch {
 public:
  void reset(Index size) {
    if (static_cast<Index>(memory_.size()) < size) memory_.resize(static_cast<std::size_t>(size));
    used_ = 0;
  }
  T* take(Index size) {
    T* p = memory_.data() + used_;
    used_ += size;
    return p;
  }

 private:
  std::vector<T> memory_;
  Index used_ = 0;
};

template <class T>
Scratch<T>& scratch() {
  static thread_local Scratch<T> s;
  return s;
}

}  // namespace gtrain::ops::GTRAIN_CPU::varlen
