// The device interface of ops/cuda/device.cuh on the emulator. Only device.cuh includes it. What
// touches memory is behind plain functions of the emulator, so that it is checked whoever calls.
#pragma once

#include <tuple>

namespace gtrain::simt {

enum class Element { kBf16, kF16, kTf32 };

// 16 bytes of global or shared memory, aligned; `out` and `in` are the thread's own.
void load_global_16(void* out, const void* p);
void store_global_16(void* p, const void* in);
void load_shared_16(void* out, const void* p);
void store_shared_16(void* p, const void* in);

// D = A B + C of the whole warp; `depth` 8 or 16.
void multiply(float* c, const std::uint32_t* a, const std::uint32_t* b, int depth, Element element,
              Site site);
void load_matrix(std::uint32_t* r, int matrices, bool transposed, const void* row, Site site);

void copy_async(void* shared, const void* global, int source_bytes);
void copy_commit();
void copy_wait(int newest);

void* shared_memory();

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes;
  std::size_t shared_limit;  // what the kernel has opted in to
};
constexpr std::size_t kSharedOptIn = 163 * 1024;  // of sm_80; sm_90 has 227 KiB

// Runs call(parameters) once per thread. Kernel and size of the parameters are for findings.
void launch(const LaunchShape& shape, void (*call)(const void*), const void* parameters,
            std::size_t parameter_bytes, const void* kernel);

template <class... P>
struct KernelCall {
  void (*kernel)(P...);
  std::tuple<P...> parameters;
};

}  // namespace gtrain::simt

namespace gtrain::ops::cuda {

inline float fast_exp2(float x) { return std::exp2(x); }

template <class S>
inline Pack<S> load_pack(const S* p) {
  Pack<S> pack;
  simt::load_global_16(&pack, p);
  return pack;
}
template <class S>
inline void store_pack(S* p, const Pack<S>& pack) {
  simt::store_global_16(p, &pack);
}
template <class S>
inline Pack<S> load_shared_pack(const S* p) {
  Pack<S> pack;
  simt::load_shared_16(&pack, p);
  return pack;
}
template <class S>
inline void store_shared_pack(S* p, const Pack<S>& pack) {
  simt::store_shared_16(p, &pack);
}

inline void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         bf16, GTRAIN_SITE) {
  simt::multiply(c, a, b, 16, simt::Element::kBf16, site);
}
inline void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         f16, GTRAIN_SITE) {
  simt::multiply(c, a, b, 16, simt::Element::kF16, site);
}
inline void mma_m16n8k8(float (&c)[4], const std::uint32_t (&a)[2], const std::uint32_t (&b)[1],
                        bf16, GTRAIN_SITE) {
  simt::multiply(c, a, b, 8, simt::Element::kBf16, site);
}
inline void mma_m16n8k8(float (&c)[4], const std::uint32_t (&a)[2], const std::uint32_t (&b)[1],
                        f16, GTRAIN_SITE) {
  simt::multiply(c, a, b, 8, simt::Element::kF16, site);
}
inline void mma_m16n8k8_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2], GTRAIN_SITE) {
  simt::multiply(c, a, b, 8, simt::Element::kTf32, site);
}

inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, GTRAIN_SITE) {
  simt::load_matrix(r, 4, false, row, site);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row, GTRAIN_SITE) {
  simt::load_matrix(r, 4, true, row, site);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row, GTRAIN_SITE) {
  simt::load_matrix(r, 2, false, row, site);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row, GTRAIN_SITE) {
  simt::load_matrix(r, 2, true, row, site);
}

inline void cp_async_16(void* shared, const void* global, int source_bytes) {
  simt::copy_async(shared, global, source_bytes);
}
inline void cp_async_commit() { simt::copy_commit(); }
template <int N>
inline void cp_async_wait() {
  simt::copy_wait(N);
}

template <class T>
inline T* dynamic_shared() {
  return static_cast<T*>(simt::shared_memory());
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream,
            A... args) {
  const simt::KernelCall<P...> call{kernel, std::tuple<P...>(static_cast<P>(args)...)};
  simt::launch(
      {grid, block, shared_bytes, simt::kSharedOptIn},
      [](const void* p) {
        const auto& c = *static_cast<const simt::KernelCall<P...>*>(p);
        std::apply(c.kernel, c.parameters);
      },
      &call, sizeof(call), reinterpret_cast<const void*>(kernel));
}

}  // namespace gtrain::ops::cuda
