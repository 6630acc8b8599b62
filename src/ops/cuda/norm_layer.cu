// Layer norm: a power-of-two share of a warp owns a row.
#include <math.h>

#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"

namespace gtrain::ops::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

// Rows of a block side by side, each with 2^log_lanes lanes.
struct RowShape {
  std::int64_t rows, width;
  int log_lanes, threads;

  int block_rows() const { return threads >> log_lanes; }
  unsigned blocks() const { return grid_blocks((rows + block_rows() - 1) / block_rows()); }
};

inline RowShape row_shape(std::int64_t rows, std::int64_t width, int channels,
                          std::size_t element) {
  RowShape shape{rows, width, 0, 128};
  while (shape.log_lanes < 5 && (channels << shape.log_lanes) < width) ++shape.log_lanes;
  while (shape.threads > 32 &&
         static_cast<std::size_t>(shape.block_rows()) * static_cast<std::size_t>(width) * element >
             kEasyShared) {
    shape.threads /= 2;
  }
  return shape;
}

// The sum over the lanes of a row, in all of them.
template <class A>
__device__ __forceinline__ A row_sum(A value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

template <class S, int V>
__global__ void __launch_bounds__(128)
    layer_norm_forward(RowShape shape, Norm<S> norm, ElementMask<compute_t<S>> mask,
                       compute_t<S> eps) {
  using A = compute_t<S>;
  const int lanes = 1 << shape.log_lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int slot = static_cast<int>(threadIdx.x) >> shape.log_lanes;
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * (blockDim.x >> shape.log_lanes) + slot;
  const std::int64_t end = row < shape.rows ? shape.width : 0;
  // Each lane its own channels, as V planes over the rows of the block: neighbouring lanes use
  // neighbouring banks.
  const std::int64_t vectors = shape.width / V;
  const std::int64_t plane = vectors * (blockDim.x >> shape.log_lanes);
  A* const held = dynamic_shared<A>() + slot * vectors;
  A sum = 0;
  for (std::int64_t column = lane * V; column < end; column += lanes * V) {
    A z[V];
    load_input(norm, mask, row, shape.width, column, z);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      held[i * plane + column / V] = z[i];
      sum += z[i];
    }
  }
  const A width = static_cast<A>(shape.width), mean = row_sum(sum, lanes) / width;
  A deviation = 0;
  for (std::int64_t column = lane * V; column < end; column += lanes * V) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A distance = held[i * plane + column / V] - mean;
      deviation += distance * distance;
    }
  }
  const A rstd = A(1) / sqrt(row_sum(deviation, lanes) / width + eps);
  for (std::int64_t column = lane * V; column < end; column += lanes * V) {
    A y[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      y[i] = (held[i * plane + column / V] - mean) * rstd * norm.weight[column + i] +
             norm.bias[column + i];
    }
    store_channels(norm.y + row * shape.width + column, y);
  }
  if (lane == 0 && end > 0) {
    norm.mean[row] = mean;
    norm.rstd[row] = rstd;
  }
}

// Channels [column, column + V) of a row: weight g and xhat.
template <int V, class S>
__device__ __forceinline__ void load_products(const NormGradient<S>& a, std::int64_t at,
                                              std::int64_t column, compute_t<S> mean,
                                              compute_t<S> rstd, compute_t<S> (&weighted)[V],
                                              compute_t<S> (&xhat)[V]) {
  load_channels(a.g + at + column, weighted);
  load_channels(a.z + at + column, xhat);
#pragma unroll
  for (int i = 0; i < V; ++i) {
    weighted[i] *= a.weight[column + i];
    xhat[i] = (xhat[i] - mean) * rstd;
  }
}

