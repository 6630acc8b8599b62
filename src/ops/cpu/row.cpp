// Row-wise work: residual with dropout, activations, normalisation over columns and over rows.
#include <cmath>

#include "ops/cpu/kernel.h"
#include "ops/detail/columns.h"
#include "ops/detail/random.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::Compute;
using detail::Keep;
using Index = std::int64_t;

// Keep factors of the kLanes columns from `column` on of the row with stream `row`.
template <class T>
inline Vec<T> factors(const Keep<T>& keep, std::uint64_t row, Index column) {
  using U = typename Simd<T>::U;
  U index = {};
  for (int l = 0; l < Simd<T>::kLanes; ++l) index[l] = static_cast<std::uint32_t>(l);
  index += static_cast<std::uint32_t>(column);
  const typename Simd<T>::S kept = detail::draw<U>(row, index) >= (U{} + keep.threshold);  // 0, -1
  return __builtin_convertvector(-kept, Vec<T>) * keep.scale;
}

template <class T>
inline std::uint64_t stream(const Keep<T>& keep, Index row) {
  return detail::row_key(keep.key, static_cast<std::uint64_t>(row));
}

template <class S>
void residual_dropout(Index begin, Index end, Index d, const S* x, const S* residual,
                      Keep<Compute<S>> keep, S* z) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      const std::uint64_t row = stream(keep, i);
      for (int u = 0; u < V; ++u) {
        Vec<T> value = columns.load(x + i * d, u);
        if (keep.threshold != 0) {
          value *= factors<T>(keep, row, columns.first + u * Simd<T>::kLanes);
        }
        if (residual != nullptr) value += columns.load(residual + i * d, u);
        columns.store(z + i * d, u, value);
      }
    }
  });
}

template <class S>
void moments(Index begin, Index end, Index d, const S* z, Compute<S>* mean, Compute<S>* m2) {
  using T = Compute<S>;
  const T inverse = T{1} / static_cast<T>(end - begin);
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> sum[V] = {}, squares[V] = {};
    for (Index i = begin; i < end; ++i) {
      for (int u = 0; u < V; ++u) sum[u] += columns.load(z + i * d, u);
    }
    for (int u = 0; u < V; ++u) sum[u] *= inverse;
    Vec<T> rest[V] = {};
    for (Index i = begin; i < end; ++i) {
      for (int u = 0; u < V; ++u) {
        const Vec<T> deviation = columns.load(z + i * d, u) - sum[u];
        rest[u] += deviation;
        squares[u] += deviation * deviation;
      }
    }
    // The running sum of values that hardly vary is rounded the same way at every row: what is left
    // of it stands in the deviations.
    for (int u = 0; u < V; ++u) {
      squares[u] -= rest[u] * rest[u] * inverse;
      sum[u] += rest[u] * inverse;
    }
    for (int u = 0; u < V; ++u) columns.store(mean, u, sum[u]);
    for (int u = 0; u < V; ++u) columns.store(m2, u, squares[u]);
  });
}

template <class S>
void scale_shift(Index begin, Index end, Index d, const S* z, const Compute<S>* mean,
                 const Compute<S>* scale, const Compute<S>* shift, S* y) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      for (int u = 0; u < V; ++u) {
        const Vec<T> centred = columns.load(z + i * d, u) - columns.load(mean, u);
        columns.store(y + i * d, u, centred * columns.load(scale, u) + columns.load(shift, u));
      }
    }
  });
}

template <class S>
void norm_sums(Index begin, Index end, Index d, const S* g, const S* z, const Compute<S>* mean,
               Compute<S>* sum_g, Compute<S>* sum_gz) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    constexpr Index kBlock = 16;  // of rows that a running sum adds, as in column_sum
    Vec<T> sum[V] = {}, product[V] = {};
    for (Index first = begin; first < end; first += kBlock) {
      const Index last = first + kBlock < end ? first + kBlock : end;
      Vec<T> part[V] = {}, part_product[V] = {};
      for (Index i = first; i < last; ++i) {
        for (int u = 0; u < V; ++u) {
          const Vec<T> gi = columns.load(g + i * d, u);
          part[u] += gi;
          part_product[u] += gi * (columns.load(z + i * d, u) - columns.load(mean, u));
        }
      }
      for (int u = 0; u < V; ++u) sum[u] += part[u];
      for (int u = 0; u < V; ++u) product[u] += part_product[u];
    }
    for (int u = 0; u < V; ++u) columns.store(sum_g, u, sum[u]);
    for (int u = 0; u < V; ++u) columns.store(sum_gz, u, product[u]);
  });
}

template <class S>
void norm_backward(Index begin, Index end, Index d, const S* g, const S* z, const Compute<S>* mean,
                   const Compute<S>* a, const Compute<S>* b, const Compute<S>* c, S* dz) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      for (int u = 0; u < V; ++u) {
        const Vec<T> centred = columns.load(z + i * d, u) - columns.load(mean, u);
        columns.store(dz + i * d, u,
                      columns.load(a, u) * columns.load(g + i * d, u) +
                          columns.load(b, u) * centred + columns.load(c, u));
      }
    }
  });
}

template <class S>
void column_sum(Index begin, Index end, Index d, const S* g, Compute<S>* sum) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    // Blocks, so that the rounding grows with their number and length, not with the rows: a bias
    // before a batch norm has a gradient that is exactly 0.
    constexpr Index kBlock = 64;
    Vec<T> total[V] = {};
    for (Index first = begin; first < end; first += kBlock) {
      const Index last = first + kBlock < end ? first + kBlock : end;
      Vec<T> part[V] = {};
      for (Index i = first; i < last; ++i) {
        for (int u = 0; u < V; ++u) part[u] += columns.load(g + i * d, u);
      }
      for (int u = 0; u < V; ++u) total[u] += part[u];
    }
    for (int u = 0; u < V; ++u) columns.store(sum, u, total[u]);
  });
}

