// The device interface of device.cuh for nvcc: thin wrappers around PTX of sm_80 and later. Only
// device.cuh includes it.
#pragma once

#include <cuda_runtime.h>

namespace gtrain::ops::cuda {

__device__ __forceinline__ float fast_exp2(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

namespace detail {

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

template <class S>
__device__ __forceinline__ Pack<S> pack_of(uint4 words) {
  Pack<S> out;
  memcpy(&out, &words, sizeof(out));
  return out;
}

template <class S>
__device__ __forceinline__ uint4 words_of(const Pack<S>& pack) {
  uint4 out;
  memcpy(&out, &pack, sizeof(out));
  return out;
}

}  // namespace detail

template <class S>
__device__ __forceinline__ Pack<S> load_pack(const S* p) {
  uint4 w;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
      : "l"(__cvta_generic_to_global(p)));
  return detail::pack_of<S>(w);
}

template <class S>
__device__ __forceinline__ void store_pack(S* p, const Pack<S>& pack) {
  const uint4 w = detail::words_of(pack);
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)),
               "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w)
               : "memory");
}

template <class S>
__device__ __forceinline__ Pack<S> load_shared_pack(const S* p) {
  uint4 w;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "r"(detail::shared_address(p))
               : "memory");
  return detail::pack_of<S>(w);
}

template <class S>
__device__ __forceinline__ void store_shared_pack(S* p, const Pack<S>& pack) {
  const uint4 w = detail::words_of(pack);
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(detail::shared_address(p)),
               "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w)
               : "memory");
}

#define GTRAIN_MMA_K16(type, tag)                                                        \
  __device__ __forceinline__ void mma_m16n8k16(float(&c)[4], const std::uint32_t(&a)[4], \
                                               const std::uint32_t(&b)[2], tag) {        \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                  \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"  \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                        \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));    \
  }
#define GTRAIN_MMA_K8(type, tag)                                                        \
  __device__ __forceinline__ void mma_m16n8k8(float(&c)[4], const std::uint32_t(&a)[2], \
                                              const std::uint32_t(&b)[1], tag) {        \
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32." type "." type                  \
                 ".f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"             \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                       \
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));                                    \
  }

GTRAIN_MMA_K16("bf16", bf16)
GTRAIN_MMA_K16("f16", f16)
GTRAIN_MMA_K8("bf16", bf16)
GTRAIN_MMA_K8("f16", f16)
#undef GTRAIN_MMA_K16
#undef GTRAIN_MMA_K8

// Operands are the bits of floats; the hardware ignores their low 13.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#define GTRAIN_LDMATRIX_X4(name, modifier)                                                      \
  __device__ __forceinline__ void name(std::uint32_t(&r)[4], const void* row) {                 \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" modifier ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                               \
                 : "r"(detail::shared_address(row))                                             \
                 : "memory");                                                                   \
  }
#define GTRAIN_LDMATRIX_X2(name, modifier)                                              \
  __device__ __forceinline__ void name(std::uint32_t(&r)[2], const void* row) {         \
    asm volatile("ldmatrix.sync.aligned.m8n8.x2" modifier ".shared.b16 {%0, %1}, [%2];" \
                 : "=r"(r[0]), "=r"(r[1])                                               \
                 : "r"(detail::shared_address(row))                                     \
                 : "memory");                                                           \
  }

GTRAIN_LDMATRIX_X4(ldmatrix_x4, "")
GTRAIN_LDMATRIX_X4(ldmatrix_x4_trans, ".trans")
GTRAIN_LDMATRIX_X2(ldmatrix_x2, "")
GTRAIN_LDMATRIX_X2(ldmatrix_x2_trans, ".trans")
#undef GTRAIN_LDMATRIX_X4
#undef GTRAIN_LDMATRIX_X2

__device__ __forceinline__ void cp_async_16(void* shared, const void* global, int source_bytes) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(source_bytes)
      : "memory");
}

__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char gtrain_dynamic_shared[];
  return reinterpret_cast<T*>(gtrain_dynamic_shared);
}

// An error stays pending in the runtime (cudaGetLastError), for the caller to collect.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            A... args) {
  if (shared_bytes > kEasyShared &&
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(shared_bytes)) != cudaSuccess) {
    return;
  }
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(static_cast<P>(args)...);
}

}  // namespace gtrain::ops::cuda
