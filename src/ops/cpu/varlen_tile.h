// What varlen attention is made of: a register-tiled product of small matrices, transposition
// between rows and columns of queries, and 2^x. A tile holds kTile queries side by side, so every
// row statistic of the softmax is a vector operation and no sum runs across lanes.
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
#ifdef __AVX512F__
constexpr int kTileVectors = 2, kTileRows = 12;
#else
constexpr int kTileVectors = 2, kTileRows = 6;
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

// The first `count` numbers of a vector, at most all; the rest 0 or untouched.
template <class T>
inline Vec<T> load_first(const T* p, Index count) {
  T values[Simd<T>::kLanes] = {};
  for (Index i = 0; i < count; ++i) values[i] = p[i];
  return load(values);
}
template <class T>
inline void store_first(T* p, Vec<T> v, Index count) {
  for (Index i = 0; i < count; ++i) p[i] = v[i];
}
#ifdef __AVX512F__
inline __mmask16 first_lanes(Index count) { return static_cast<__mmask16>((1u << count) - 1); }
template <>
inline Vec<float> load_first(const float* p, Index count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
template <>
inline void store_first(float* p, Vec<float> v, Index count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}
#endif

// 4 rows by 4 columns, transposed and scaled.
typedef float Quad __attribute__((vector_size(16)));
typedef float QuadUnaligned __attribute__((vector_size(16), aligned(4), may_alias));

template <class T>
inline void transpose_quad(const T* const (&from)[4], T factor, T* const (&to)[4]) {
  for (int r = 0; r < 4; ++r) {
    for (int c = 0; c < 4; ++c) to[c][r] = from[r][c] * factor;
  }
}

template <>
inline void transpose_quad(const float* const (&from)[4], float factor, float* const (&to)[4]) {
  typedef std::int32_t Order __attribute__((vector_size(16)));
  Quad row[4];
  for (int r = 0; r < 4; ++r) {
    row[r] = *reinterpret_cast<const QuadUnaligned*>(from[r]) * factor;
  }
  constexpr Order kLow = {0, 4, 1, 5}, kHigh = {2, 6, 3, 7};
  constexpr Order kFirst = {0, 1, 4, 5}, kSecond = {2, 3, 6, 7};
  const Quad a = __builtin_shuffle(row[0], row[1], kLow);
  const Quad b = __builtin_shuffle(row[0], row[1], kHigh);
  const Quad c = __builtin_shuffle(row[2], row[3], kLow);
  const Quad d = __builtin_shuffle(row[2], row[3], kHigh);
  *reinterpret_cast<QuadUnaligned*>(to[0]) = __builtin_shuffle(a, c, kFirst);
  *reinterpret_cast<QuadUnaligned*>(to[1]) = __builtin_shuffle(a, c, kSecond);
  *reinterpret_cast<QuadUnaligned*>(to[2]) = __builtin_shuffle(b, d, kFirst);
  *reinterpret_cast<QuadUnaligned*>(to[3]) = __builtin_shuffle(b, d, kSecond);
}

// rows [count, width] with a stride -> columns [width, kTile], times factor. Columns up to the next
// multiple of 4, or of the vector, repeat the last row.
template <class T>
void rows_to_columns(const T* rows, Index stride, Index count, Index width, T factor, T* columns) {
  for (Index i = 0; i < count; i += 4) {
    const T* from[4];
    for (Index r = 0; r < 4; ++r) from[r] = rows + std::min(i + r, count - 1) * stride;
    if (width < 4) {
      for (Index c = 0; c < width; ++c) {
        for (int r = 0; r < 4; ++r) columns[c * kTile<T> + i + r] = from[r][c] * factor;
      }
      continue;
    }
    for (Index next = 0; next < width; next += 4) {
      const Index c = std::min(next, width - 4);  // the last quad may overlap its neighbour
      T* to[4];
      for (Index x = 0; x < 4; ++x) to[x] = columns + (c + x) * kTile<T> + i;
      const T* const part[4] = {from[0] + c, from[1] + c, from[2] + c, from[3] + c};
      transpose_quad<T>(part, factor, to);
    }
  }
}

// columns [width, kTile] -> rows [count, width] with a stride, times factor.
template <class T>
void columns_to_rows(const T* columns, Index count, Index width, T factor, T* rows, Index stride) {
  const Index whole = width < 4 ? 0 : count / 4 * 4;
  for (Index i = 0; i < whole; i += 4) {
    for (Index next = 0; next < width; next += 4) {
      const Index c = std::min(next, width - 4);
      const T* from[4];
      T* to[4];
      for (Index x = 0; x < 4; ++x) {
        from[x] = columns + (c + x) * kTile<T> + i;
        to[x] = rows + (i + x) * stride + c;
      }
      transpose_quad<T>(from, factor, to);
    }
  }
  for (Index i = whole; i < count; ++i) {
    for (Index c = 0; c < width; ++c) rows[i * stride + c] = columns[c * kTile<T> + i] * factor;
  }
}

#ifdef __AVX512F__
// Row r and row r + 8 interleaved four times over is the transpose.
inline void transpose_vectors(Vec<float> (&x)[16]) {
  using I = Simd<float>::I;
  constexpr I kLow = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  constexpr I kHigh = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  for (int stage = 0; stage < 4; ++stage) {
    Vec<float> y[16];
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      y[2 * r] = __builtin_shuffle(x[r], x[r + 8], kLow);
      y[2 * r + 1] = __builtin_shuffle(x[r], x[r + 8], kHigh);
    }
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) x[r] = y[r];
  }
}

