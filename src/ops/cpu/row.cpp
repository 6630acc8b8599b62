// Row-wise work: residual with dropout, batch statistics, normalisation, bias and ReLU, pooling.
#include "ops/cpu/kernel.h"
#include "ops/detail/random.h"
#include "ops/detail/simd.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using Index = std::int64_t;

template <class T>
void residual_dropout(Index begin, Index end, Index d, const T* x, const T* residual,
                      std::uint32_t threshold, T keep_scale, std::uint64_t key, T* z) {
  constexpr Index w = Simd<T>::kLanes;
  for (Index i = begin; i < end; ++i) {
    const T* xi = x + i * d;
    T* zi = z + i * d;
    if (threshold == 0) {
      std::copy_n(xi, d, zi);
    } else {
      const std::uint64_t row = detail::row_key(key, static_cast<std::uint64_t>(i));
      T factor[16 * w];
      for (Index first = 0; first < d; first += 16 * w) {
        const Index count = std::min(16 * w, d - first);
        draw_factors(detail::row_key(row, static_cast<std::uint64_t>(first)), threshold, keep_scale,
                     count, factor);
        for (Index c = 0; c < count; ++c) zi[first + c] = xi[first + c] * factor[c];
      }
    }
    if (residual != nullptr) {
      for (Index c = 0; c < d; ++c) zi[c] += residual[i * d + c];
    }
  }
}

template <class T>
void moments(Index begin, Index end, Index d, const T* z, T* mean, T* m2) {
  std::fill_n(mean, d, T{0});
  std::fill_n(m2, d, T{0});
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) mean[c] += z[i * d + c];
  }
  const T inverse = T{1} / static_cast<T>(end - begin);
  for (Index c = 0; c < d; ++c) mean[c] *= inverse;
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) {
      const T deviation = z[i * d + c] - mean[c];
      m2[c] += deviation * deviation;
    }
  }
}

template <class T>
void scale_shift(Index begin, Index end, Index d, const T* z, const T* mean, const T* scale,
                 const T* shift, T* y) {
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) {
      y[i * d + c] = (z[i * d + c] - mean[c]) * scale[c] + shift[c];
    }
  }
}

template <class T>
void norm_sums(Index begin, Index end, Index d, const T* g, const T* z, const T* mean, T* sum_g,
               T* sum_gz) {
  std::fill_n(sum_g, d, T{0});
  std::fill_n(sum_gz, d, T{0});
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) {
      sum_g[c] += g[i * d + c];
      sum_gz[c] += g[i * d + c] * (z[i * d + c] - mean[c]);
    }
  }
}

template <class T>
void norm_backward(Index begin, Index end, Index d, const T* g, const T* z, const T* mean,
                   const T* a, const T* b, const T* c0, T* dz) {
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) {
      dz[i * d + c] = a[c] * g[i * d + c] + b[c] * (z[i * d + c] - mean[c]) + c0[c];
    }
  }
}

template <class T>
void column_sum(Index begin, Index end, Index d, const T* g, T* sum) {
  std::fill_n(sum, d, T{0});
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < d; ++c) sum[c] += g[i * d + c];
  }
}

template <class T>
void bias_relu(Index begin, Index end, Index d, const T* bias, bool relu, T* y) {
  for (Index i = begin; i < end; ++i) {
    T* yi = y + i * d;
    if (bias != nullptr) {
      for (Index c = 0; c < d; ++c) yi[c] += bias[c];
    }
    if (relu) {
      for (Index c = 0; c < d; ++c) yi[c] = yi[c] > 0 ? yi[c] : T{0};
    }
  }
}

template <class T>
void relu_backward(Index begin, Index end, Index d, const T* y, const T* dy, T* dz) {
  for (Index x = begin * d; x < end * d; ++x) dz[x] = y[x] > 0 ? dy[x] : T{0};
}

template <class T>
void segment_sum(Index begin, Index end, Index d, const T* x, const Index* start, bool mean,
                 T* out) {
  for (Index g = begin; g < end; ++g) {
    T* o = out + g * d;
    std::fill_n(o, d, T{0});
    for (Index i = start[g]; i < start[g + 1]; ++i) {
      for (Index c = 0; c < d; ++c) o[c] += x[i * d + c];
    }
    const Index count = start[g + 1] - start[g];
    if (mean && count > 1) {
      for (Index c = 0; c < d; ++c) o[c] /= static_cast<T>(count);
    }
  }
}

}  // namespace

template <class T>
void add_row_kernels(detail::Kernels<T>& table) {
  table.residual_dropout = residual_dropout<T>;
  table.moments = moments<T>;
  table.scale_shift = scale_shift<T>;
  table.norm_sums = norm_sums<T>;
  table.norm_backward = norm_backward<T>;
  table.column_sum = column_sum<T>;
  table.bias_relu = bias_relu<T>;
  table.relu_backward = relu_backward<T>;
  table.segment_sum = segment_sum<T>;
}

template void add_row_kernels<float>(detail::Kernels<float>&);
template void add_row_kernels<double>(detail::Kernels<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
