#include "ops/cuda/exponential.cuh"
#include "ops/cuda/message.cuh"
#include "ops/cuda/message.h"

namespace gtrain::ops::cuda {
namespace {

// out = factor own + sum, N channels.
template <int N, class S>
__device__ __forceinline__ void store_with_own(const S* own, compute_t<S> factor,
                                               const compute_t<S> (&sum)[N], S* out) {
  compute_t<S> x[N];
  load_channels<N>(own, x);
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = factor * x[i] + sum[i];
  store_channels<N>(out, x);
}

template <class S, int V>
struct GineForward {
  static constexpr int kSums = 1;
  using A = compute_t<S>;
  using Own = None;
  struct Entry {
    Piece<S, V> x, edge;
  };
  Gine<S> a;

  __device__ __forceinline__ void begin(Own&, std::int64_t, const Lane&) const {}
  __device__ __forceinline__ void load(Entry& m, std::int64_t k, const Lane& lane) const {
    m.x.load(a.x + a.edges.source[k] * a.width + lane.first);
    m.edge.load(a.edge + k * a.width + lane.first);
  }
  __device__ __forceinline__ void add(const Own&, const Entry& m, A (&sums)[1][V], std::int64_t,
                                      const Lane&) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A z = m.x[i] + m.edge[i];
      sums[0][i] += z > 0 ? z : A(0);
    }
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[1][N]) const {
    const std::int64_t at = row * a.width + channel;
    store_with_own<N>(a.x + at, A(1), sums[0], a.out + at);
  }
};

// dx_j = dout_j + the sum of dedge over the edges that leave j.
template <class S, int V>
struct GineSources {
  static constexpr int kSums = 1;
  using A = compute_t<S>;
  using Own = None;
  struct Entry {
    Piece<S, V> dedge;
  };
  Gine<S> a;

  __device__ __forceinline__ void begin(Own&, std::int64_t, const Lane&) const {}
  __device__ __forceinline__ void load(Entry& m, std::int64_t slot, const Lane& lane) const {
    m.dedge.load(a.dedge + a.edges.out_edge[slot] * a.width + lane.first);
  }
  __device__ __forceinline__ void add(const Own&, const Entry& m, A (&sums)[1][V], std::int64_t,
                                      const Lane&) const {
#pragma unroll
    for (int i = 0; i < V; ++i) sums[0][i] += m.dedge[i];
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[1][N]) const {
    const std::int64_t at = row * a.width + channel;
    store_with_own<N>(a.dout + at, A(1), sums[0], a.dx + at);
  }
};

// dedge_k = dout_target [x_source + edge_k > 0]: lanes along x are channels, along y edges.
template <class S, int V>
__global__ void gine_edge_kernel(Gine<S> a) {
  using A = compute_t<S>;
  const int first = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * V;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (first >= a.width) return;
  for (; k < a.edges.count; k += step) {
    A x[V], edge[V], dout[V];
    load_channels<V>(a.x + a.edges.source[k] * a.width + first, x);
    load_channels<V>(a.edge + k * a.width + first, edge);
    load_channels<V>(a.dout + a.edges.target[k] * a.width + first, dout);
#pragma unroll
    for (int i = 0; i < V; ++i) dout[i] = x[i] + edge[i] > 0 ? dout[i] : A(0);
    store_channels<V>(a.dedge + k * a.width + first, dout);
  }
}

template <class S, int V>
struct Weighted {
  static constexpr int kSums = 1;
  using A = compute_t<S>;
  using Own = None;
  struct Entry {
    Piece<S, V> x;
    A weight;
  };
  WeightedAggregate<S> a;

  __device__ __forceinline__ void begin(Own&, std::int64_t, const Lane&) const {}
  __device__ __forceinline__ void load(Entry& m, std::int64_t slot, const Lane& lane) const {
    const std::int64_t k = a.edge != nullptr ? a.edge[slot] : slot;
    m.weight = to_float(a.weight[k]);
    m.x.load(a.x + a.other[k] * a.width + lane.first);
  }
  __device__ __forceinline__ void add(const Own&, const Entry& m, A (&sums)[1][V], std::int64_t,
                                      const Lane&) const {
#pragma unroll
    for (int i = 0; i < V; ++i) sums[0][i] += m.weight * m.x[i];
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[1][N]) const {
    const std::int64_t at = row * a.width + channel;
    const A self = a.self != nullptr ? to_float(a.self[row]) : A(0);
    store_with_own<N>(a.x + at, self, sums[0], a.out + at);
  }
};

template <class S>
bool takes_packs(const Gine<S>& a) {
  return whole_packs(a.width * static_cast<std::int64_t>(sizeof(S))) && whole_packs(a.x) &&
         whole_packs(a.edge) && whole_packs(a.out) && whole_packs(a.dout) && whole_packs(a.dx) &&
         whole_packs(a.dedge);
}

template <class S>
bool takes_packs(const WeightedAggregate<S>& a) {
  return whole_packs(a.width * static_cast<std::int64_t>(sizeof(S))) && whole_packs(a.x) &&
         whole_packs(a.out);
}

template <class S, int V>
void launch_gine_edges(const Gine<S>& a, Stream stream) {
  const int lanes = 1 << lane_shape(1, a.width, V).log_lanes, edges = 32 * kWarps / lanes;
  const std::int64_t blocks = (a.edges.count + edges - 1) / edges, most = 1 << 20;
  const dim3 grid(static_cast<unsigned>(blocks < most ? blocks : most),
                  static_cast<unsigned>((a.width + lanes * V - 1) / (lanes * V)));
  launch(gine_edge_kernel<S, V>, grid,
         dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(edges)), 0, stream, a);
}

}  // namespace

template <class S>
void gine_forward(const Gine<S>& a, Stream stream) {
  launch_message<S, GineForward>(a, a.edges.in, takes_packs(a), stream);
}

template <class S>
void gine_backward(const Gine<S>& a, Stream stream) {
  const bool packs = takes_packs(a);
  if (a.edges.count > 0 && a.width > 0) {
    if (packs) {
      launch_gine_edges<S, Pack<S>::kSize>(a, stream);
    } else {
      launch_gine_edges<S, 1>(a, stream);
    }
  }
  launch_message<S, GineSources>(a, a.edges.out, packs, stream);
}

template <class S>
void weighted_aggregate(const WeightedAggregate<S>& a, Stream stream) {
  launch_message<S, Weighted>(a, a.work, takes_packs(a), stream);
}

#define GTRAIN_INSTANTIATE(S)                             \
  template void gine_forward<S>(const Gine<S>&, Stream);  \
  template void gine_backward<S>(const Gine<S>&, Stream); \
  template void weighted_aggregate<S>(const WeightedAggregate<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
