// The 16-bit number types of the CPU kernels, as bits: stored in 16, computed in float. Converting
// rounds to the nearest, ties to even; NaN stays NaN and what is too large becomes infinite. No
// torch here: the kernels are compiled without it.
#pragma once

#include <cstdint>
#include <cstring>

namespace gtrain::ops::detail {

struct Bf16 {
  std::uint16_t bits;
};
struct Half {
  std::uint16_t bits;
};

// The type that kernels over storage S compute in.
template <class S>
struct ComputeOf {
  using Type = S;
};
template <>
struct ComputeOf<Bf16> {
  using Type = float;
};
template <>
struct ComputeOf<Half> {
  using Type = float;
};
template <class S>
using Compute = typename ComputeOf<S>::Type;

inline float bits_to_float(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline std::uint32_t float_to_bits(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(Bf16 x) { return bits_to_float(static_cast<std::uint32_t>(x.bits) << 16); }
inline float widen(Half x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7fffu) << 13;
  // The product with 2^112 moves the exponent's bias and normalises what is subnormal.
  const float value = (x.bits & 0x7c00u) == 0x7c00u ? bits_to_float(magnitude | 0x7f800000u)
                                                    : bits_to_float(magnitude) * 0x1p112f;
  return bits_to_float(float_to_bits(value) | sign);
}

inline void narrow(float x, float& out) { out = x; }
inline void narrow(double x, double& out) { out = x; }
inline void narrow(float x, Bf16& out) {
  const std::uint32_t u = float_to_bits(x);
  out.bits = x != x ? std::uint16_t{0x7fc0}
                    : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
inline void narrow(float x, Half& out) {
  const std::uint32_t u = float_to_bits(x), sign = (u >> 16) & 0x8000u;
  const std::uint32_t magnitude = u & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude >= 0x47800000u) {  // 65536 and more
    half = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: the sum's own rounding places the bits
    half = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  out.bits = static_cast<std::uint16_t>(half | sign);
}

}  // namespace gtrain::ops::detail
