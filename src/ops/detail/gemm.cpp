#include "ops/detail/gemm.h"

#include <c10/util/Exception.h>

#include <limits>
#include <type_traits>

#include "ops/detail/kernels.h"

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

// BLAS refuses a leading dimension of 0, which a matrix without columns has.
int leading(std::int64_t columns) { return columns > 0 ? static_cast<int>(columns) : 1; }

int extent(std::int64_t n) {
  TORCH_CHECK(n <= std::numeric_limits<int>::max(), "[linear] ", n,
              " rows; the BLAS multiplies fewer than 2^31");
  return static_cast<int>(n);
}

// True where our own kernel did the work.
template <class T>
bool own_product(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t a_row,
                 std::int64_t a_column, const T* b, T* c) {
  if constexpr (std::is_same_v<T, float>) {
    if (const auto product = kernels<float>().product) {
      product({m, n, k, a, a_row, a_column, b, n, c, n});
      return true;
    }
  }
  return false;
}

}  // namespace

template <class T>
bool wants_transposed() {
  return kernels<T>().product != nullptr;
}

// BLAS is column-major: a row-major [r, c] matrix is its [c, r] one, so each product is transposed.
template <class T>
void product_nt(std::int64_t m, std::int64_t o, std::int64_t k, const T* x, const T* w, const T* wt,
                T* y) {
  if (wt != nullptr && own_product(m, o, k, x, k, std::int64_t{1}, wt, y)) return;
  const SingleThreaded guard;
  const int mi = extent(m), oi = extent(o), ki = extent(k);
  gemm('T', 'N', oi, mi, ki, w, leading(k), x, leading(k), y, leading(o));
}
template <class T>
void product_nn(std::int64_t m, std::int64_t k, std::int64_t o, const T* dy, const T* w, T* dx) {
  if (own_product(m, k, o, dy, o, std::int64_t{1}, w, dx)) return;
  const SingleThreaded guard;
  const int mi = extent(m), oi = extent(o), ki = extent(k);
  gemm('N', 'N', ki, mi, oi, w, leading(k), dy, leading(o), dx, leading(k));
}
template <class T>
void product_tn(std::int64_t m, std::int64_t o, std::int64_t k, std::int64_t first,
                std::int64_t last, const T* dy, const T* x, T* dw) {
  if (own_product(last - first, k, m, dy + first, std::int64_t{1}, o, x, dw + first * k)) return;
  const SingleThreaded guard;
  const int mi = extent(m), ki = extent(k);
  gemm('N', 'T', ki, extent(last - first), mi, x, leading(k), dy + first, leading(o),
       dw + first * k, leading(k));
}

template bool wants_transposed<float>();
template bool wants_transposed<double>();
template void product_nt(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         const float*, float*);
template void product_nt(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         const double*, double*);
template void product_nn(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void product_nn(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void product_tn(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         const float*, const float*, float*);
template void product_tn(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         const double*, const double*, double*);

}  // namespace gtrain::ops::detail
