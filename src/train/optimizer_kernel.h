// The arithmetic of one chunk of an optimizer step, on raw rows. Separate from optimizer.cpp so
// that CMake compiles it with -O3 and without errno for square roots: its loops then vectorise.
#pragma once

#include <cstdint>

namespace gtrain::train::kernel {

template <class T>
struct Adam {
  T clip, decay, shrink, step, rest1, beta2, rest2, root, eps;  // rest = 1 - beta
};
template <class T>
struct Sgd {
  T clip, decay, step, momentum;
};
template <class T>
struct Adagrad {
  T clip, decay, step, eps;
};

// Eight interleaved sums in double, added pairwise.
template <class T>
double sum_of_squares(const T* g, std::int64_t n);

// `largest` is nullptr without AMSGrad.
template <class T>
void adam(const Adam<T>& k, std::int64_t n, const T* g, T* p, T* first, T* second, T* largest);
template <class T>
void sgd(const Sgd<T>& k, std::int64_t n, const T* g, T* p, T* buffer);
template <class T>
void adagrad(const Adagrad<T>& k, std::int64_t n, const T* g, T* p, T* sum);

}  // namespace gtrain::train::kernel
