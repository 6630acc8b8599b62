// Vectors as wide as the instruction set's registers: what varlen attention computes with. Wider
// ones (detail/simd.h) are split by the compiler, but not kept in registers, which costs a tiled
// product an order of magnitude with AVX2.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace gtrain::ops::GTRAIN_CPU::varlen {

#if defined(__AVX512F__)
#define GTRAIN_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define GTRAIN_VECTOR_BYTES 32
#else
#define GTRAIN_VECTOR_BYTES 16
#endif

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(GTRAIN_VECTOR_BYTES)));
  typedef float Unaligned __attribute__((vector_size(GTRAIN_VECTOR_BYTES), aligned(4), may_alias));
  typedef std::int32_t I __attribute__((vector_size(GTRAIN_VECTOR_BYTES)));
  typedef std::uint32_t U __attribute__((vector_size(GTRAIN_VECTOR_BYTES)));  // one draw a lane
  static constexpr int kLanes = GTRAIN_VECTOR_BYTES / 4;
  static constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int kMantissa = 23;
};

template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(GTRAIN_VECTOR_BYTES)));
  typedef double Unaligned __attribute__((vector_size(GTRAIN_VECTOR_BYTES), aligned(8), may_alias));
  typedef std::int64_t I __attribute__((vector_size(GTRAIN_VECTOR_BYTES)));
  typedef std::uint32_t U __attribute__((vector_size(GTRAIN_VECTOR_BYTES / 2)));
  static constexpr int kLanes = GTRAIN_VECTOR_BYTES / 8;
  static constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissa = 52;
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
template <class T>
inline Vec<T> splat(T x) {
  Vec<T> v;
  for (int l = 0; l < Simd<T>::kLanes; ++l) v[l] = x;
  return v;
}

}  // namespace gtrain::ops::GTRAIN_CPU::varlen