template <class S, int V>
__global__ void __launch_bounds__(128)
    layer_norm_gradient(RowShape shape, NormGradient<S> gradient, ElementMask<compute_t<S>> mask) {
  using A = compute_t<S>;
  const int lanes = 1 << shape.log_lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x >> shape.log_lanes) +
                           (threadIdx.x >> shape.log_lanes);
  const bool mine = row < shape.rows;
  const std::int64_t end = mine ? shape.width : 0, at = row * shape.width;
  const A mean = mine ? gradient.mean[row] : A(0), rstd = mine ? gradient.rstd[row] : A(0);
  A m1 = 0, m2 = 0;
  for (std::int64_t column = lane * V; column < end; column += lanes * V) {
    A weighted[V], xhat[V];
    load_products(gradient, at, column, mean, rstd, weighted, xhat);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      m1 += weighted[i];
      m2 += weighted[i] * xhat[i];
    }
  }
  const A width = static_cast<A>(shape.width);
  m1 = row_sum(m1, lanes) / width;
  m2 = row_sum(m2, lanes) / width;
  for (std::int64_t column = lane * V; column < end; column += lanes * V) {
    A dz[V], xhat[V];
    load_products(gradient, at, column, mean, rstd, dz, xhat);
#pragma unroll
    for (int i = 0; i < V; ++i) dz[i] = rstd * (dz[i] - m1 - xhat[i] * m2);
    store_gradient(gradient, mask, row, shape.width, column, dz);
  }
}

template <class S, int V>
void run_forward(std::int64_t rows, std::int64_t width, const Norm<S>& norm, Stream stream) {
  using A = compute_t<S>;
  const RowShape shape = row_shape(rows, width, V, sizeof(A));
  launch(layer_norm_forward<S, V>, dim3(shape.blocks()), dim3(static_cast<unsigned>(shape.threads)),
         sizeof(A) * static_cast<std::size_t>(shape.block_rows() * width), stream, shape, norm,
         ElementMask<A>(norm.mask), static_cast<A>(norm.eps));
}

template <class S, int V>
void run_gradient(std::int64_t rows, std::int64_t width, const NormGradient<S>& gradient,
                  Stream stream) {
  const RowShape shape = row_shape(rows, width, V, 0);
  launch(layer_norm_gradient<S, V>, dim3(shape.blocks()),
         dim3(static_cast<unsigned>(shape.threads)), 0, stream, shape, gradient,
         ElementMask<compute_t<S>>(gradient.mask));
}

}  // namespace

template <class S>
void layer_norm(std::int64_t rows, std::int64_t width, const Norm<S>& norm, Stream stream) {
  if (rows == 0 || width == 0) return;
  if (aligned_rows<S>(width, {norm.x, norm.residual, norm.z, norm.y})) {
    run_forward<S, Pack<S>::kSize>(rows, width, norm, stream);
  } else {
    run_forward<S, 1>(rows, width, norm, stream);
  }
}

template <class S>
void layer_norm_backward(std::int64_t rows, std::int64_t width, const NormGradient<S>& gradient,
                         void* workspace, Stream stream) {
  if (width == 0) return;
  const bool aligned = aligned_rows<S>(width, {gradient.g, gradient.z, gradient.dz, gradient.dx});
  const GradientArguments<S> a{gradient, width, Scope::kRow, nullptr, 0, nullptr};
  run_fold<GradientFold, S>({rows, 1, width, nullptr}, a, aligned, workspace, stream);
  if (rows == 0) return;
  if (aligned) {
    run_gradient<S, Pack<S>::kSize>(rows, width, gradient, stream);
  } else {
    run_gradient<S, 1>(rows, width, gradient, stream);
  }
}

#define GTRAIN_LAYER_NORM(S)                                                                      \
  template void layer_norm<S>(std::int64_t, std::int64_t, const Norm<S>&, Stream);                \
  template void layer_norm_backward<S>(std::int64_t, std::int64_t, const NormGradient<S>&, void*, \
                                       Stream);
GTRAIN_LAYER_NORM(float)
GTRAIN_LAYER_NORM(double)
GTRAIN_LAYER_NORM(bf16)
GTRAIN_LAYER_NORM(f16)
#undef GTRAIN_LAYER_NORM

}  // namespace gtrain::ops::cuda
