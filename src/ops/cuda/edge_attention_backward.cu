#include "ops/cuda/edge_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

using ops::detail::WorkItem;

// What reaches w_p from the edge output: row p of dw, or zeros.
template <class S, class T>
__device__ __forceinline__ void load_dw(const EdgeAttention<S>& a,
                                        const EdgeAttentionGradient<S>& g, const Lane& lane,
                                        std::int64_t p, bool present, Row<S, T>& dw) {
  dw.load(g.dw + (p * a.heads + lane.head) * a.width, lane, present && g.dw != nullptr);
}

template <class S, class T>
__device__ __forceinline__ void row_gradient(const EdgeAttention<S>& a,
                                             const EdgeAttentionGradient<S>& g, const Lane& lane,
                                             const WorkItem& item,
                                             compute_t<S> (&dq)[T::V * T::R]) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>, kSize = T::V * T::R;
  const std::int64_t head_offset = head_offset_of(a, lane);
  A q[kSize];
  load_scaled<T::V>(a.q + item.row * a.q_stride + head_offset, lane, a.scale, q);
  Row<S, T> dout;
  const A delta = load_delta<T>(a, g, lane, item, dout);
  const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
  const A inverse = lane.has_head() ? a.inverse[row + lane.head] : A(0);
  const int count = static_cast<int>(item.end - item.begin);
  const std::int32_t* column = a.column + item.begin;
  for (int base = 0; base < count; base += U * lane.groups) {
    Row<S, T> k[U], v[U], edge[U], dw[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count;
      const std::int64_t j = present ? column[e] : 0;
      k[u].load(a.k + j * a.k_stride + head_offset, lane, present);
      v[u].load(a.v + j * a.v_stride + head_offset, lane, present);
      load_edge<S, T>(a, lane, item.begin + e, present, edge[u]);
      load_dw<S, T>(a, g, lane, item.begin + e, present, dw[u]);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      A sum = 0, dedge[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum += q[i] * k[u][i] * edge[u][i];
      const Weight<A> weight = weight_of(a, lane, sum);
      const A dweight = sum_head(v[u].dot(dout), lane);
      const A dscore = weight.inside ? weight.value * inverse * (dweight - delta) : A(0);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const A dproduct = (dscore + dw[u][i]) * k[u][i];
        dq[i] += dproduct * edge[u][i];
        dedge[i] = dproduct * q[i];
      }
      if (g.dedge != nullptr && e < count) {
        store_row<T::V>(g.dedge + ((item.begin + e) * a.heads + lane.head) * a.width, lane, dedge);
      }
    }
  }
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    row_gradient_kernel(EdgeAttention<S> a, EdgeAttentionGradient<S> g, LaneShape shape) {
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t t = task_begin();
  if (t < a.row_work.tasks()) {
    const WorkItem item = item_of(a.row_work, t);
    compute_t<S> dq[T::V * T::R] = {};
    row_gradient<S, T>(a, g, lane, item, dq);
    give_query_gradient<T>(a, g, lane, item, dq);
  }
}

template <class S, class T>
__device__ __forceinline__ void column_gradient(const EdgeAttention<S>& a,
                                                const EdgeAttentionGradient<S>& g, const Lane& lane,
                                                const WorkItem& item,
                                                compute_t<S> (&dk)[T::V * T::R],
                                                compute_t<S> (&dv)[T::V * T::R]) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>, kSize = T::V * T::R;
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  Row<S, T> k, v;
  k.load(a.k + item.row * a.k_stride + head_offset, lane, true);
  v.load(a.v + item.row * a.v_stride + head_offset, lane, true);
  const int count = static_cast<int>(item.end - item.begin);
  const std::int32_t* rows = g.row + item.begin;
  const std::int64_t* pairs = g.pair + item.begin;
  for (int base = 0; base < count; base += U * lane.groups) {
    Row<S, T> q[U], dout[U], edge[U], dw[U];
    A inverse[U], delta[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count, scored = present && lane.has_head();
      const std::int64_t i = present ? rows[e] : 0, p = present ? pairs[e] : 0;
      q[u].load(a.q + i * a.q_stride + head_offset, lane, present);
      dout[u].load(g.dout + i * a.heads * a.width + head_offset, lane, present);
      load_edge<S, T>(a, lane, p, present, edge[u]);
      load_dw<S, T>(a, g, lane, p, present, dw[u]);
      inverse[u] = scored ? a.inverse[i * a.heads + lane.head] : A(0);
      delta[u] = scored ? g.delta[i * a.heads + lane.head] : A(0);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
      A sum = 0;
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum += q[u][i] * a.scale * k[i] * edge[u][i];
      const Weight<A> weight = weight_of(a, lane, sum);
      const A dweight = sum_head(dout[u].dot(v), lane), share = weight.value * inverse[u];
      const A dscore = weight.inside ? share * (dweight - delta[u]) : A(0);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        dk[i] += (dscore + dw[u][i]) * q[u][i] * edge[u][i];
        dv[i] += share * dout[u][i];
      }
    }
  }
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    column_gradient_kernel(EdgeAttention<S> a, EdgeAttentionGradient<S> g, LaneShape shape) {
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t t = task_begin();
  if (t < g.column_work.tasks()) {
    const WorkItem item = item_of(g.column_work, t);
    compute_t<S> dk[T::V * T::R] = {}, dv[T::V * T::R] = {};
    column_gradient<S, T>(a, g, lane, item, dk, dv);
    give_key_gradients<T>(a, g, lane, item, dk, dv);
  }
}

}  // namespace

template <class S>
void edge_attention_backward(const EdgeAttention<S>& a, const EdgeAttentionGradient<S>& g,
                             Stream stream) {
  const bool packs =
      takes_packs(a) && node_gradients_take_packs(g) && whole_packs(g.dw) && whole_packs(g.dedge);
  with_tile<S>(packs, a.width, [&](auto tile) {
    using T = decltype(tile);
    const LaneShape shape = lane_shape(a.heads, a.width, T::V);
    const int across = shape.head_blocks();
    launch_tasks(row_gradient_kernel<S, T>, a.row_work, across, stream, a, g, shape);
    launch_tasks(column_gradient_kernel<S, T>, g.column_work, across, stream, a, g, shape);
  });
  sum_cut_gradients(a, g, stream);
}

#define GTRAIN_INSTANTIATE(S)                                       \
  template void edge_attention_backward<S>(const EdgeAttention<S>&, \
                                           const EdgeAttentionGradient<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
