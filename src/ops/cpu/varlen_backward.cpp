// Gradients of varlen attention from the rows' log-sum-exp: the weights are computed again tile by
// tile, the dropout masks drawn again, and gradients of keys and values gather over the tiles of
// queries in ascending order.
#include <cmath>
#include <limits>

#include "ops/cpu/kernel.h"
#include "ops/cpu/varlen_block.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace varlen {
namespace {

template <class T>
struct Backward {
  const VarlenGraph<T>& g;
  Index head;
  T *q, *dout, *dq;       // columns [d, kTile]
  T *q_rows, *dout_rows;  // [kTile, wp]
  T *weight, *dscore;     // [kKeys, kTile]
  T *dk, *dv;             // [n, wp]
  T lse[kTile<T>], delta[kTile<T>];
  HeadBias<T> bias;

  Backward(const VarlenGraph<T>& graph, Index h, Scratch<T>& memory)
      : g(graph),
        head(h),
        q(memory.take(graph.width * kTile<T>)),
        dout(memory.take(graph.width * kTile<T>)),
        dq(memory.take(graph.width * kTile<T>)),
        q_rows(memory.take(kTile<T> * padded<T>(graph.width))),
        dout_rows(memory.take(kTile<T> * padded<T>(graph.width))),
        weight(memory.take(kKeys * kTile<T>)),
        dscore(memory.take(kKeys * kTile<T>)),
        dk(memory.take(graph.n * padded<T>(graph.width))),
        dv(memory.take(graph.n * padded<T>(graph.width))),
        bias(graph, h, memory) {}

