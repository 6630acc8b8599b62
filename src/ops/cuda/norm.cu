// Batch norm and graph norm.
#include <math.h>

#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"

namespace gtrain::ops::cuda {
namespace {

constexpr int kGraphThreads = 128;
constexpr unsigned kAllLanes = 0xffffffffu;

template <class S>
NormArguments<S> map_arguments(const Norm<S>& norm, std::int64_t width, Scope scope) {
  return {norm, norm.z != nullptr ? norm.z : norm.x, width, scope};
}

template <class S>
bool aligned(const Norm<S>& norm, std::int64_t width) {
  return aligned_rows<S>(width, {norm.x, norm.residual, norm.z, norm.y});
}

template <class S>
bool aligned(const NormGradient<S>& gradient, std::int64_t width) {
  return aligned_rows<S>(width, {gradient.g, gradient.z, gradient.dz, gradient.dx});
}

template <class A>
struct RunningArguments {
  const A *mean, *var;
  A *to_mean, *to_rstd;
  A eps;
};

template <class A>
__global__ void __launch_bounds__(kGraphThreads)
    running_statistics(std::int64_t width, RunningArguments<A> a) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kGraphThreads +
                              static_cast<std::int64_t>(threadIdx.x);
  if (column >= width) return;
  a.to_mean[column] = a.mean[column];
  a.to_rstd[column] = A(1) / sqrt(a.var[column] + a.eps);
}

// One warp a graph: the columns' moments become the graph's.
template <class A>
__global__ void __launch_bounds__(kGraphThreads)
    graph_statistics(Segments s, const A* columns, A eps, A* mean, A* rstd) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t g =
      static_cast<std::int64_t>(blockIdx.x) * (kGraphThreads / 32) + threadIdx.x / 32;
  const bool mine = g < s.count;
  const std::int64_t rows = mine ? s.start[g + 1] - s.start[g] : 0;
  Moments<A> state{A(0), A(0), A(0)};
  if (mine) {
    for (std::int64_t c = lane; c < s.width; c += 32) {
      const A* const at = columns + 2 * (g * s.width + c);
      state = Moments<A>::merge(state, {static_cast<A>(rows), at[0], at[1]});
    }
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    const Moments<A> other{__shfl_xor_sync(kAllLanes, state.count, offset),
                           __shfl_xor_sync(kAllLanes, state.mean, offset),
                           __shfl_xor_sync(kAllLanes, state.deviation, offset)};
    state = Moments<A>::merge(state, other);
  }
  if (mine && lane == 0) {
    const A count = state.count > A(0) ? state.count : A(1);
    mean[g] = state.mean;
    rstd[g] = A(1) / sqrt(state.deviation / count + eps);
  }
}

// One warp a graph: the columns' sums of g and g xhat become the graph's means of weight g (xhat).
template <class A>
__global__ void __launch_bounds__(kGraphThreads)
    graph_means(Segments s, const A* sums, const A* weight, A* means) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t g =
      static_cast<std::int64_t>(blockIdx.x) * (kGraphThreads / 32) + threadIdx.x / 32;
  const bool mine = g < s.count;
  const std::int64_t rows = mine ? s.start[g + 1] - s.start[g] : 0;
  A m1 = 0, m2 = 0;
  if (mine) {
    for (std::int64_t c = lane; c < s.width; c += 32) {
      const A* const at = sums + 2 * (g * s.width + c);
      m1 += weight[c] * at[0];
      m2 += weight[c] * at[1];
    }
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    m1 += __shfl_xor_sync(kAllLanes, m1, offset);
    m2 += __shfl_xor_sync(kAllLanes, m2, offset);
  }
  if (mine && lane == 0) {
    const A count = rows > 0 ? static_cast<A>(rows) * static_cast<A>(s.width) : A(1);
    means[2 * g] = m1 / count;
    means[2 * g + 1] = m2 / count;
  }
}

// Sums over the graphs of what GradientFold left for each: [graphs, width, 2].
template <class A>
struct PairArguments {
  const A* sums;
  A *dweight, *dbias;
  std::int64_t width;
};

template <class S, int V>
struct PairFold {
  using A = compute_t<S>;
  using State = GradientState<A>;
  static constexpr int kUnroll = 2;
  PairArguments<A> a;

  explicit PairFold(const PairArguments<A>& arguments) : a(arguments) {}
  __device__ State init() const { return {A(0), A(0)}; }
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A* const at = a.sums + 2 * (row * a.width + column + i);
      state[i].g += at[0];
      state[i].product += at[1];
    }
  }
  __device__ static State merge(State earlier, State later) {
    return {earlier.g + later.g, earlier.product + later.product};
  }
  __device__ void finish(const State (&state)[V], std::int64_t, std::int64_t column,
                         std::int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      a.dbias[column + i] = state[i].g;
      a.dweight[column + i] = state[i].product;
    }
  }
};

}  // namespace

