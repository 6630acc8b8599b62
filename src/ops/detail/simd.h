// 64-byte vectors through the compiler's vector extension: one AVX-512 register, two AVX2 registers
// or four SSE registers, from the same source. Only src/ops/cpu includes this.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "ops/detail/random.h"
#include "ops/detail/storage.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(64)));
  typedef float Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
  typedef std::int32_t I __attribute__((vector_size(64)));
  typedef std::uint32_t U __attribute__((vector_size(64)));  // one draw a lane
  typedef std::int32_t S __attribute__((vector_size(64)));
  static constexpr int kLanes = 16;
  static constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kLow = -87.0f, kHigh = 88.0f;
  static constexpr int kTaylor = 7;
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
};

template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(64)));
  typedef double Unaligned __attribute__((vector_size(64), aligned(8), may_alias));
  typedef std::int64_t I __attribute__((vector_size(64)));
  typedef std::uint32_t U __attribute__((vector_size(32)));  // one draw a lane
  typedef std::int32_t S __attribute__((vector_size(32)));
  static constexpr int kLanes = 8;
  static constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kLow = -708.0, kHigh = 709.0;
  static constexpr int kTaylor = 13;
  static constexpr double kLn2High = 0.693147180369123816490, kLn2Low = 1.90821492927058770002e-10;
};

template <class T>
using Vec = typename Simd<T>::V;

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
}
template <class T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(p) = v;
}

// 16 numbers of 16 bits, widened to float and back. Beyond AVX-512 the compiler's vectors do.
typedef std::uint16_t Bits16 __attribute__((vector_size(32)));
typedef std::uint16_t UnalignedBits16 __attribute__((vector_size(32), aligned(2), may_alias));

inline Vec<float> widened(detail::Bf16, Bits16 bits) {
  using U = Simd<float>::U;
  const U wide = __builtin_convertvector(bits, U) << 16;
  Vec<float> x;
  std::memcpy(&x, &wide, sizeof(x));
  return x;
}
inline Bits16 narrowed(detail::Bf16, Vec<float> x) {
  using U = Simd<float>::U;
  U u;
  std::memcpy(&u, &x, sizeof(u));
  const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const U bits = x != x ? U{} + 0x7fc0u : rounded;
  return __builtin_convertvector(bits, Bits16);
}
inline Vec<float> load(const detail::Bf16* p) {
  return widened(detail::Bf16{}, *reinterpret_cast<const UnalignedBits16*>(p));
}
inline void store(detail::Bf16* p, Vec<float> x) {
  *reinterpret_cast<UnalignedBits16*>(p) = narrowed(detail::Bf16{}, x);
}
#ifdef __AVX512F__  // the masked forms: GCC 12 warns about the plain ones
inline Vec<float> widened(detail::Half, Bits16 bits) {
  return _mm512_maskz_cvtph_ps(0xffff, reinterpret_cast<__m256i>(bits));
}
inline Bits16 narrowed(detail::Half, Vec<float> x) {
  return reinterpret_cast<Bits16>(
      _mm512_maskz_cvtps_ph(0xffff, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline Vec<float> load(const detail::Half* p) {
  return widened(detail::Half{}, *reinterpret_cast<const UnalignedBits16*>(p));
}
inline void store(detail::Half* p, Vec<float> x) {
  *reinterpret_cast<UnalignedBits16*>(p) = narrowed(detail::Half{}, x);
}
// The first `count` of 16; the rest 0 or left alone, and not touched in memory.
template <class S>
inline Vec<float> load_some(const S* p, int count) {
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  return widened(S{}, reinterpret_cast<Bits16>(_mm256_maskz_loadu_epi16(mask, p)));
}
template <class S>
inline void store_some(S* p, Vec<float> x, int count) {
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(narrowed(S{}, x)));
}
#else
inline Vec<float> load(const detail::Half* p) {
  Vec<float> x = {};
  for (int i = 0; i < Simd<float>::kLanes; ++i) x[i] = detail::widen(p[i]);
  return x;
}
inline void store(detail::Half* p, Vec<float> x) {
  for (int i = 0; i < Simd<float>::kLanes; ++i) detail::narrow(x[i], p[i]);
}
#endif

template <class T>
inline Vec<T> splat(T x) {
  return x - Vec<T>{};  // x - 0 is x, whatever x is: no instruction
}
template <class T>
inline T sum_lanes(Vec<T> v) {
  T s = 0;
  for (int i = 0; i < Simd<T>::kLanes; ++i) s += v[i];
  return s;
}

// e^x by 2^n e^r, |r| <= ln2/2, r's series to the type's precision. Below kLow the result is the
// smallest normal's neighbourhood, i.e. 0 for a softmax weight.
template <class T>
inline Vec<T> exp(Vec<T> x) {
  using S = Simd<T>;
  using I = typename S::I;
  x = x < splat<T>(S::kLow) ? splat<T>(S::kLow) : x;
  x = x > splat<T>(S::kHigh) ? splat<T>(S::kHigh) : x;
  const Vec<T> shifted = x * static_cast<T>(1.44269504088896340736) + S::kMagic;
  const Vec<T> n = shifted - S::kMagic;
  const Vec<T> r = (x - n * S::kLn2High) - n * S::kLn2Low;
  Vec<T> p = splat<T>(1);
  for (int k = S::kTaylor; k >= 1; --k) p = p * r * static_cast<T>(1.0 / k) + static_cast<T>(1);
  const I exponent = (__builtin_convertvector(n, I) + S::kBias) << S::kMantissa;
  Vec<T> scale;
  std::memcpy(&scale, &exponent, sizeof(scale));
  return p * scale;
}

template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  return splat<T>(1) / (splat<T>(1) + exp<T>(-x));
}

// Keep factors of a row: 0 where its draw lies below the threshold, else keep_scale. Writes whole
// blocks of kLanes.
template <class T>
inline void draw_factors(std::uint64_t row, std::uint32_t threshold, T keep_scale, std::int64_t n,
                         T* factor) {
  constexpr int w = Simd<T>::kLanes;
  using U = typename Simd<T>::U;
  using S = typename Simd<T>::S;
  U index = {};
  for (int l = 0; l < w; ++l) index[l] = static_cast<std::uint32_t>(l);
  for (std::int64_t j = 0; j < n; j += w) {
    const S keep = detail::draw<U>(row, index) >= (U{} + threshold);  // 0 or -1
    store<T>(factor + j, __builtin_convertvector(-keep, Vec<T>) * keep_scale);
    index += static_cast<std::uint32_t>(w);
  }
}

}  // namespace gtrain::ops::GTRAIN_CPU
