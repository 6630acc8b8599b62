// V neighbouring channels of one row in a thread's registers, widened: V * sizeof(S) is 16 bytes,
// or V is 1 where width or pointers do not allow that.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "ops/cuda/device.cuh"

namespace gtrain::ops::cuda {

template <int V, class S>
__device__ __forceinline__ void load_channels(const S* p, compute_t<S> (&out)[V]) {
  if constexpr (V == 1) {
    out[0] = to_float(*p);
  } else {
    load_vector<V>(p, out);
  }
}

template <int V, class S>
__device__ __forceinline__ void store_channels(S* p, const compute_t<S> (&in)[V]) {
  if constexpr (V == 1) {
    *p = from_float<S>(in[0]);
  } else {
    store_vector<V>(p, in);
  }
}

// V values of type T that are not elements (statistics, indices): plain accesses.
template <int V, class T>
__device__ __forceinline__ void store_values(T* p, const T (&in)[V]) {
#pragma unroll
  for (int i = 0; i < V; ++i) p[i] = in[i];
}

// Whether rows of `width` elements that begin at these addresses can be read 16 bytes at a time;
// absent matrices are null.
template <class S>
inline bool aligned_rows(std::int64_t width, std::initializer_list<const void*> matrices) {
  bool aligned = width % Pack<S>::kSize == 0;
  for (const void* p : matrices) aligned = aligned && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
  return aligned;
}

}  // namespace gtrain::ops::cuda
