// Softmax attention of some heads of one graph (Vaswani et al. 2017), tile by tile with a running
// maximum (FlashAttention, Dao et al. 2022): queries lie side by side in the vectors, keys and
// values are read where they stand.
#include <cmath>
#include <limits>

#include "ops/cpu/kernel.h"
#include "ops/cpu/varlen_block.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace varlen {
namespace {

// One head's memory.
template <class T>
struct Forward {
  const VarlenGraph<T>& g;
  Index head;
  T *q, *s, *out;  // columns: scaled queries [d, kTile], weights [kKeys, kTile], outputs [d, kTile]
  HeadBias<T> bias;

  Forward(const VarlenGraph<T>& graph, Index h, Scratch<T>& memory)
      : g(graph),
        head(h),
        q(memory.take(graph.width * kTile<T>)),
        s(memory.take(kKeys * kTile<T>)),
        out(memory.take(graph.width * kTile<T>)),
        bias(graph, h, memory) {}

  static Index size(const VarlenGraph<T>& g) {
    return (2 * g.width + kKeys) * kTile<T> + HeadBias<T>::size(g);
  }
};

template <class T, int V>
struct Running {
  Vec<T> top[V], total[V];  // of each query: largest score so far, sum of weights relative to it
};

// Scores in s -> weights relative to the running maximum, dropped ones 0; rescales what came
// before.
template <class T, int V>
void weigh(Forward<T>& f, const Streams<T>& streams, Index key, Index keys, Running<T, V>& run) {
  constexpr Index w = Simd<T>::kLanes;
  const Vec<T> none = splat<T>(-std::numeric_limits<T>::infinity());
  Vec<T> top[V];
  for (int v = 0; v < V; ++v) top[v] = run.top[v];
  for (Index j = 0; j < keys; ++j) {
    for (int v = 0; v < V; ++v) {
      const Vec<T> x = load(f.s + j * kTile<T> + v * w);
      top[v] = x > top[v] ? x : top[v];
    }
  }
  Vec<T> reference[V], sum[V];
  for (int v = 0; v < V; ++v) {
    reference[v] = top[v] == none ? Vec<T>{} : top[v];
    const Vec<T> shrink = power<T>(run.top[v] - reference[v]);
    run.top[v] = top[v];
    sum[v] = run.total[v] * shrink;
    if (key == 0) continue;
    for (Index c = 0; c < f.g.width; ++c) {
      T* out = f.out + c * kTile<T> + v * w;
      store<T>(out, load(out) * shrink);
    }
  }
  for (Index j = 0; j < keys; ++j) {
    for (int v = 0; v < V; ++v) {
      T* at = f.s + j * kTile<T> + v * w;
      const Vec<T> weight = power<T>(load(at) - reference[v]);
      sum[v] += weight;
      if (f.g.threshold == 0) {
        store<T>(at, weight);
      } else {
        store<T>(at, streams.kept(v, key + j, f.g.threshold) ? weight : Vec<T>{});
      }
    }
  }
  for (int v = 0; v < V; ++v) run.total[v] = sum[v];
}

template <class T, int V>
void block(Forward<T>& f, Index first, Index count) {
  constexpr Index w = Simd<T>::kLanes;
  const VarlenGraph<T>& g = f.g;
  const Index channel = f.head * g.width;
  const Streams<T> streams(g, f.head, first, count);
  rows_to_columns(g.q + first * g.stride + channel, g.stride, count, g.width,
                  static_cast<T>(kLog2e / std::sqrt(static_cast<double>(g.width))), f.q);
  f.bias.start(first, count);
  Running<T, V> run;
  for (int v = 0; v < V; ++v) {
    run.top[v] = splat<T>(-std::numeric_limits<T>::infinity());
    run.total[v] = Vec<T>{};
  }
  const Index blocks = (g.n + kKeys - 1) / kKeys;
  for (Index b = 0, key = 0; b < blocks; ++b) {
    const Index keys = (g.n + b) / blocks;
    const T* k = g.k + key * g.stride + channel;
    const T* v = g.v + key * g.stride + channel;
    multiply<T, V, Left::kRows>({k, g.stride, f.q, kTile<T>, f.s, kTile<T>, g.width, false}, keys);
    f.bias.template add<V>(key, keys, f.s);
    weigh<T, V>(f, streams, key, keys, run);
    multiply<T, V, Left::kColumns>({v, g.stride, f.s, kTile<T>, f.out, kTile<T>, keys, key > 0},
                                   g.width);
    key += keys;
  }
  T top[kTile<T>], total[kTile<T>];
  for (int v = 0; v < V; ++v) {
    const Vec<T> none = {};  // a query whose every score is -inf gives zeros
    const Vec<T> inverse = run.total[v] == none ? none : splat<T>(g.keep_scale) / run.total[v];
    for (Index c = 0; c < g.width; ++c) {
      T* out = f.out + c * kTile<T> + v * w;
      store<T>(out, load(out) * inverse);
    }
    store<T>(top + v * w, run.top[v]);
    store<T>(total + v * w, run.total[v]);
  }
  columns_to_rows(f.out, count, g.width, T{1}, g.out + first * g.out_stride + channel,
                  g.out_stride);
  for (Index i = 0; i < count; ++i) {  // +inf: weights 0 in backward
    g.lse[(first + i) * g.heads + f.head] =
        total[i] == 0 ? std::numeric_limits<T>::infinity() : top[i] + std::log2(total[i]);
  }
}

template <class T>
void forward(const VarlenGraph<T>& g) {
  Scratch<T>& memory = scratch<T>();
  prefetch(g.q, g.n * g.stride);
  for (Index h = g.first_head; h < g.last_head; ++h) {
    memory.reset(Forward<T>::size(g));
    Forward<T> f(g, h, memory);
    for (Index i = 0; i < g.n; i += kTile<T>) {
      const Index count = std::min(kTile<T>, g.n - i);
      if (count <= Simd<T>::kLanes) {
        block<T, 1>(f, i, count);
      } else {
        block<T, kTileVectors>(f, i, count);
      }
    }
  }
}

}  // namespace
}  // namespace varlen

template <class T>
void add_varlen_forward(detail::VarlenKernels<T>& table) {
  table.forward = varlen::forward<T>;
}
template void add_varlen_forward(detail::VarlenKernels<float>&);
template void add_varlen_forward(detail::VarlenKernels<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
