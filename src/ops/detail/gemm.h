// Dense products inside a task: the BLAS that libtorch carries, held to one thread, or our own
// kernel where that is faster (cpu/gemm.cpp).
#pragma once

#include <cstdint>

namespace gtrain::ops::detail {

// y [m, o] = x [m, k] · w [o, k]^T. `wt`: w transposed to [k, o], needed where
// wants_transposed<T>().
template <class T>
bool wants_transposed();
template <class T>
void product_nt(std::int64_t m, std::int64_t o, std::int64_t k, const T* x, const T* w, const T* wt,
                T* y);

// dx [m, k] = dy [m, o] · w [o, k]
template <class T>
void product_nn(std::int64_t m, std::int64_t k, std::int64_t o, const T* dy, const T* w, T* dx);

// dw rows [first, last) of [o, k] = dy[:, first:last]^T · x, over m rows
template <class T>
void product_tn(std::int64_t m, std::int64_t o, std::int64_t k, std::int64_t first,
                std::int64_t last, const T* dy, const T* x, T* dw);

}  // namespace gtrain::ops::detail
