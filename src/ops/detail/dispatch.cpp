// Chooses the kernel table for this machine, once.
#include "ops/detail/kernels.h"

namespace gtrain::ops {

namespace baseline {
template <class T>
detail::Kernels<T> make_table();
}
#ifdef GTRAIN_X86
namespace avx2 {
template <class T>
detail::Kernels<T> make_table();
}
namespace avx512 {
template <class T>
detail::Kernels<T> make_table();
}
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

}  // namespace

template <class T>
const Kernels<T>& kernels() {
  static const Kernels<T> table = [] {
#ifdef GTRAIN_X86
    if (level() == Level::kAvx512) return avx512::make_table<T>();
    if (level() == Level::kAvx2) return avx2::make_table<T>();
#endif
    return baseline::make_table<T>();
  }();
  return table;
}
template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();
template const Kernels<Bf16>& kernels<Bf16>();
template const Kernels<Half>& kernels<Half>();

const char* instruction_set() {
  switch (level()) {
    case Level::kAvx512:
      return "avx512";
    case Level::kAvx2:
      return "avx2";
    case Level::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace detail
}  // namespace gtrain::ops
