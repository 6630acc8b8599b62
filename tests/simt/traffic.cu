#include "ops/cuda/device.cuh"
#include "simt/traffic.h"

namespace gtrain::simt_traffic {

using namespace ops::cuda;

namespace {

__global__ void strided_kernel(const float* in, float* out, int stride) {
  out[threadIdx.x] = in[threadIdx.x * stride];
}

__global__ void strided_shared_kernel(int stride, float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x * stride] = 1;
  out[threadIdx.x] = shared[threadIdx.x * stride];
}

__global__ void column_kernel(int stride, const unsigned short* in, float* out) {
  bf16* shared = dynamic_shared<bf16>();
  const int t = threadIdx.x;
  for (int i = t; i < 32 * stride; i += 32) shared[i].bits = in[i];
  __syncwarp();
  std::uint32_t r[4];
  ldmatrix_x4(r, shared + t * stride);
  out[t] = static_cast<float>(r[0] & 1u);
}

__global__ void vector_shared_kernel(float* out) {
  float* shared = dynamic_shared<float>();
  Pack<float> pack;
  for (int i = 0; i < 4; ++i) pack[i] = static_cast<float>(i);
  store_shared_pack(shared + 4 * threadIdx.x, pack);
  out[threadIdx.x] = load_shared_pack(shared + 4 * threadIdx.x)[1];
}

std::size_t floats(int count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

void strided_load(const float* in, float* out, int stride) {
  launch(strided_kernel, dim3(1), dim3(32), 0, nullptr, in, out, stride);
}
void strided_shared(int stride, float* out) {
  launch(strided_shared_kernel, dim3(1), dim3(32), floats(32 * stride), nullptr, stride, out);
}
void column_of_matrices(int stride, const unsigned short* in, float* out) {
  launch(column_kernel, dim3(1), dim3(32), 64 * static_cast<std::size_t>(stride), nullptr, stride,
         in, out);
}
void vector_shared(float* out) {
  launch(vector_shared_kernel, dim3(1), dim3(32), floats(128), nullptr, out);
}

}  // namespace gtrain::simt_traffic
