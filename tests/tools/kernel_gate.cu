// Kernels that offend the gates of tools/kernel_report.py, one each, and a clean one: they show
// that the gates close. They are compiled, never run.
#include "ops/cuda/device.cuh"

namespace gtrain::ops::cuda {

__global__ void clean(const float* x, float* y) {
  store_pack(y + 4 * threadIdx.x, load_pack(x + 4 * threadIdx.x));
}

// More live values than 32 registers hold.
__global__ void __launch_bounds__(1024, 2) spilled(const float* x, float* y) {
  float value[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) value[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) y[(63 - i) * 1024 + threadIdx.x] = value[i] * value[(i * 7) % 64];
}

// Written, then read at an index that is known only at run time.
__global__ void local_array(const float* x, float* y, int at) {
  float value[128];
  for (int i = 0; i < 128; ++i) value[i] = x[i] * 2;
  value[at] = 1;
  y[threadIdx.x] = value[(at + threadIdx.x) & 127];
}

__global__ void shared_float(const float* x, float* y) {
  float* const sum = dynamic_shared<float>();
  atomicAdd(&sum[threadIdx.x & 3], x[threadIdx.x]);
  __syncthreads();
  y[threadIdx.x] = sum[threadIdx.x & 3];
}

__global__ void global_float(const float* x, float* y) { atomicAdd(y, x[threadIdx.x]); }

__global__ void stray_wide(const float* x, float* y) {
  y[threadIdx.x] = static_cast<float>(x[threadIdx.x] * 0.1);
}

}  // namespace gtrain::ops::cuda
