// The functors that batch norm, layer norm and graph norm share (fold.cuh says what they are).
#pragma once

#include <math.h>

#include "ops/cuda/fold.cuh"
#include "ops/cuda/mask.cuh"
#include "ops/cuda/norm.h"

namespace gtrain::ops::cuda {

// What a pair of statistics belongs to.
enum class Scope { kColumn, kRow, kSegment };

// Count, mean and sum of squared deviations of a set of numbers.
template <class A>
struct Moments {
  A count, mean, deviation;

  __device__ static Moments merge(const Moments& one, const Moments& other) {
    const A count = one.count + other.count;
    if (count == A(0)) return one;
    const A distance = other.mean - one.mean, share = other.count / count;
    return {count, one.mean + distance * share,
            one.deviation + other.deviation + distance * distance * one.count * share};
  }
};

// z = residual + Drop(x), rounded to S and widened again; stored where norm.z is not null.
template <int V, class S>
__device__ __forceinline__ void load_input(const Norm<S>& norm,
                                           const ElementMask<compute_t<S>>& mask, std::int64_t row,
                                           std::int64_t width, std::int64_t column,
                                           compute_t<S> (&z)[V]) {
  const std::int64_t at = row * width + column;
  load_channels(norm.x + at, z);
  if (norm.z == nullptr) return;
  mask.apply(row, column, z);
  if (norm.residual != nullptr) {
    compute_t<S> residual[V];
    load_channels(norm.residual + at, residual);
#pragma unroll
    for (int i = 0; i < V; ++i) z[i] += residual[i];
  }
#pragma unroll
  for (int i = 0; i < V; ++i) z[i] = to_float(from_float<S>(z[i]));
  store_channels(norm.z + at, z);
}

template <class S>
struct NormArguments {
  Norm<S> norm;
  const S* z;  // norm.z or norm.x
  std::int64_t width;
  Scope scope;
};

// y = weight (z - mean) rstd + bias
template <class S, int V>
struct NormMap {
  using A = compute_t<S>;
  NormArguments<S> a;
  A mean[V], scale[V], shift[V];

  explicit NormMap(const NormArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const std::int64_t at = a.scope == Scope::kColumn ? column + i : g;
      mean[i] = a.norm.mean[at];
      scale[i] = a.norm.weight[column + i] * a.norm.rstd[at];
      shift[i] = a.norm.bias[column + i];
    }
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A z[V];
    load_channels(a.z + row * a.width + column, z);
#pragma unroll
    for (int i = 0; i < V; ++i) z[i] = (z[i] - mean[i]) * scale[i] + shift[i];
    store_channels(a.norm.y + row * a.width + column, z);
  }
};

template <class S>
struct GradientArguments {
  NormGradient<S> gradient;
  std::int64_t width;
  Scope scope;
  compute_t<S>* sums;  // g and g xhat: [segments, width, 2]
  // Of column scope the means of weight g (xhat) are weight sums / rows; 0 rows: they are 0.
  // Of segment scope they stand in `means` [segments, 2].
  std::int64_t rows;
  const compute_t<S>* means;
};

// Sums of g and of g xhat over the rows of each segment.
template <class A>
struct GradientState {
  A g, product;
};

template <class S, int V>
struct GradientFold {
  using A = compute_t<S>;
  using State = GradientState<A>;
  static constexpr int kUnroll = 2;
  GradientArguments<S> a;
  A mean[V], rstd[V];

  explicit GradientFold(const GradientArguments<S>& arguments) : a(arguments) {}
  __device__ State init() const { return {A(0), A(0)}; }
  __device__ void enter(std::int64_t g, std::int64_t column) {
    if (a.scope == Scope::kRow) return;
#pragma unroll
    for (int i = 0; i < V; ++i) load_statistics(i, a.scope == Scope::kColumn ? column + i : g);
  }
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) {
    if (a.scope == Scope::kRow) {
#pragma unroll
      for (int i = 0; i < V; ++i) load_statistics(i, row);
    }
    A g[V], z[V];
    load_channels(a.gradient.g + row * a.width + column, g);
    load_channels(a.gradient.z + row * a.width + column, z);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      state[i].g += g[i];
      state[i].product += g[i] * ((z[i] - mean[i]) * rstd[i]);
    }
  }
  __device__ static State merge(State earlier, State later) {
    return {earlier.g + later.g, earlier.product + later.product};
  }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (a.scope == Scope::kSegment) {
        A* const at = a.sums + 2 * (g * a.width + column + i);
        at[0] = state[i].g;
        at[1] = state[i].product;
      } else {
        a.gradient.dbias[column + i] = state[i].g;
        a.gradient.dweight[column + i] = state[i].product;
      }
    }
  }

 private:
  __device__ void load_statistics(int i, std::int64_t at) {
    mean[i] = a.gradient.mean[at];
    rstd[i] = a.gradient.rstd[at];
  }
};

