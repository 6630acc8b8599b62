#include "ops/cuda/exponential.cuh"
#include "ops/cuda/message.cuh"
#include "ops/cuda/message.h"

namespace gtrain::ops::cuda {
namespace {

constexpr double kGateEpsilon = 1e-6;

template <class A>
__device__ __forceinline__ A sigmoid(A z) {
  return A(1) / (A(1) + exp2_of(z * static_cast<A>(-kLog2E)));
}

// z as stored.
template <class S>
__device__ __forceinline__ compute_t<S> rounded(compute_t<S> z) {
  return to_float(from_float<S>(z));
}

template <class S, int V>
struct GatedForward {
  static constexpr int kSums = 2;  // of gates times B, and of gates
  using A = compute_t<S>;
  struct Own {
    A d[V];
  };
  struct Entry {
    Piece<S, V> b, e, c;
  };
  GatedGcn<S> a;

  __device__ __forceinline__ void begin(Own& own, std::int64_t row, const Lane& lane) const {
    load_channels<V>(a.abde + (4 * row + 2) * a.width + lane.first, own.d);
  }
  __device__ __forceinline__ void load(Entry& m, std::int64_t k, const Lane& lane) const {
    const S* source = a.abde + 4 * a.edges.source[k] * a.width + lane.first;
    m.b.load(source + a.width);
    m.e.load(source + 3 * a.width);
    m.c.load(a.c + k * a.width + lane.first);
  }
  __device__ __forceinline__ void add(const Own& own, const Entry& m, A (&sums)[2][V],
                                      std::int64_t k, const Lane& lane) const {
    A z[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      z[i] = own.d[i] + m.e[i] + m.c[i];
      const A gate = sigmoid(rounded<S>(z[i]));
      sums[0][i] += gate * m.b[i];
      sums[1][i] += gate;
    }
    store_channels<V>(a.ehat + k * a.width + lane.first, z);
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[2][N]) const {
    A h[N], denominator[N], mean[N];
    load_channels<N>(a.abde + 4 * row * a.width + channel, h);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      denominator[i] = sums[1][i] + static_cast<A>(kGateEpsilon);
      mean[i] = sums[0][i] / denominator[i];
      h[i] += mean[i];
    }
    const std::int64_t at = row * a.width + channel;
    store_channels<N>(a.h + at, h);
    store_channels<N>(a.denominator + at, denominator);
    store_channels<N>(a.mean + at, mean);
  }
};

// Over targets: the gradient of ê, and those of A and D.
template <class S, int V>
struct GatedTargets {
  static constexpr int kSums = 1;
  using A = compute_t<S>;
  struct Own {
    A share[V], mean[V];  // dh / denominator
  };
  struct Entry {
    Piece<S, V> b, ehat, dehat;
  };
  GatedGcn<S> a;

  __device__ __forceinline__ void begin(Own& own, std::int64_t row, const Lane& lane) const {
    const std::int64_t at = row * a.width + lane.first;
    A denominator[V];
    load_channels<V>(a.dh + at, own.share);
    load_channels<V>(a.denominator + at, denominator);
    load_channels<V>(a.mean + at, own.mean);
#pragma unroll
    for (int i = 0; i < V; ++i) own.share[i] /= denominator[i];
  }
  __device__ __forceinline__ void load(Entry& m, std::int64_t k, const Lane& lane) const {
    const std::int64_t at = k * a.width + lane.first;
    m.b.load(a.abde + (4 * a.edges.source[k] + 1) * a.width + lane.first);
    m.ehat.load(a.ehat + at);
    if (a.dehat_in != nullptr) {
      m.dehat.load(a.dehat_in + at);
    } else {
      m.dehat.fill(from_float<S>(0));
    }
  }
  __device__ __forceinline__ void add(const Own& own, const Entry& m, A (&sums)[1][V],
                                      std::int64_t k, const Lane& lane) const {
    A z[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A gate = sigmoid(m.ehat[i]);
      z[i] = own.share[i] * (m.b[i] - own.mean[i]) * gate * (1 - gate) + m.dehat[i];
      sums[0][i] += z[i];
    }
    store_channels<V>(a.dc + k * a.width + lane.first, z);
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[1][N]) const {
    A dh[N];
    load_channels<N>(a.dh + row * a.width + channel, dh);
    store_channels<N>(a.dabde + 4 * row * a.width + channel, dh);
    store_channels<N>(a.dabde + (4 * row + 2) * a.width + channel, sums[0]);
  }
};

// Over sources: the gradients of B and E.
template <class S, int V>
struct GatedSources {
  static constexpr int kSums = 2;
  using A = compute_t<S>;
  using Own = None;
  struct Entry {
    Piece<S, V> dh, ehat, dehat;
    A denominator[V];
  };
  GatedGcn<S> a;

  __device__ __forceinline__ void begin(Own&, std::int64_t, const Lane&) const {}
  __device__ __forceinline__ void load(Entry& m, std::int64_t slot, const Lane& lane) const {
    const std::int64_t k = a.edges.out_edge[slot];
    const std::int64_t target = a.edges.target[k] * a.width + lane.first;
    m.dh.load(a.dh + target);
    load_channels<V>(a.denominator + target, m.denominator);
    m.ehat.load(a.ehat + k * a.width + lane.first);
    m.dehat.load(a.dc + k * a.width + lane.first);
  }
  __device__ __forceinline__ void add(const Own&, const Entry& m, A (&sums)[2][V], std::int64_t,
                                      const Lane&) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A inverse_gate = A(1) + exp2_of(m.ehat[i] * static_cast<A>(-kLog2E));
      sums[0][i] += m.dh[i] / (m.denominator[i] * inverse_gate);
      sums[1][i] += m.dehat[i];
    }
  }
  template <int N>
  __device__ __forceinline__ void finish(std::int64_t row, int channel,
                                         const A (&sums)[2][N]) const {
    store_channels<N>(a.dabde + (4 * row + 1) * a.width + channel, sums[0]);
    store_channels<N>(a.dabde + (4 * row + 3) * a.width + channel, sums[1]);
  }
};

template <class S>
bool takes_packs(const GatedGcn<S>& a) {
  return whole_packs(a.width * static_cast<std::int64_t>(sizeof(S))) && whole_packs(a.abde) &&
         whole_packs(a.c) && whole_packs(a.h) && whole_packs(a.ehat) &&
         whole_packs(a.denominator) && whole_packs(a.mean) && whole_packs(a.dh) &&
         whole_packs(a.dehat_in) && whole_packs(a.dabde) && whole_packs(a.dc);
}

}  // namespace

template <class S>
void gated_gcn_forward(const GatedGcn<S>& a, Stream stream) {
  launch_message<S, GatedForward>(a, a.edges.in, takes_packs(a), stream);
}

template <class S>
void gated_gcn_backward(const GatedGcn<S>& a, Stream stream) {
  launch_message<S, GatedTargets>(a, a.edges.in, takes_packs(a), stream);
  launch_message<S, GatedSources>(a, a.edges.out, takes_packs(a), stream);
}

#define GTRAIN_INSTANTIATE(S)                                     \
  template void gated_gcn_forward<S>(const GatedGcn<S>&, Stream); \
  template void gated_gcn_backward<S>(const GatedGcn<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