  static Index size(const VarlenGraph<T>& g) {
    return (3 * g.width + 2 * kKeys) * kTile<T> + 2 * (kTile<T> + g.n) * padded<T>(g.width) +
           HeadBias<T>::size(g);
  }
};

// Queries, output gradients (times 1/(1-p), which spares the weights that factor), lse and
// delta = dO · O of a block. Lanes without a query weigh 0.
template <class T>
void gather(Backward<T>& f, Index first, Index count) {
  const VarlenGraph<T>& g = f.g;
  const Index channel = f.head * g.width;
  const T* q = g.q + first * g.stride + channel;
  const T* dout = g.dout + first * g.out_stride + channel;
  const T* out = g.out + first * g.out_stride + channel;
  rows_to_columns(q, g.stride, count, g.width,
                  static_cast<T>(kLog2e / std::sqrt(static_cast<double>(g.width))), f.q);
  rows_to_columns(dout, g.out_stride, count, g.width, g.keep_scale, f.dout);
  pack_rows(q, g.stride, count, g.width, T{1}, f.q_rows);
  pack_rows(dout, g.out_stride, count, g.width, g.keep_scale, f.dout_rows);
  constexpr Index w = Simd<T>::kLanes;
  for (Index i = 0; i < count; ++i) {
    Vec<T> dot = {};
    for (Index c = 0; c < g.width; c += w) {
      const Index part = std::min(w, g.width - c);
      dot += load_first(dout + i * g.out_stride + c, part) *
             load_first(out + i * g.out_stride + c, part);
    }
    f.delta[i] = sum_pairs<T>(dot);
    f.lse[i] = g.lse[(first + i) * g.heads + f.head];
  }
  for (Index i = count; i < kTile<T>; ++i) {
    f.delta[i] = 0;
    f.lse[i] = std::numeric_limits<T>::infinity();
  }
}

// Scores and dO · V of a tile -> kept weights and gradients of the scores, in place.
template <class T, int V>
void differentiate(Backward<T>& f, const Streams<T>& streams, Index key, Index keys) {
  constexpr Index w = Simd<T>::kLanes;
  const std::uint32_t threshold = f.g.threshold;
  Vec<T> lse[V], delta[V];
  for (int v = 0; v < V; ++v) {
    lse[v] = load(f.lse + v * w);
    delta[v] = load(f.delta + v * w);
  }
  for (Index j = 0; j < keys; ++j) {
    for (int v = 0; v < V; ++v) {
      const Index at = j * kTile<T> + v * w;
      const Vec<T> p = power<T>(load(f.weight + at) - lse[v]);
      Vec<T> kept = p, dp = load(f.dscore + at);
      if (threshold != 0) {
        const auto keep = streams.kept(v, key + j, threshold);
        kept = keep ? p : Vec<T>{};
        dp = keep ? dp : Vec<T>{};
      }
      store<T>(f.weight + at, kept);
      store<T>(f.dscore + at, p * (dp - delta[v]));
    }
  }
}

template <class T, int V>
void block(Backward<T>& f, Index first, Index count) {
  const VarlenGraph<T>& g = f.g;
  const Index channel = f.head * g.width, wp = padded<T>(g.width);
  const Streams<T> streams(g, f.head, first, count);
  gather(f, first, count);
  f.bias.start(first, count);
  const Index blocks = (g.n + kKeys - 1) / kKeys;
  for (Index b = 0, key = 0; b < blocks; ++b) {
    const Index keys = (g.n + b) / blocks;
    const T* k = g.k + key * g.stride + channel;
    const T* v = g.v + key * g.stride + channel;
    multiply<T, V, Left::kRows>({k, g.stride, f.q, kTile<T>, f.weight, kTile<T>, g.width, false},
                                keys);
    f.bias.template add<V>(key, keys, f.weight);
    multiply<T, V, Left::kRows>({v, g.stride, f.dout, kTile<T>, f.dscore, kTile<T>, g.width, false},
                                keys);
    differentiate<T, V>(f, streams, key, keys);
    f.bias.take_gradient(key, keys, f.dscore);
    multiply<T, V, Left::kColumns>({k, g.stride, f.dscore, kTile<T>, f.dq, kTile<T>, keys, key > 0},
                                   g.width);
    multiply_wide<T, Left::kScores>(
        {f.dscore, 0, f.q_rows, wp, f.dk + key * wp, wp, count, first > 0}, keys, wp);
    multiply_wide<T, Left::kScores>(
        {f.weight, 0, f.dout_rows, wp, f.dv + key * wp, wp, count, first > 0}, keys, wp);
    key += keys;
  }
  columns_to_rows(f.dq, count, g.width, static_cast<T>(1 / std::sqrt(static_cast<double>(g.width))),
                  g.dq + first * g.stride + channel, g.stride);
}

template <class T>
void backward(const VarlenGraph<T>& g) {
  Scratch<T>& memory = scratch<T>();
  prefetch(g.q, g.n * g.stride);
  prefetch(g.dout, g.n * g.out_stride);
  prefetch<T>(g.out, g.n * g.out_stride);
  for (Index h = g.first_head; h < g.last_head; ++h) {
    memory.reset(Backward<T>::size(g));
    Backward<T> f(g, h, memory);
    for (Index i = 0; i < g.n; i += kTile<T>) {
      const Index count = std::min(kTile<T>, g.n - i);
      if (count <= Simd<T>::kLanes) {
        block<T, 1>(f, i, count);
      } else {
        block<T, kTileVectors>(f, i, count);
      }
    }
    f.bias.finish();
    unpack_rows(f.dk, g.n, g.width, static_cast<T>(1 / std::sqrt(static_cast<double>(g.width))),
                g.dk + h * g.width, g.stride);
    unpack_rows(f.dv, g.n, g.width, T{1}, g.dv + h * g.width, g.stride);
  }
}

}  // namespace
}  // namespace varlen

template <class T>
void add_varlen_backward(detail::VarlenKernels<T>& table) {
  table.backward = varlen::backward<T>;
}
template void add_varlen_backward(detail::VarlenKernels<float>&);
template void add_varlen_backward(detail::VarlenKernels<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
