// Exponentials and logarithms to base 2, by the type they are computed in. The float one is the
// hardware's approximation (2 ulp).
#pragma once

#include <cmath>

#include "ops/cuda/device.cuh"

namespace gtrain::ops::cuda {

constexpr double kLog2E = 1.44269504088896340736;

__device__ __forceinline__ float exp2_of(float x) { return fast_exp2(x); }
__device__ __forceinline__ double exp2_of(double x) { return exp2(x); }
__device__ __forceinline__ float log2_of(float x) { return log2f(x); }
__device__ __forceinline__ double log2_of(double x) { return log2(x); }

}  // namespace gtrain::ops::cuda
