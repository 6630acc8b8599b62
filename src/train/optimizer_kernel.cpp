#include "optimizer_kernel.h"

namespace gtrain::train::kernel {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

}  // namespace

template <class T>
double sum_of_squares(const T* g, std::int64_t n) {
  double s[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j)
      s[j] += static_cast<double>(g[i + j]) * static_cast<double>(g[i + j]);
  }
  for (; i < n; ++i) s[i % 8] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

template <class T>
void adam(const Adam<T>& k, std::int64_t n, const T* __restrict g, T* __restrict p,
          T* __restrict first, T* __restrict second, T* __restrict largest) {
  const Adam<T> c = k;
  if (largest == nullptr) {
    for (std::int64_t i = 0; i < n; ++i) {
      const T grad = g[i] * c.clip + c.decay * p[i];
      const T m = first[i] + c.rest1 * (grad - first[i]);
      const T v = second[i] * c.beta2 + grad * grad * c.rest2;
      first[i] = m;
      second[i] = v;
      p[i] = p[i] * c.shrink - c.step * m / (root(v) / c.root + c.eps);
    }
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const T grad = g[i] * c.clip + c.decay * p[i];
    const T m = first[i] + c.rest1 * (grad - first[i]);
    const T v = second[i] * c.beta2 + grad * grad * c.rest2;
    const T w = v > largest[i] ? v : largest[i];
    first[i] = m;
    second[i] = v;
    largest[i] = w;
    p[i] = p[i] * c.shrink - c.step * m / (root(w) / c.root + c.eps);
  }
}

template <class T>
void sgd(const Sgd<T>& k, std::int64_t n, const T* __restrict g, T* __restrict p,
         T* __restrict buffer) {
  const Sgd<T> c = k;
  for (std::int64_t i = 0; i < n; ++i) {
    const T b = c.momentum * buffer[i] + (g[i] * c.clip + c.decay * p[i]);
    buffer[i] = b;
    p[i] -= c.step * b;
  }
}

template <class T>
void adagrad(const Adagrad<T>& k, std::int64_t n, const T* __restrict g, T* __restrict p,
             T* __restrict sum) {
  const Adagrad<T> c = k;
  for (std::int64_t i = 0; i < n; ++i) {
    const T grad = g[i] * c.clip + c.decay * p[i];
    const T s = sum[i] + grad * grad;
    sum[i] = s;
    p[i] -= c.step * grad / (root(s) + c.eps);
  }
}

template double sum_of_squares(const float*, std::int64_t);
template double sum_of_squares(const double*, std::int64_t);
template void adam(const Adam<float>&, std::int64_t, const float*, float*, float*, float*, float*);
template void adam(const Adam<double>&, std::int64_t, const double*, double*, double*, double*,
                   double*);
template void sgd(const Sgd<float>&, std::int64_t, const float*, float*, float*);
template void sgd(const Sgd<double>&, std::int64_t, const double*, double*, double*);
template void adagrad(const Adagrad<float>&, std::int64_t, const float*, float*, float*);
template void adagrad(const Adagrad<double>&, std::int64_t, const double*, double*, double*);

}  // namespace gtrain::train::kernel