// Phi(-|x|) of the normal distribution. In float: erfc(a) = t exp(P(t) - a²) with t = 1 / (1 + a/2)
// and P of degree 8 through the Chebyshev nodes for a in [0, 10]; relative error 3e-7, so that the
// tail keeps its small values.
inline Vec<float> normal_tail(Vec<float> x) {
  constexpr float kFit[] = {-1.26516393f, 0.992420115f, 0.443751748f,  -0.255569154f, 0.90205776f,
                            -1.85884014f, 1.54626181f,  -0.591264413f, 0.0863460842f};
  const Vec<float> a = (x < 0 ? -x : x) * 0.70710678f;
  const Vec<float> t = 1.0f / (1.0f + 0.5f * a);
  Vec<float> p = splat<float>(kFit[8]);
  for (int k = 7; k >= 0; --k) p = p * t + kFit[k];
  return 0.5f * t * exp<float>(p - a * a);
}
inline Vec<double> normal_tail(Vec<double> x) {
  Vec<double> tail;
  for (int l = 0; l < Simd<double>::kLanes; ++l) {
    tail[l] = 0.5 * std::erfc(std::abs(x[l]) * 0.70710678118654752440);
  }
  return tail;
}

template <class T>
inline Vec<T> normal_cdf(Vec<T> x) {
  const Vec<T> tail = normal_tail(x);
  return x < 0 ? tail : 1 - tail;
}

enum : int { kNone = 0, kRelu = 1, kGelu = 2 };

template <class T>
inline Vec<T> act(Vec<T> x, int activation) {
  if (activation == kRelu) return x < 0 ? Vec<T>{} : x;
  if (activation == kGelu) return x * normal_cdf<T>(x);
  return x;
}
template <class T>
inline Vec<T> act_slope(Vec<T> x, int activation) {
  if (activation == kRelu) return x > 0 ? splat<T>(1) : Vec<T>{};
  if (activation == kGelu) {
    const Vec<T> density =
        static_cast<T>(0.39894228040143267794) * exp<T>(static_cast<T>(-0.5) * x * x);
    return normal_cdf<T>(x) + x * density;
  }
  return splat<T>(1);
}

template <class S>
void activate(Index begin, Index end, Index d, const detail::Activate<S>& a) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      const std::uint64_t row = stream(a.keep, i);
      for (int u = 0; u < V; ++u) {
        Vec<T> value = columns.load(a.x + i * d, u);
        if (a.bias != nullptr) value += columns.load(a.bias, u);
        value = act<T>(value, a.activation);
        if (a.keep.threshold != 0) {
          value *= factors<T>(a.keep, row, columns.first + u * Simd<T>::kLanes);
        }
        if (a.residual != nullptr) value += columns.load(a.residual + i * d, u);
        columns.store(a.y + i * d, u, value);
      }
    }
  });
}

template <class S>
void activate_backward(Index begin, Index end, Index d, const detail::Activate<S>& a) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> sum[V] = {};
    for (Index i = begin; i < end; ++i) {
      const std::uint64_t row = stream(a.keep, i);
      for (int u = 0; u < V; ++u) {
        Vec<T> value = columns.load(a.x + i * d, u);
        if (a.bias != nullptr) value += columns.load(a.bias, u);
        value = act_slope<T>(value, a.activation) * columns.load(a.g + i * d, u);
        if (a.keep.threshold != 0) {
          value *= factors<T>(a.keep, row, columns.first + u * Simd<T>::kLanes);
        }
        sum[u] += value;
        columns.store(a.dx + i * d, u, value);
      }
    }
    for (int u = 0; u < V; ++u) columns.store(a.sums, u, sum[u]);
  });
}

template <class S>
void bias_relu(Index begin, Index end, Index d, const Compute<S>* bias, bool relu, S* y) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      for (int u = 0; u < V; ++u) {
        Vec<T> value = columns.load(y + i * d, u);
        if (bias != nullptr) value += columns.load(bias, u);
        columns.store(y + i * d, u, act<T>(value, relu ? kRelu : kNone));
      }
    }
  });
}

template <class S>
void relu_backward(Index begin, Index end, Index d, const S* y, const S* dy, S* dz) {
  using T = Compute<S>;
  for_columns<T>((end - begin) * d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (int u = 0; u < V; ++u) {
      const Vec<T> g = columns.load(dy + begin * d, u);
      columns.store(dz + begin * d, u, columns.load(y + begin * d, u) > 0 ? g : Vec<T>{});
    }
  });
}

}  // namespace

template <class S>
void add_row_kernels(detail::RowKernels<S>& table) {
  table.residual_dropout = residual_dropout<S>;
  table.moments = moments<S>;
  table.scale_shift = scale_shift<S>;
  table.norm_sums = norm_sums<S>;
  table.norm_backward = norm_backward<S>;
  table.column_sum = column_sum<S>;
  table.activate = activate<S>;
  table.activate_backward = activate_backward<S>;
  table.bias_relu = bias_relu<S>;
  table.relu_backward = relu_backward<S>;
}

template void add_row_kernels(detail::RowKernels<float>&);
template void add_row_kernels(detail::RowKernels<double>&);
template void add_row_kernels(detail::RowKernels<detail::Bf16>&);
template void add_row_kernels(detail::RowKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
