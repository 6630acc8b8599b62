// The device interface: all that a kernel of this folder uses beyond plain C++17, so that one
// source is compiled by nvcc and, for the tests, by a host compiler against the emulator in
// tests/support/simt (which offers the CUDA names used here: threadIdx, __syncthreads,
// __shfl_*_sync, atomicAdd …). A .cu file includes this, ops/detail/random.h and its own header.
//
//   Pack<S>              16 bytes of S: kSize elements, p[i]
//   load_pack/store_pack global memory, 16-byte aligned; loads take the read-only path, so never of
//                        what the same kernel writes
//   load_shared_pack, store_shared_pack   the same for shared memory
//   load_vector<N>       N elements of global memory, widened; N*sizeof(S) a multiple of 16
//   mma_m16n8k16(c, a, b, bf16{} | f16{}), mma_m16n8k8(…), mma_m16n8k8_tf32   D = A B + C, fp32 C
//   ldmatrix_x4/x2(_trans)   8x8 matrices of 16-bit elements; lane i addresses row i%8 of matrix
//   i/8 cp_async_16(shared, global, bytes)   16 bytes of which `bytes` are read, the rest zero
//   dynamic_shared<T>()  the block's shared memory
//   launch(kernel, grid, block, shared_bytes, stream, args…)
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef __CUDACC__
#include "support/simt/simt.h"
#endif

#include "ops/cuda/element.h"

namespace gtrain::ops::cuda {

// Bytes of shared memory that a block may have without opting in; of sm_80 and later, three such
// blocks fit on a multiprocessor.
constexpr std::size_t kEasyShared = 48 * 1024;

// Blocks along an axis of the grid: what 32 bits do not hold stays too many, for the launch to
// refuse.
inline unsigned grid_blocks(std::int64_t blocks) {
  return static_cast<unsigned>(blocks < UINT32_MAX ? blocks : UINT32_MAX);
}

template <class S>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(S));
  S value[kSize];
  GTRAIN_DEVICE_INLINE S& operator[](int i) { return value[i]; }
  GTRAIN_DEVICE_INLINE const S& operator[](int i) const { return value[i]; }
};

}  // namespace gtrain::ops::cuda

#ifdef __CUDACC__
#include "ops/cuda/device_ptx.cuh"
#else
#include "support/simt/device_host.h"
#endif

namespace gtrain::ops::cuda {

template <int N, class S>
__device__ __forceinline__ void load_vector(const S* source, compute_t<S> (&out)[N]) {
  constexpr int kSize = Pack<S>::kSize;
  static_assert(N % kSize == 0, "whole packs of 16 bytes");
#pragma unroll
  for (int i = 0; i < N; i += kSize) {
    const Pack<S> pack = load_pack(source + i);
#pragma unroll
    for (int j = 0; j < kSize; ++j) out[i + j] = to_float(pack[j]);
  }
}

template <int N, class S>
__device__ __forceinline__ void store_vector(S* target, const compute_t<S> (&in)[N]) {
  constexpr int kSize = Pack<S>::kSize;
  static_assert(N % kSize == 0, "whole packs of 16 bytes");
#pragma unroll
  for (int i = 0; i < N; i += kSize) {
    Pack<S> pack;
#pragma unroll
    for (int j = 0; j < kSize; ++j) pack[j] = from_float<S>(in[i + j]);
    store_pack(target + i, pack);
  }
}

}  // namespace gtrain::ops::cuda
