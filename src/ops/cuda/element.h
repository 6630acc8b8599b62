// The element types kernels store: float, double, and the 16-bit bf16 and f16, which are widened
// to float on load and rounded to nearest even on store. Plain C++17: launchers' headers, their
// callers and the kernels share it; a bf16* may be an at::BFloat16*, bit for bit.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define GTRAIN_DEVICE_INLINE __host__ __device__ __forceinline__
#else
#define GTRAIN_DEVICE_INLINE inline
#endif

namespace gtrain::ops::cuda {

// A stream of the CUDA runtime (cudaStream_t) for those who must not name its type.
using Stream = void*;

struct bf16 {
  std::uint16_t bits;
};

struct f16 {
  std::uint16_t bits;
};

namespace detail {

GTRAIN_DEVICE_INLINE float float_of(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
#endif
}

GTRAIN_DEVICE_INLINE std::uint32_t bits_of(float value) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(value);
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
#endif
}

// value / 2^shift to nearest even.
inline std::uint32_t shift_to_even(std::uint32_t value, int shift) {
  const std::uint32_t half = (1u << (shift - 1)) - 1 + ((value >> shift) & 1);
  return (value + half) >> shift;
}

inline std::uint16_t half_bits(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or more
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14: normal
    half = shift_to_even(magnitude - 0x38000000u, 13);
  } else if (magnitude >= 0x33000000u) {  // 2^-25: half of the smallest
    const int exponent = static_cast<int>(magnitude >> 23);
    half = shift_to_even((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent);
  } else {
    half = 0;
  }
  return static_cast<std::uint16_t>(sign | half);
}

inline float half_value(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float small = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
  return sign ? -small : small;
}

}  // namespace detail

GTRAIN_DEVICE_INLINE float to_float(bf16 x) {
  return detail::float_of(static_cast<std::uint32_t>(x.bits) << 16);
}
GTRAIN_DEVICE_INLINE float to_float(f16 x) {
#ifdef __CUDA_ARCH__
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  return detail::half_value(x.bits);
#endif
}
GTRAIN_DEVICE_INLINE float to_float(float x) { return x; }
GTRAIN_DEVICE_INLINE double to_float(double x) { return x; }

namespace detail {

// A class and not a function: float and double must not be told apart by overload on a value.
template <class S>
struct Narrow;
template <>
struct Narrow<float> {
  GTRAIN_DEVICE_INLINE static float from(float x) { return x; }
};
template <>
struct Narrow<double> {
  GTRAIN_DEVICE_INLINE static double from(double x) { return x; }
};
template <>
struct Narrow<bf16> {
  GTRAIN_DEVICE_INLINE static bf16 from(float x) {
    bf16 out;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
#else
    const std::uint32_t bits = bits_of(x);
    out.bits = static_cast<std::uint16_t>(
        (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : shift_to_even(bits, 16));
#endif
    return out;
  }
};
template <>
struct Narrow<f16> {
  GTRAIN_DEVICE_INLINE static f16 from(float x) {
    f16 out;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
#else
    out.bits = half_bits(x);
#endif
    return out;
  }
};

}  // namespace detail

// What S is computed in: float, for double double.
template <class S>
using compute_t = decltype(to_float(S{}));

// from_float<S>(x): x stored as S.
template <class S>
GTRAIN_DEVICE_INLINE S from_float(compute_t<S> x) {
  return detail::Narrow<S>::from(x);
}

// Two values as one register of a matrix fragment, the first in the low half.
template <class S>
GTRAIN_DEVICE_INLINE std::uint32_t pack_pair(float low, float high) {
  return static_cast<std::uint32_t>(from_float<S>(low).bits) |
         static_cast<std::uint32_t>(from_float<S>(high).bits) << 16;
}

}  // namespace gtrain::ops::cuda
