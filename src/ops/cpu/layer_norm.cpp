// Normalisation of rows by statistics of their own or of their graph.
#include "ops/cpu/kernel.h"
#include "ops/detail/columns.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::Compute;
using Index = std::int64_t;

template <class S>
void row_moments(Index begin, Index end, Index d, const S* z, Compute<S>* moments) {
  using T = Compute<S>;
  for (Index i = begin; i < end; ++i) {
    const S* zi = z + i * d;
    Vec<T> sum = {}, squares = {};
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) sum += columns.load(zi, u);
    });
    const T mean = sum_lanes<T>(sum) / static_cast<T>(d);
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        const Vec<T> deviation = columns.clear(columns.load(zi, u) - mean);
        squares += deviation * deviation;
      }
    });
    moments[2 * i] = mean;
    moments[2 * i + 1] = sum_lanes<T>(squares);
  }
}

template <class S>
void row_norm(Index begin, Index end, Index d, const detail::RowNorm<S>& a) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      const T mean = a.mean[i], rstd = a.rstd[i];
      for (int u = 0; u < V; ++u) {
        const Vec<T> unit = (columns.load(a.z + i * d, u) - mean) * rstd;
        columns.store(a.y + i * d, u, unit * columns.load(a.weight, u) + columns.load(a.bias, u));
      }
    }
  });
}

template <class S>
void row_norm_sums(Index begin, Index end, Index d, const detail::RowNorm<S>& a) {
  using T = Compute<S>;
  for (Index i = begin; i < end; ++i) {
    const S *zi = a.z + i * d, *gi = a.g + i * d;
    const T mean = a.mean[i], rstd = a.rstd[i];
    Vec<T> sum = {}, product = {};
    for_columns<T>(d, [&](auto columns) {
      for (int u = 0; u < decltype(columns)::kVectors; ++u) {
        const Vec<T> g = columns.load(gi, u) * columns.load(a.weight, u);
        sum += g;
        product += g * ((columns.load(zi, u) - mean) * rstd);  // g is 0 beyond the part
      }
    });
    a.sums[2 * i] = sum_lanes<T>(sum);
    a.sums[2 * i + 1] = sum_lanes<T>(product);
  }
}

template <class S>
void row_norm_backward(Index begin, Index end, Index d, const detail::RowNorm<S>& a) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> dweight[V] = {}, dbias[V] = {};
    for (Index i = begin; i < end; ++i) {
      const T mean = a.mean[i], rstd = a.rstd[i];
      for (int u = 0; u < V; ++u) {
        const Vec<T> g = columns.load(a.g + i * d, u);
        const Vec<T> unit = (columns.load(a.z + i * d, u) - mean) * rstd;
        dweight[u] += g * unit;
        dbias[u] += g;
        const Vec<T> inner = g * columns.load(a.weight, u) - a.sums[2 * i];
        columns.store(a.dz + i * d, u, (inner - unit * a.sums[2 * i + 1]) * rstd);
      }
    }
    for (int u = 0; u < V; ++u) columns.store(a.dweight, u, dweight[u]);
    for (int u = 0; u < V; ++u) columns.store(a.dbias, u, dbias[u]);
  });
}

}  // namespace

template <class S>
void add_layer_norm_kernels(detail::RowKernels<S>& table) {
  table.row_moments = row_moments<S>;
  table.row_norm = row_norm<S>;
  table.row_norm_sums = row_norm_sums<S>;
  table.row_norm_backward = row_norm_backward<S>;
}

template void add_layer_norm_kernels(detail::RowKernels<float>&);
template void add_layer_norm_kernels(detail::RowKernels<double>&);
template void add_layer_norm_kernels(detail::RowKernels<detail::Bf16>&);
template void add_layer_norm_kernels(detail::RowKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
