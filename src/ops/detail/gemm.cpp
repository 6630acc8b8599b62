#include "ops/detail/gemm.h"

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
// MKL's per-thread switch; absent where libtorch carries another BLAS.
int MKL_Set_Num_Threads_Local(int) __attribute__((weak));
}

namespace gtrain::ops::detail {
namespace {

class SingleThreaded {
 public:
  SingleThreaded() {
    if (MKL_Set_Num_Threads_Local != nullptr) before_ = MKL_Set_Num_Threads_Local(1);
  }
  ~SingleThreaded() {
    if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(before_);
  }
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int before_ = 0;
};

void gemm(char ta, char tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
          float* c, int ldc) {
  const float one = 1, zero = 0;
  sgemm_(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}
void gemm(char ta, char tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb,
          double* c, int ldc) {
  const double one = 1, zero = 0;
  dgemm_(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}

}  // namespace

// BLAS is column-major: a row-major [r, c] matrix is its [c, r] one, so each product is transposed.
template <class T>
void product_nt(std::int64_t m, std::int64_t o, std::int64_t k, const T* x, const T* w, T* y) {
  const SingleThreaded guard;
  const int mi = static_cast<int>(m), oi = static_cast<int>(o), ki = static_cast<int>(k);
  gemm('T', 'N', oi, mi, ki, w, ki, x, ki, y, oi);
}
template <class T>
void product_nn(std::int64_t m, std::int64_t k, std::int64_t o, const T* dy, const T* w, T* dx) {
  const SingleThreaded guard;
  const int mi = static_cast<int>(m), oi = static_cast<int>(o), ki = static_cast<int>(k);
  gemm('N', 'N', ki, mi, oi, w, ki, dy, oi, dx, ki);
}
template <class T>
void product_tn(std::int64_t m, std::int64_t o, std::int64_t k, std::int64_t first,
                std::int64_t last, const T* dy, const T* x, T* dw) {
  const SingleThreaded guard;
  const int mi = static_cast<int>(m), oi = static_cast<int>(o), ki = static_cast<int>(k);
  gemm('N', 'T', ki, static_cast<int>(last - first), mi, x, ki, dy + first, oi, dw + first * k, ki);
}

template void product_nt(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void product_nt(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void product_nn(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void product_nn(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void product_tn(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         const float*, const float*, float*);
template void product_tn(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         const double*, const double*, double*);

}  // namespace gtrain::ops::detail
