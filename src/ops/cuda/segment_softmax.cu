#include <math.h>

#include "ops/cuda/fold.cuh"
#include "ops/cuda/segment.h"

namespace gtrain::ops::cuda {
namespace {

template <class T>
__device__ __forceinline__ T minus_infinity() {
  return static_cast<T>(-INFINITY);
}

template <class S>
struct SoftmaxArguments {
  const S* x;
  S* y;
  compute_t<S>* statistics;
  std::int64_t width;
};

template <class A>
struct SoftmaxState {
  A maximum, sum;
};

template <class S, int V>
struct SoftmaxFold {
  using A = compute_t<S>;
  using State = SoftmaxState<A>;
  static constexpr int kUnroll = 4;
  SoftmaxArguments<S> a;

  explicit SoftmaxFold(const SoftmaxArguments<S>& arguments) : a(arguments) {}
  __device__ State init() const { return {minus_infinity<A>(), A(0)}; }
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ static State merge(State earlier, State later) {
    if (later.maximum == minus_infinity<A>()) return earlier;
    if (earlier.maximum == minus_infinity<A>()) return later;
    const A rise = later.maximum - earlier.maximum, weight = exp(-fabs(rise));
    return rise > A(0) ? State{later.maximum, earlier.sum * weight + later.sum}
                       : State{earlier.maximum, earlier.sum + later.sum * weight};
  }
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A x[V];
    load_channels(a.x + row * a.width + column, x);
#pragma unroll
    for (int i = 0; i < V; ++i) state[i] = merge(state[i], State{x[i], A(1)});
  }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      compute_t<S>* const at = a.statistics + 2 * (g * a.width + column + i);
      at[0] = state[i].maximum == minus_infinity<A>() ? A(0) : state[i].maximum;
      at[1] = state[i].sum;
    }
  }
};

template <class S, int V>
struct SoftmaxMap {
  using A = compute_t<S>;
  SoftmaxArguments<S> a;
  A maximum[V], scale[V];

  explicit SoftmaxMap(const SoftmaxArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const compute_t<S>* const at = a.statistics + 2 * (g * a.width + column + i);
      maximum[i] = at[0];
      scale[i] = at[1] == A(0) ? A(0) : A(1) / at[1];
    }
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A x[V];
    load_channels(a.x + row * a.width + column, x);
#pragma unroll
    for (int i = 0; i < V; ++i) x[i] = exp(x[i] - maximum[i]) * scale[i];
    store_channels(a.y + row * a.width + column, x);
  }
};

template <class S>
struct DotArguments {
  SoftmaxBackward<S> b;
  std::int64_t width;
};

template <class S, int V>
struct DotFold : Sum<compute_t<S>> {
  using A = compute_t<S>;
  using State = SumState<A>;
  static constexpr int kUnroll = 2;
  DotArguments<S> a;

  explicit DotFold(const DotArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A y[V], g[V];
    load_channels(a.b.y + row * a.width + column, y);
    load_channels(a.b.g + row * a.width + column, g);
#pragma unroll
    for (int i = 0; i < V; ++i) state[i].sum += y[i] * g[i];
  }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) a.b.dot[g * a.width + column + i] = state[i].sum;
  }
};

template <class S, int V>
struct DotMap {
  using A = compute_t<S>;
  DotArguments<S> a;
  A dot[V];

  explicit DotMap(const DotArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
#pragma unroll
    for (int i = 0; i < V; ++i) dot[i] = a.b.dot[g * a.width + column + i];
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A y[V], g[V];
    load_channels(a.b.y + row * a.width + column, y);
    load_channels(a.b.g + row * a.width + column, g);
#pragma unroll
    for (int i = 0; i < V; ++i) y[i] *= g[i] - dot[i];
    store_channels(a.b.dx + row * a.width + column, y);
  }
};

}  // namespace

template <class S>
void segment_softmax(const Segments& segments, const S* x, S* y, compute_t<S>* statistics,
                     void* workspace, Stream stream) {
  const SoftmaxArguments<S> a{x, y, statistics, segments.width};
  const bool aligned = aligned_rows<S>(a.width, {x, y});
  run_fold<SoftmaxFold, S>(segments, a, aligned, workspace, stream);
  run_map<SoftmaxMap, S>(segments, a, aligned, stream);
}

template <class S>
void segment_softmax_backward(const Segments& segments, const SoftmaxBackward<S>& backward,
                              void* workspace, Stream stream) {
  const DotArguments<S> a{backward, segments.width};
  const bool aligned = aligned_rows<S>(a.width, {backward.y, backward.g, backward.dx});
  run_fold<DotFold, S>(segments, a, aligned, workspace, stream);
  run_map<DotMap, S>(segments, a, aligned, stream);
}

#define GTRAIN_SOFTMAX(S)                                                                        \
  template void segment_softmax<S>(const Segments&, const S*, S*, compute_t<S>*, void*, Stream); \
  template void segment_softmax_backward<S>(const Segments&, const SoftmaxBackward<S>&, void*,   \
                                            Stream);
GTRAIN_SOFTMAX(float)
GTRAIN_SOFTMAX(double)
GTRAIN_SOFTMAX(bf16)
GTRAIN_SOFTMAX(f16)
#undef GTRAIN_SOFTMAX

}  // namespace gtrain::ops::cuda
