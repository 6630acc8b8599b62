// Message passing over edges sorted by target: one pass over rows of targets, and for gradients of
// sources one pass over rows of sources. No atomics; each output row has one writer, and the sums
// of a row stay in registers.
#include "ops/cpu/kernel.h"
#include "ops/detail/columns.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::Compute;
using detail::EdgeView;
using Index = std::int64_t;

constexpr double kGateEpsilon = 1e-6;

template <class T>
inline Vec<T> positive(Vec<T> x) {  // NaN stays
  return x < 0 ? Vec<T>{} : x;
}

template <class S>
void gine_forward(Index begin, Index end, Index d, const S* x, const S* e, EdgeView edges, S* out) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      Vec<T> sum[V];
      for (int u = 0; u < V; ++u) sum[u] = columns.load(x + i * d, u);
      for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
        const S *xs = x + edges.source[k] * d, *ek = e + k * d;
        for (int u = 0; u < V; ++u) {
          sum[u] += positive<T>(columns.load(xs, u) + columns.load(ek, u));
        }
      }
      for (int u = 0; u < V; ++u) columns.store(out + i * d, u, sum[u]);
    }
  });
}

template <class S>
void gine_backward_edges(Index begin, Index end, Index d, const S* x, const S* e, const S* g,
                         EdgeView edges, S* de) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      Vec<T> own[V];
      for (int u = 0; u < V; ++u) own[u] = columns.load(g + i * d, u);
      for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
        const S *xs = x + edges.source[k] * d, *ek = e + k * d;
        for (int u = 0; u < V; ++u) {
          const Vec<T> message = columns.load(xs, u) + columns.load(ek, u);
          columns.store(de + k * d, u, message > 0 ? own[u] : Vec<T>{});
        }
      }
    }
  });
}

template <class S>
void gine_backward_nodes(Index begin, Index end, Index d, const S* g, const S* de, EdgeView edges,
                         S* dx) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index j = begin; j < end; ++j) {
      Vec<T> sum[V];
      for (int u = 0; u < V; ++u) sum[u] = columns.load(g + j * d, u);
      for (Index s = edges.out_start[j]; s < edges.out_start[j + 1]; ++s) {
        const S* from = de + edges.out_edge[s] * d;
        for (int u = 0; u < V; ++u) sum[u] += columns.load(from, u);
      }
      for (int u = 0; u < V; ++u) columns.store(dx + j * d, u, sum[u]);
    }
  });
}

// ehat may be c. Without sigma (inference) nothing is written of what only backward reads.
template <class S>
void gated_forward(Index begin, Index end, Index d, const detail::GatedForward<S>& a,
                   EdgeView edges) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      const S* own = a.abde + i * 4 * d;
      Vec<T> sum[V] = {}, gates[V] = {}, di[V];
      for (int u = 0; u < V; ++u) di[u] = columns.load(own + 2 * d, u);
      for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
        const S* other = a.abde + edges.source[k] * 4 * d;
        for (int u = 0; u < V; ++u) {
          const Vec<T> z = di[u] + columns.load(other + 3 * d, u) + columns.load(a.c + k * d, u);
          const Vec<T> s = sigmoid<T>(z);
          columns.store(a.ehat + k * d, u, z);
          if (a.sigma != nullptr) columns.store(a.sigma + k * d, u, s);
          gates[u] += s;
          sum[u] += s * columns.load(other + d, u);
        }
      }
      for (int u = 0; u < V; ++u) {
        const Vec<T> denominator = gates[u] + static_cast<T>(kGateEpsilon);
        const Vec<T> mean = sum[u] / denominator;
        if (a.sigma != nullptr) {
          columns.store(a.denominator + i * d, u, denominator);
          columns.store(a.aggregate + i * d, u, mean);
        }
        columns.store(a.h + i * d, u, columns.load(own, u) + mean);
      }
    }
  });
}

template <class S>
void gated_backward_targets(Index begin, Index end, Index d, const detail::GatedBackward<S>& a,
                            EdgeView edges) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      Vec<T> share[V], mean[V], sum[V] = {};
      S* da = a.dabde + i * 4 * d;
      for (int u = 0; u < V; ++u) {
        const Vec<T> g = columns.load(a.dh + i * d, u);
        columns.store(da, u, g);
        share[u] = g / columns.load(a.denominator + i * d, u);
        mean[u] = columns.load(a.aggregate + i * d, u);
      }
      for (Index k = edges.in_start[i]; k < edges.in_start[i + 1]; ++k) {
        const S* b = a.abde + edges.source[k] * 4 * d + d;
        for (int u = 0; u < V; ++u) {
          const Vec<T> s = columns.load(a.sigma + k * d, u);
          Vec<T> z = share[u] * (columns.load(b, u) - mean[u]) * s * (1 - s);
          if (a.dehat_in != nullptr) z += columns.load(a.dehat_in + k * d, u);
          columns.store(a.dehat + k * d, u, z);
          sum[u] += z;
        }
      }
      for (int u = 0; u < V; ++u) columns.store(da + 2 * d, u, sum[u]);
    }
  });
}

template <class S>
void gated_backward_sources(Index begin, Index end, Index d, const detail::GatedBackward<S>& a,
                            EdgeView edges) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index j = begin; j < end; ++j) {
      Vec<T> db[V] = {}, de[V] = {};
      for (Index slot = edges.out_start[j]; slot < edges.out_start[j + 1]; ++slot) {
        const Index k = edges.out_edge[slot], i = edges.target[k];
        for (int u = 0; u < V; ++u) {
          const Vec<T> g = columns.load(a.dh + i * d, u);
          db[u] += g / columns.load(a.denominator + i * d, u) * columns.load(a.sigma + k * d, u);
          de[u] += columns.load(a.dehat + k * d, u);
        }
      }
      S* out = a.dabde + j * 4 * d;
      for (int u = 0; u < V; ++u) {
        columns.store(out + d, u, db[u]);
        columns.store(out + 3 * d, u, de[u]);
      }
    }
  });
}

template <class S>
void weighted_sum(Index begin, Index end, Index d, const detail::WeightedSum<S>& a) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index i = begin; i < end; ++i) {
      Vec<T> sum[V];
      const T own = detail::widen(a.self[i]);
      for (int u = 0; u < V; ++u) sum[u] = own * columns.load(a.x + i * d, u);
      for (Index slot = a.start[i]; slot < a.start[i + 1]; ++slot) {
        const Index k = a.edge != nullptr ? a.edge[slot] : slot;
        const T w = detail::widen(a.weight[k]);
        const S* from = a.x + a.other[k] * d;
        for (int u = 0; u < V; ++u) sum[u] += w * columns.load(from, u);
      }
      for (int u = 0; u < V; ++u) columns.store(a.out + i * d, u, sum[u]);
    }
  });
}

}  // namespace

template <class S>
void add_message_kernels(detail::MessageKernels<S>& table) {
  table.gine_forward = gine_forward<S>;
  table.gine_backward_edges = gine_backward_edges<S>;
  table.gine_backward_nodes = gine_backward_nodes<S>;
  table.gated_forward = gated_forward<S>;
  table.gated_backward_targets = gated_backward_targets<S>;
  table.gated_backward_sources = gated_backward_sources<S>;
  table.weighted_sum = weighted_sum<S>;
}

template void add_message_kernels(detail::MessageKernels<float>&);
template void add_message_kernels(detail::MessageKernels<double>&);
template void add_message_kernels(detail::MessageKernels<detail::Bf16>&);
template void add_message_kernels(detail::MessageKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
