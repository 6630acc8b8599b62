// The element-wise parts of linear attention.
#include "ops/cpu/kernel.h"
#include "ops/detail/columns.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::Compute;
using Index = std::int64_t;

template <class S>
void pack(Index n, Index d, const S* x, Index stride, Compute<S> scale, Compute<S>* out,
          Index width, Compute<S>* half) {
  using T = Compute<S>;
  for (Index i = 0; i < n; ++i) {
    Vec<T> squares = {};
    T* row = out + i * width;
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        const Vec<T> value = columns.load(x + i * stride, u) * scale;
        squares += value * value;
        columns.store(row, u, value);
      }
    });
    if (half != nullptr) half[i] = static_cast<T>(0.5) * sum_lanes<T>(squares);
    if (width > d) row[d] = T{1};
  }
}

// NaN may lose to a number: what is wrong in the input shows through its own feature.
template <class T>
T maximum(Index count, const T* u) {
  constexpr Index w = Simd<T>::kLanes;
  Vec<T> best = splat<T>(u[0]);
  Index c = 0;
  for (; c + w <= count; c += w) {
    const Vec<T> value = load(u + c);
    best = value <= best ? best : value;
  }
  T result = best[0];
  const auto take = [&](T value) { result = value <= result ? result : value; };
  for (int l = 1; l < w; ++l) take(best[l]);
  for (; c < count; ++c) take(u[c]);
  return result;
}

template <class T>
inline void features_of_row(const detail::FavorFeatures<T>& f, Index i, T maximum) {
  const T shift = f.half[i] + maximum;
  T* row = f.u + i * f.m;
  for_columns<T>(f.m, [&](auto columns) {
    for (int u = 0; u < decltype(columns)::kVectors; ++u) {
      const Vec<T> e = exp<T>(columns.load(row, u) - shift);
      columns.store(row, u, f.ratio * (e + f.eps));
    }
  });
}

template <class T>
void query_features(const detail::FavorFeatures<T>& f) {
  for (Index i = 0; i < f.n; ++i) features_of_row(f, i, maximum(f.m, f.u + i * f.m));
}
template <class T>
void key_features(const detail::FavorFeatures<T>& f, T maximum) {
  for (Index i = 0; i < f.n; ++i) features_of_row(f, i, maximum);
}

template <class T>
void features_backward(Index n, Index m, const T* phi, T floor, T* dphi, T* sums) {
  for (Index i = 0; i < n; ++i) {
    Vec<T> total = {};
    for_columns<T>(m, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        const Vec<T> e = columns.clear(columns.load(phi + i * m, u) - floor);
        const Vec<T> du = columns.load(dphi + i * m, u) * e;
        total += du;
        columns.store(dphi + i * m, u, du);
      }
    });
    sums[i] = sum_lanes<T>(total);
  }
}

template <class S>
void divide(Index n, Index d, const Compute<S>* o, S* out, Index stride, Compute<S>* denominator,
            Index denominator_stride) {
  using T = Compute<S>;
  for (Index i = 0; i < n; ++i) {
    const T* row = o + i * (d + 1);
    const T inverse = T{1} / row[d];
    denominator[i * denominator_stride] = row[d];
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        columns.store(out + i * stride, u, columns.load(row, u) * inverse);
      }
    });
  }
}

template <class S>
void divide_backward(Index n, Index d, const S* g, const S* out, Index stride,
                     const Compute<S>* denominator, Index denominator_stride, Compute<S>* dout) {
  using T = Compute<S>;
  for (Index i = 0; i < n; ++i) {
    const T inverse = T{1} / denominator[i * denominator_stride];
    T* row = dout + i * (d + 1);
    Vec<T> dot = {};
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        const Vec<T> share = columns.load(g + i * stride, u) * inverse;
        dot += share * columns.load(out + i * stride, u);
        columns.store(row, u, share);
      }
    });
    row[d] = -sum_lanes<T>(dot);
  }
}

template <class S>
void unpack(Index n, Index d, const Compute<S>* dx, Index width, const Compute<S>* x,
            const Compute<S>* sums, Compute<S> scale, S* out, Index stride) {
  using T = Compute<S>;
  for (Index i = 0; i < n; ++i) {
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        Vec<T> value = columns.load(dx + i * width, u);
        if (sums != nullptr) value -= sums[i] * columns.load(x + i * d, u);
        columns.store(out + i * stride, u, scale * value);
      }
    });
  }
}

}  // namespace

template <class S>
void add_favor_kernels(detail::FavorKernels<S>& table) {
  using T = Compute<S>;
  table.pack = pack<S>;
  table.maximum = maximum<T>;
  table.query_features = query_features<T>;
  table.key_features = key_features<T>;
  table.features_backward = features_backward<T>;
  table.divide = divide<S>;
  table.divide_backward = divide_backward<S>;
  table.unpack = unpack<S>;
}

template void add_favor_kernels(detail::FavorKernels<float>&);
template void add_favor_kernels(detail::FavorKernels<double>&);
template void add_favor_kernels(detail::FavorKernels<detail::Bf16>&);
template void add_favor_kernels(detail::FavorKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
