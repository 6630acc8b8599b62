#include <math.h>

#include "ops/cuda/fold.cuh"
#include "ops/cuda/mask.cuh"
#include "ops/cuda/row.h"

namespace gtrain::ops::cuda {
namespace {

template <class A>
__device__ __forceinline__ A normal_distribution(A x) {
  return A(0.5) * (A(1) + erf(x * A(0.70710678118654752440)));
}

template <class A>
__device__ __forceinline__ A activate(Activation activation, A x) {
  if (activation == Activation::kRelu) return x > A(0) ? x : A(0);
  if (activation == Activation::kGelu) return x * normal_distribution(x);
  return x;
}

template <class A>
__device__ __forceinline__ A derivative(Activation activation, A x) {
  if (activation == Activation::kRelu) return x > A(0) ? A(1) : A(0);
  if (activation == Activation::kGelu) {
    const A density = A(0.39894228040143267794) * exp(A(-0.5) * x * x);
    return normal_distribution(x) + x * density;
  }
  return A(1);
}

// x + bias
template <int V, class S>
__device__ __forceinline__ void load_biased(const ActivateRows<S>& a, std::int64_t row,
                                            std::int64_t column, compute_t<S> (&x)[V]) {
  load_channels(a.x + row * a.width + column, x);
  if (a.bias != nullptr) {
    compute_t<S> bias[V];
    load_channels(a.bias + column, bias);
#pragma unroll
    for (int i = 0; i < V; ++i) x[i] += bias[i];
  }
}

template <class S>
struct ForwardArguments {
  ActivateRows<S> rows;
  S* y;
};

template <class S, int V>
struct ForwardMap {
  using A = compute_t<S>;
  ActivateRows<S> a;
  ElementMask<A> mask;
  S* y;

  explicit ForwardMap(const ForwardArguments<S>& arguments)
      : a(arguments.rows), mask(arguments.rows.mask), y(arguments.y) {}
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A x[V];
    load_biased(a, row, column, x);
#pragma unroll
    for (int i = 0; i < V; ++i) x[i] = activate(a.activation, x[i]);
    mask.apply(row, column, x);
    if (a.residual != nullptr) {
      A residual[V];
      load_channels(a.residual + row * a.width + column, residual);
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] += residual[i];
    }
    store_channels(y + row * a.width + column, x);
  }
};

template <class S>
struct BackwardArguments {
  ActivateRows<S> rows;
  ActivateRowsGradient<S> gradient;
};

template <class S, int V>
struct BackwardMap {
  using A = compute_t<S>;
  ActivateRows<S> a;
  ActivateRowsGradient<S> gradient;
  ElementMask<A> mask;

  explicit BackwardMap(const BackwardArguments<S>& arguments)
      : a(arguments.rows), gradient(arguments.gradient), mask(arguments.rows.mask) {}
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void gradient_of(std::int64_t row, std::int64_t column, A (&g)[V]) const {
    load_channels(gradient.g + row * a.width + column, g);
    mask.apply(row, column, g);
    if (a.activation != Activation::kNone) {
      A x[V];
      load_biased(a, row, column, x);
#pragma unroll
      for (int i = 0; i < V; ++i) g[i] *= derivative(a.activation, x[i]);
    }
    store_channels(gradient.dx + row * a.width + column, g);
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A g[V];
    gradient_of(row, column, g);
  }
};

template <class S, int V>
struct BiasFold : BackwardMap<S, V>, Sum<compute_t<S>> {
  using A = compute_t<S>;
  using State = SumState<A>;
  static constexpr int kUnroll = 2;

  explicit BiasFold(const BackwardArguments<S>& arguments) : BackwardMap<S, V>(arguments) {}
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A g[V];
    this->gradient_of(row, column, g);
#pragma unroll
    for (int i = 0; i < V; ++i) state[i].sum += g[i];
  }
  __device__ void finish(const State (&state)[V], std::int64_t, std::int64_t column,
                         std::int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) this->gradient.dbias[column + i] = state[i].sum;
  }
};

}  // namespace

template <class S>
void activate_rows(const ActivateRows<S>& a, S* y, Stream stream) {
  const bool aligned = aligned_rows<S>(a.width, {a.x, a.bias, a.residual, y});
  run_map<ForwardMap, S>({a.rows, 1, a.width, nullptr}, ForwardArguments<S>{a, y}, aligned, stream);
}

template <class S>
void activate_rows_backward(const ActivateRows<S>& a, const ActivateRowsGradient<S>& gradient,
                            Stream stream) {
  const bool aligned = aligned_rows<S>(a.width, {a.x, a.bias, gradient.g, gradient.dx});
  const BackwardArguments<S> arguments{a, gradient};
  const Segments all{a.rows, 1, a.width, nullptr};
  if (gradient.dbias != nullptr) {
    run_fold<BiasFold, S>(all, arguments, aligned, gradient.workspace, stream);
  } else {
    run_map<BackwardMap, S>(all, arguments, aligned, stream);
  }
}

#define GTRAIN_ROW(S)                                                                             \
  template void activate_rows<S>(const ActivateRows<S>&, S*, Stream);                             \
  template void activate_rows_backward<S>(const ActivateRows<S>&, const ActivateRowsGradient<S>&, \
                                          Stream);
GTRAIN_ROW(float)
GTRAIN_ROW(double)
GTRAIN_ROW(bf16)
GTRAIN_ROW(f16)
#undef GTRAIN_ROW

}  // namespace gtrain::ops::cuda