template <class S>
void batch_norm(std::int64_t rows, std::int64_t width, const Norm<S>& norm,
                const Running<S>& running, void* workspace, Stream stream) {
  if (rows == 0) return;
  const Segments all{rows, 1, width, nullptr};
  const MomentArguments<S> moments{norm, running, width, Scope::kColumn, nullptr};
  run_fold<MomentFold, S>(all, moments, aligned(norm, width), workspace, stream);
  run_map<NormMap, S>(all, map_arguments(norm, width, Scope::kColumn), aligned(norm, width),
                      stream);
}

template <class S>
void batch_norm_inference(std::int64_t rows, std::int64_t width, const Norm<S>& norm,
                          const Running<S>& running, Stream stream) {
  using A = compute_t<S>;
  if (rows == 0 || width == 0) return;
  launch(running_statistics<A>, blocks_for(width, kGraphThreads), dim3(kGraphThreads), 0, stream,
         width,
         RunningArguments<A>{running.mean, running.var, norm.mean, norm.rstd,
                             static_cast<A>(norm.eps)});
  run_map<NormMap, S>({rows, 1, width, nullptr}, map_arguments(norm, width, Scope::kColumn),
                      aligned(norm, width), stream);
}

template <class S>
void batch_norm_backward(std::int64_t rows, std::int64_t width, const NormGradient<S>& gradient,
                         bool training, void* workspace, Stream stream) {
  if (rows == 0) return;
  const Segments all{rows, 1, width, nullptr};
  const GradientArguments<S> a{gradient, width, Scope::kColumn, nullptr, training ? rows : 0,
                               nullptr};
  run_fold<GradientFold, S>(all, a, aligned(gradient, width), workspace, stream);
  run_map<GradientMap, S>(all, a, aligned(gradient, width), stream);
}

template <class S>
void graph_norm(const Segments& segments, const Norm<S>& norm, compute_t<S>* scratch,
                void* workspace, Stream stream) {
  using A = compute_t<S>;
  if (segments.count == 0 || segments.width == 0) return;
  const bool wide = aligned(norm, segments.width);
  const MomentArguments<S> moments{norm, {}, segments.width, Scope::kSegment, scratch};
  run_fold<MomentFold, S>(segments, moments, wide, workspace, stream);
  launch(graph_statistics<A>, blocks_for(segments.count, kGraphThreads / 32), dim3(kGraphThreads),
         0, stream, segments, static_cast<const A*>(scratch), static_cast<A>(norm.eps), norm.mean,
         norm.rstd);
  run_map<NormMap, S>(segments, map_arguments(norm, segments.width, Scope::kSegment), wide, stream);
}

template <class S>
void graph_norm_backward(const Segments& segments, const NormGradient<S>& gradient,
                         compute_t<S>* scratch, void* workspace, Stream stream) {
  using A = compute_t<S>;
  if (segments.width == 0) return;
  const bool wide = aligned(gradient, segments.width);
  A* const means = scratch + 2 * segments.count * segments.width;
  const GradientArguments<S> a{gradient, segments.width, Scope::kSegment, scratch, 0, means};
  run_fold<GradientFold, S>(segments, a, wide, workspace, stream);
  if (segments.count > 0) {
    launch(graph_means<A>, blocks_for(segments.count, kGraphThreads / 32), dim3(kGraphThreads), 0,
           stream, segments, static_cast<const A*>(scratch), gradient.weight, means);
  }
  const PairArguments<A> pairs{scratch, gradient.dweight, gradient.dbias, segments.width};
  run_fold<PairFold, S>({segments.count, 1, segments.width, nullptr}, pairs, false, workspace,
                        stream);
  run_map<GradientMap, S>(segments, a, wide, stream);
}

#define GTRAIN_NORM(S)                                                                           \
  template void batch_norm<S>(std::int64_t, std::int64_t, const Norm<S>&, const Running<S>&,     \
                              void*, Stream);                                                    \
  template void batch_norm_inference<S>(std::int64_t, std::int64_t, const Norm<S>&,              \
                                        const Running<S>&, Stream);                              \
  template void batch_norm_backward<S>(std::int64_t, std::int64_t, const NormGradient<S>&, bool, \
                                       void*, Stream);                                           \
  template void graph_norm<S>(const Segments&, const Norm<S>&, compute_t<S>*, void*, Stream);    \
  template void graph_norm_backward<S>(const Segments&, const NormGradient<S>&, compute_t<S>*,   \
                                       void*, Stream);
GTRAIN_NORM(float)
GTRAIN_NORM(double)
GTRAIN_NORM(bf16)
GTRAIN_NORM(f16)
#undef GTRAIN_NORM

}  // namespace gtrain::ops::cuda
