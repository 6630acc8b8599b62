// What attention over pairs needs of vectors beyond detail/simd.h: partial loads, sums of the lanes
// of many vectors at once, logarithms.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ops/detail/simd.h"
#include "ops/detail/sparse_kernels.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace gtrain::ops::GTRAIN_CPU {

using detail::Compute;
using Index = std::int64_t;

template <class T>
constexpr Index kWidth = Simd<T>::kLanes;

// The first `count` lanes; the rest 0, and not touched in memory.
template <class S>
inline Vec<Compute<S>> load(const S* p, Index count) {
  if (count >= kWidth<Compute<S>>) return load(p);
#ifdef __AVX512F__
  const auto mask = static_cast<std::uint32_t>((1u << count) - 1u);
  if constexpr (std::is_same_v<S, float>) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
  } else if constexpr (std::is_same_v<S, double>) {
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), p);
  } else {
    return load_some(p, static_cast<int>(count));
  }
#else
  S buffer[static_cast<std::size_t>(kWidth<Compute<S>>)] = {};
  std::memcpy(buffer, p, static_cast<std::size_t>(count) * sizeof(S));
  return load(static_cast<const S*>(buffer));
#endif
}
template <class S>
inline void store(S* p, Vec<Compute<S>> v, Index count) {
  if (count >= kWidth<Compute<S>>) return store(p, v);
#ifdef __AVX512F__
  const auto mask = static_cast<std::uint32_t>((1u << count) - 1u);
  if constexpr (std::is_same_v<S, float>) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), v);
  } else if constexpr (std::is_same_v<S, double>) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), v);
  } else {
    store_some(p, v, static_cast<int>(count));
  }
#else
  S buffer[static_cast<std::size_t>(kWidth<Compute<S>>)];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<std::size_t>(count) * sizeof(S));
#endif
}

// out[i] = the sum of the lanes of x[i], for one vector's worth of vectors.
template <class T>
inline Vec<T> lane_sums(const Vec<T>* x) {
  Vec<T> out;
  for (int i = 0; i < Simd<T>::kLanes; ++i) out[i] = sum_lanes<T>(x[i]);
  return out;
}
// out[2i], out[2i+1] = the sums of the lower and the upper half of x[i], for 8 vectors.
inline Vec<float> half_sums(const Vec<float>* x);

#ifdef __AVX512F__
// Neighbours added inside each 128-bit quarter: a's two sums, then b's.
inline Vec<float> add_neighbours(Vec<float> a, Vec<float> b) {
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}
// Neighbouring quarters added: a's two sums, then b's.
inline Vec<float> add_quarters(Vec<float> a, Vec<float> b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}
// Quarter i, lane j: the sum of quarter i of x[j].
inline Vec<float> quarter_sums(const Vec<float>* x) {
  return add_neighbours(add_neighbours(x[0], x[1]), add_neighbours(x[2], x[3]));
}
template <>
inline Vec<float> lane_sums<float>(const Vec<float>* x) {
  return add_quarters(add_quarters(quarter_sums(x), quarter_sums(x + 4)),
                      add_quarters(quarter_sums(x + 8), quarter_sums(x + 12)));
}
inline Vec<float> half_sums(const Vec<float>* x) {
  const Vec<float> sums = add_quarters(quarter_sums(x), quarter_sums(x + 4));
  return __builtin_shufflevector(sums, sums, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
}
#elif defined(__AVX2__)
inline __m256 half(const Vec<float>& v, int which) {
  __m256 x;
  std::memcpy(&x, reinterpret_cast<const char*>(&v) + 32 * which, sizeof(x));
  return x;
}
// out[i] = the sum of the lanes of x[i], i < 8.
inline __m256 sums_of_eight(const __m256* x) {
  const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
  const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
  return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
inline Vec<float> sums_of_sixteen(const __m256* x) {
  const __m256 sums[2] = {sums_of_eight(x), sums_of_eight(x + 8)};
  Vec<float> v;
  std::memcpy(&v, sums, sizeof(v));
  return v;
}
template <>
inline Vec<float> lane_sums<float>(const Vec<float>* x) {
  __m256 folded[16];
  for (int i = 0; i < 16; ++i) folded[i] = _mm256_add_ps(half(x[i], 0), half(x[i], 1));
  return sums_of_sixteen(folded);
}
inline Vec<float> half_sums(const Vec<float>* x) {
  __m256 halves[16];
  for (int i = 0; i < 16; ++i) halves[i] = half(x[i / 2], i % 2);
  return sums_of_sixteen(halves);
}
#else
inline Vec<float> half_sums(const Vec<float>* x) {
  Vec<float> out;
  for (int i = 0; i < 8; ++i) {
    float low = 0, high = 0;
    for (int l = 0; l < 8; ++l) {
      low += x[i][l];
      high += x[i][l + 8];
    }
    out[2 * i] = low;
    out[2 * i + 1] = high;
  }
  return out;
}
#endif

// p[0] in the lower half of the lanes, p[1] in the upper half.
inline Vec<float> two_halves(const float* p) {
#ifdef __AVX512F__
  double both;  // one broadcast load, then one shuffle inside the quarters
  std::memcpy(&both, p, sizeof(both));
  const Vec<double> pairs = splat<double>(both);
  Vec<float> v;
  std::memcpy(&v, &pairs, sizeof(v));
  return __builtin_shufflevector(v, v, 0, 0, 0, 0, 4, 4, 4, 4, 9, 9, 9, 9, 13, 13, 13, 13);
#else
  Vec<float> v;
  for (int l = 0; l < 8; ++l) {
    v[l] = p[0];
    v[l + 8] = p[1];
  }
  return v;
#endif
}

// exp, but exactly 0 where it would underflow: a score of -inf has no weight at all.
template <class T>
inline Vec<T> weight(Vec<T> x) {
  return x < splat<T>(Simd<T>::kLow) ? Vec<T>{} : exp<T>(x);
}

// Natural logarithm of positive normal numbers: x = 2^e f with f in [sqrt(1/2), sqrt(2)), ln f by
// the series of 2 artanh((f-1)/(f+1)).
template <class T>
inline Vec<T> log(Vec<T> x) {
  using S = Simd<T>;
  using I = typename S::I;
  constexpr int terms = std::is_same_v<T, float> ? 6 : 12;
  I bits;
  std::memcpy(&bits, &x, sizeof(bits));
  I exponent = (bits >> S::kMantissa) - S::kBias;
  I mantissa = bits - (exponent << S::kMantissa);
  Vec<T> f;
  std::memcpy(&f, &mantissa, sizeof(f));
  const I above = static_cast<I>(f > splat<T>(static_cast<T>(1.41421356237309504880)));
  f = above ? f * static_cast<T>(0.5) : f;
  exponent -= above;  // true is -1
  const Vec<T> t = (f - static_cast<T>(1)) / (f + static_cast<T>(1)), square = t * t;
  Vec<T> sum = {};
  for (int k = terms - 1; k >= 0; --k) sum = sum * square + static_cast<T>(2.0 / (2 * k + 1));
  return __builtin_convertvector(exponent, Vec<T>) * static_cast<T>(0.69314718055994530942) +
         sum * t;
}

}  // namespace gtrain::ops::GTRAIN_CPU