template <>
inline void rows_to_columns(const float* rows, Index stride, Index count, Index width, float factor,
                            float* columns) {
  for (Index i = 0; i < count; i += 16) {
    for (Index c = 0; c < width; c += 16) {
      const Index part = std::min<Index>(16, width - c);
      Vec<float> x[16];
#pragma GCC unroll 16
      for (Index r = 0; r < 16; ++r) {
        x[r] = load_first(rows + std::min(i + r, count - 1) * stride + c, part) * factor;
      }
      transpose_vectors(x);
      float* to = columns + c * kTile<float> + i;
#pragma GCC unroll 16
      for (Index r = 0; r < 16; ++r) {
        if (r < part) store(to + r * kTile<float>, x[r]);
      }
    }
  }
}

template <>
inline void columns_to_rows(const float* columns, Index count, Index width, float factor,
                            float* rows, Index stride) {
  for (Index i = 0; i < count; i += 16) {
    const Index lanes = std::min<Index>(16, count - i);
    for (Index c = 0; c < width; c += 16) {
      const Index part = std::min<Index>(16, width - c);
      const float* from = columns + c * kTile<float> + i;
      Vec<float> x[16];
#pragma GCC unroll 16
      for (Index r = 0; r < 16; ++r) {
        x[r] = load(from + std::min(r, part - 1) * kTile<float>) * factor;
      }
      transpose_vectors(x);
      float* to = rows + i * stride + c;
#pragma GCC unroll 16
      for (Index r = 0; r < 16; ++r) {
        if (r < lanes) store_first(to + r * stride, x[r], part);
      }
    }
  }
}
#endif

// rows [count, width] with a stride -> [count, wp] times factor, padded with zeros.
template <class T>
void pack_rows(const T* rows, Index stride, Index count, Index width, T factor, T* to) {
  constexpr Index w = Simd<T>::kLanes;
  for (Index i = 0; i < count; ++i, to += padded<T>(width)) {
    for (Index c = 0; c < width; c += w) {
      store<T>(to + c, load_first(rows + i * stride + c, std::min(w, width - c)) * factor);
    }
  }
}

// [count, wp] -> rows [count, width] with a stride, times factor.
template <class T>
void unpack_rows(const T* from, Index count, Index width, T factor, T* rows, Index stride) {
  constexpr Index w = Simd<T>::kLanes;
  for (Index i = 0; i < count; ++i, from += padded<T>(width)) {
    for (Index c = 0; c < width; c += w) {
      store_first<T>(rows + i * stride + c, load(from + c) * factor, std::min(w, width - c));
    }
  }
}

// The sum of the lanes, in pairs.
template <class T>
inline T sum_pairs(Vec<T> v) {
  T x[Simd<T>::kLanes];
  store(x, v);
  for (int half = Simd<T>::kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) x[l] += x[l + half];
  }
  return x[0];
}
#ifdef __AVX512F__
template <>
inline float sum_pairs(Vec<float> v) {
  using I = Simd<float>::I;
  v += __builtin_shuffle(v, I{8, 9, 10, 11, 12, 13, 14, 15});
  v += __builtin_shuffle(v, I{4, 5, 6, 7});
  v += __builtin_shuffle(v, I{2, 3});
  return v[0] + v[1];
}
#endif

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
