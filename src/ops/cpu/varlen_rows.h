// Rows of packed matrices to and from the columns of tiles, and to rows padded to whole vectors.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/cpu/varlen_tile.h"

namespace gtrain::ops::GTRAIN_CPU::varlen {

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

}  // namespace gtrain::ops::GTRAIN_CPU::varlen
