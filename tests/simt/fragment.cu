#include "ops/cuda/device.cuh"
#include "simt/fragment.h"

namespace gtrain::simt_fragment {

using namespace ops::cuda;

namespace {

__device__ void load_c(float (&c)[4], const float* from) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i) c[i] = from[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2];
}

__device__ void store_c(const float (&c)[4], float* to) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i) to[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = c[i];
}

template <class S>
__global__ void multiply_kernel(int depth, bool b_in_rows, const S* a, const S* b, float* c) {
  S* a_shared = dynamic_shared<S>();
  S* b_shared = a_shared + 16 * depth;
  const int lane = threadIdx.x;
  for (int i = lane; i < 16 * depth; i += 32) a_shared[i] = a[i];
  for (int i = lane; i < 8 * depth; i += 32) b_shared[i] = b[i];
  __syncwarp();
  float sum[4];
  load_c(sum, c);
  // Matrices of ldmatrix: rows 0-7 and 8-15 of the first 8 columns of A, then of the next 8.
  const S* a_row = a_shared + lane % 16 * depth + (depth == 16 ? lane / 16 * 8 : 0);
  const S* b_row = b_in_rows ? b_shared + lane % depth * 8
                             : b_shared + lane % 8 * depth + (depth == 16 ? lane / 8 % 2 * 8 : 0);
  std::uint32_t b_part[2];
  if (b_in_rows) {
    ldmatrix_x2_trans(b_part, b_row);
  } else {
    ldmatrix_x2(b_part, b_row);
  }
  if (depth == 16) {
    std::uint32_t a_part[4];
    ldmatrix_x4(a_part, a_row);
    mma_m16n8k16(sum, a_part, b_part, S{});
  } else {
    std::uint32_t a_part[2];
    ldmatrix_x2(a_part, a_row);
    const std::uint32_t b_first[1] = {b_part[0]};
    mma_m16n8k8(sum, a_part, b_first, S{});
  }
  store_c(sum, c);
}

__global__ void multiply_tf32_kernel(const float* a, const float* b, float* c) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  float sum[4];
  load_c(sum, c);
  std::uint32_t a_part[4], b_part[2];
  for (int i = 0; i < 4; ++i) {
    a_part[i] = __float_as_uint(a[(g + 8 * (i % 2)) * 8 + t + 4 * (i / 2)]);
  }
  for (int i = 0; i < 2; ++i) b_part[i] = __float_as_uint(b[(t + 4 * i) * 8 + g]);
  mma_m16n8k8_tf32(sum, a_part, b_part);
  store_c(sum, c);
}

}  // namespace

template <class S>
void multiply(int depth, bool b_in_rows, const S* a, const S* b, float* c) {
  launch(multiply_kernel<S>, dim3(1), dim3(32), static_cast<std::size_t>(depth) * 48, nullptr,
         depth, b_in_rows, a, b, c);
}
template void multiply<bf16>(int, bool, const bf16*, const bf16*, float*);
template void multiply<f16>(int, bool, const f16*, const f16*, float*);

void multiply_tf32(const float* a, const float* b, float* c) {
  launch(multiply_tf32_kernel, dim3(1), dim3(32), 0, nullptr, a, b, c);
}

}  // namespace gtrain::simt_fragment