// dz where dz and dx go.
template <int V, class S>
__device__ __forceinline__ void store_gradient(const NormGradient<S>& gradient,
                                               const ElementMask<compute_t<S>>& mask,
                                               std::int64_t row, std::int64_t width,
                                               std::int64_t column, compute_t<S> (&dz)[V]) {
  const std::int64_t at = row * width + column;
  if (gradient.dz != nullptr) store_channels(gradient.dz + at, dz);
  if (gradient.dx == nullptr) return;
  mask.apply(row, column, dz);
  store_channels(gradient.dx + at, dz);
}

// dz = rstd (weight g - m1 - xhat m2)
template <class S, int V>
struct GradientMap {
  using A = compute_t<S>;
  GradientArguments<S> a;
  ElementMask<A> mask;
  A mean[V], rstd[V], weight[V], m1[V], m2[V];

  explicit GradientMap(const GradientArguments<S>& arguments)
      : a(arguments), mask(arguments.gradient.mask) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
    const A inverse = a.rows > 0 ? A(1) / static_cast<A>(a.rows) : A(0);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const std::int64_t at = a.scope == Scope::kColumn ? column + i : g;
      mean[i] = a.gradient.mean[at];
      rstd[i] = a.gradient.rstd[at];
      weight[i] = a.gradient.weight[column + i];
      if (a.scope == Scope::kColumn) {
        m1[i] = weight[i] * a.gradient.dbias[column + i] * inverse;
        m2[i] = weight[i] * a.gradient.dweight[column + i] * inverse;
      } else {
        m1[i] = a.means[2 * g];
        m2[i] = a.means[2 * g + 1];
      }
    }
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A g[V], z[V];
    load_channels(a.gradient.g + row * a.width + column, g);
    load_channels(a.gradient.z + row * a.width + column, z);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      g[i] = rstd[i] * (weight[i] * g[i] - m1[i] - (z[i] - mean[i]) * rstd[i] * m2[i]);
    }
    store_gradient(a.gradient, mask, row, a.width, column, g);
  }
};

template <class S>
struct MomentArguments {
  Norm<S> norm;
  Running<S> running;
  std::int64_t width;
  Scope scope;
  compute_t<S>* columns;  // of segment scope: mean and squared deviations [segments, width, 2]
};

// Statistics of z over the rows of each segment, z being made on the way.
template <class S, int V>
struct MomentFold {
  using A = compute_t<S>;
  using State = Moments<A>;
  static constexpr int kUnroll = 2;
  MomentArguments<S> a;
  ElementMask<A> mask;
  A momentum, eps;

  explicit MomentFold(const MomentArguments<S>& arguments)
      : a(arguments),
        mask(arguments.norm.mask),
        momentum(static_cast<A>(arguments.running.momentum)),
        eps(static_cast<A>(arguments.norm.eps)) {}
  __device__ State init() const { return {A(0), A(0), A(0)}; }
  __device__ void enter(std::int64_t, std::int64_t) const {}
  // Welford's update.
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A z[V];
    load_input(a.norm, mask, row, a.width, column, z);
    const A count = state[0].count + A(1), inverse = A(1) / count;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A distance = z[i] - state[i].mean;
      state[i].count = count;
      state[i].mean += distance * inverse;
      state[i].deviation += distance * (z[i] - state[i].mean);
    }
  }
  __device__ static State merge(State earlier, State later) { return State::merge(earlier, later); }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t rows) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (a.scope == Scope::kSegment) {
        A* const at = a.columns + 2 * (g * a.width + column + i);
        at[0] = state[i].mean;
        at[1] = state[i].deviation;
      } else {
        finish_column(state[i], column + i, static_cast<A>(rows));
      }
    }
  }

 private:
  __device__ void finish_column(const State& state, std::int64_t column, A rows) const {
    const A unbiased = rows > A(1) ? state.deviation / (rows - A(1)) : A(0);
    a.norm.mean[column] = state.mean;
    a.norm.rstd[column] = A(1) / sqrt(state.deviation / rows + eps);
    A* const mean = a.running.mean + column;
    A* const var = a.running.var + column;
    *mean = (A(1) - momentum) * *mean + momentum * state.mean;
    *var = (A(1) - momentum) * *var + momentum * unbiased;
  }
};

}  // namespace gtrain::ops::cuda
