// Chooses the kernels for this machine, once.
#include "ops/detail/kernels.h"
#include "ops/detail/sparse_product.h"

namespace gtrain::ops {

// What src/ops/cpu defines for each instruction set.
namespace baseline {
template <class T>
detail::Kernels<T> make_table();
template <class T>
void sparse_product(const detail::SparseProduct<T>& product);
}  // namespace baseline
#ifdef GTRAIN_X86
namespace avx2 {
template <class T>
detail::Kernels<T> make_table();
template <class T>
void sparse_product(const detail::SparseProduct<T>& product);
}  // namespace avx2
namespace avx512 {
template <class T>
detail::Kernels<T> make_table();
template <class T>
void sparse_product(const detail::SparseProduct<T>& product);
}  // namespace avx512
#else
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif

namespace detail {
namespace {

enum class Level { kBaseline, kAvx2, kAvx512 };

Level level() {
#ifdef GTRAIN_X86
  static const Level best = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      return Level::kAvx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Level::kAvx2;
    return Level::kBaseline;
  }();
  return best;
#else
  return Level::kBaseline;
#endif
}

// Of a function's versions, the one for this machine.
template <class Function>
Function best(Function baseline, Function avx2, Function avx512) {
  switch (level()) {
    case Level::kAvx512:
      return avx512;
    case Level::kAvx2:
      return avx2;
    case Level::kBaseline:
      break;
  }
  return baseline;
}

}  // namespace

template <class T>
const Kernels<T>& kernels() {
  static const Kernels<T> table =
      best(baseline::make_table<T>, avx2::make_table<T>, avx512::make_table<T>)();
  return table;
}
template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();
template const Kernels<Bf16>& kernels<Bf16>();
template const Kernels<Half>& kernels<Half>();

template <class T>
SparseProductKernel<T> sparse_product_kernel() {
  return best(baseline::sparse_product<T>, avx2::sparse_product<T>, avx512::sparse_product<T>);
}
template SparseProductKernel<float> sparse_product_kernel();
template SparseProductKernel<double> sparse_product_kernel();

const char* instruction_set() { return best("baseline", "avx2", "avx512"); }

}  // namespace detail
}  // namespace gtrain::ops
