// Message passing over edges sorted by target: one pass over rows of targets, and for gradients of
// sources one pass over rows of sources. No atomics; each output row has one writer.
#include "ops/cpu/kernel.h"
#include "ops/detail/simd.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::EdgeView;
using Index = std::int64_t;

template <class T>
void gine_forward(Index begin, Index end, Index d, const T* x, const T* e, EdgeView edges, T* out) {
  for (Index i = begin; i < end; ++i) {
    T* o = out + i * d;
    std::copy_n(x + i * d, d, o);
    for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
      const T* xs = x + edges.source[k] * d;
      const T* ek = e + k * d;
      for (Index c = 0; c < d; ++c) {
        const T m = xs[c] + ek[c];
        o[c] += m > 0 ? m : T{0};
      }
    }
  }
}

template <class T>
void gine_backward_edges(Index begin, Index end, Index d, const T* x, const T* e, const T* g,
                         EdgeView edges, T* de) {
  for (Index i = begin; i < end; ++i) {
    const T* gi = g + i * d;
    for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
      const T* xs = x + edges.source[k] * d;
      const T* ek = e + k * d;
      T* o = de + k * d;
      for (Index c = 0; c < d; ++c) o[c] = xs[c] + ek[c] > 0 ? gi[c] : T{0};
    }
  }
}

template <class T>
void gine_backward_nodes(Index begin, Index end, Index d, const T* g, const T* de, EdgeView edges,
                         T* dx) {
  for (Index j = begin; j < end; ++j) {
    T* o = dx + j * d;
    std::copy_n(g + j * d, d, o);
    for (Index s = edges.out_start[j]; s < edges.out_start[j + 1]; ++s) {
      const T* from = de + edges.out_edge[s] * d;
      for (Index c = 0; c < d; ++c) o[c] += from[c];
    }
  }
}

constexpr double kGateEpsilon = 1e-6;

template <class T>
void gated_forward(Index begin, Index end, Index d, const T* abde, const T* c, EdgeView edges, T* h,
                   T* ehat, T* sigma, T* denominator, T* aggregate) {
  constexpr Index w = Simd<T>::kLanes;
  for (Index i = begin; i < end; ++i) {
    const T* own = abde + i * 4 * d;
    const Index first = edges.in_start[i], last = edges.in_start[i + 1];
    Index v = 0;
    for (; v + w <= d; v += w) {
      Vec<T> sum = {}, gates = {};
      const Vec<T> di = load(own + 2 * d + v);
      for (Index k = first; k < last; ++k) {
        const T* other = abde + edges.source[k] * 4 * d;
        const Vec<T> z = di + load(other + 3 * d + v) + load(c + k * d + v);
        const Vec<T> s = sigmoid<T>(z);
        store(ehat + k * d + v, z);
        store(sigma + k * d + v, s);
        gates += s;
        sum += s * load(other + d + v);
      }
      const Vec<T> den = gates + static_cast<T>(kGateEpsilon);
      const Vec<T> mean = sum / den;
      store(denominator + i * d + v, den);
      store(aggregate + i * d + v, mean);
      store(h + i * d + v, load(own + v) + mean);
    }
    for (; v < d; ++v) {
      T sum = 0, gates = 0;
      for (Index k = first; k < last; ++k) {
        const T* other = abde + edges.source[k] * 4 * d;
        const T z = own[2 * d + v] + other[3 * d + v] + c[k * d + v];
        const T s = sigmoid<T>(splat<T>(z))[0];
        ehat[k * d + v] = z;
        sigma[k * d + v] = s;
        gates += s;
        sum += s * other[d + v];
      }
      const T den = gates + static_cast<T>(kGateEpsilon);
      denominator[i * d + v] = den;
      aggregate[i * d + v] = sum / den;
      h[i * d + v] = own[v] + sum / den;
    }
  }
}

template <class T>
void gated_backward_targets(Index begin, Index end, Index d, const T* abde, const T* sigma,
                            const T* denominator, const T* aggregate, const T* dh,
                            const T* dehat_in, EdgeView edges, T* dehat, T* dabde) {
  for (Index i = begin; i < end; ++i) {
    const T* g = dh + i * d;
    const T* den = denominator + i * d;
    const T* mean = aggregate + i * d;
    T* da = dabde + i * 4 * d;
    T* dd = da + 2 * d;
    std::copy_n(g, d, da);
    std::fill_n(dd, d, T{0});
    for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
      const T* b = abde + edges.source[k] * 4 * d + d;
      const T* s = sigma + k * d;
      T* out = dehat + k * d;
      const T* in = dehat_in != nullptr ? dehat_in + k * d : nullptr;
      for (Index c = 0; c < d; ++c) {
        T z = g[c] / den[c] * (b[c] - mean[c]) * s[c] * (1 - s[c]);
        if (in != nullptr) z += in[c];
        out[c] = z;
        dd[c] += z;
      }
    }
  }
}

template <class T>
void gated_backward_sources(Index begin, Index end, Index d, const T* sigma, const T* denominator,
                            const T* dh, const T* dehat, EdgeView edges, T* dabde) {
  for (Index j = begin; j < end; ++j) {
    T* db = dabde + j * 4 * d + d;
    T* de = db + 2 * d;
    std::fill_n(db, d, T{0});
    std::fill_n(de, d, T{0});
    for (Index slot = edges.out_start[j]; slot < edges.out_start[j + 1]; ++slot) {
      const Index k = edges.out_edge[slot];
      const T* g = dh + edges.target[k] * d;
      const T* den = denominator + edges.target[k] * d;
      const T* s = sigma + k * d;
      const T* z = dehat + k * d;
      for (Index c = 0; c < d; ++c) {
        db[c] += g[c] / den[c] * s[c];
        de[c] += z[c];
      }
    }
  }
}

template <class T>
void weighted_sum(Index begin, Index end, Index d, const T* x, const T* self, const T* w,
                  const Index* start, const Index* other, const Index* edge, T* out) {
  for (Index i = begin; i < end; ++i) {
    T* o = out + i * d;
    const T own = self != nullptr ? self[i] : T{0};
    for (Index c = 0; c < d; ++c) o[c] = own * x[i * d + c];
    for (Index slot = start[i]; slot < start[i + 1]; ++slot) {
      const Index k = edge != nullptr ? edge[slot] : slot;
      const T wk = w[k];
      const T* from = x + other[k] * d;
      for (Index c = 0; c < d; ++c) o[c] += wk * from[c];
    }
  }
}

}  // namespace

template <class T>
void add_message_kernels(detail::Kernels<T>& table) {
  table.gine_forward = gine_forward<T>;
  table.gine_backward_edges = gine_backward_edges<T>;
  table.gine_backward_nodes = gine_backward_nodes<T>;
  table.gated_forward = gated_forward<T>;
  table.gated_backward_targets = gated_backward_targets<T>;
  table.gated_backward_sources = gated_backward_sources<T>;
  table.weighted_sum = weighted_sum<T>;
}

template void add_message_kernels<float>(detail::Kernels<float>&);
template void add_message_kernels<double>(detail::Kernels<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
