#include "ops/cuda/edge_attention.cuh"
#include "ops/cuda/partial_sum.cuh"

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
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
  A q[kSize];
  load_scaled<T::V>(a.q + item.row * a.q_stride + head_offset, lane, a.scale, q);
  Row<S, T> dout, out;
  dout.load(g.dout + row * a.width + head_offset, lane, true);
  out.load(a.out + row * a.width + head_offset, lane, true);
  const A delta = sum_head(dout.dot(out), lane);
  const A inverse = lane.has_head() ? a.inverse[row + lane.head] : A(0);
  // Every item of a row knows delta; the first one tells the column pass.
  if (lane.group == 0 && lane.leads && item.begin == a.row_work.start[item.row]) {
    g.delta[row + lane.head] = delta;
  }
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
  using A = compute_t<S>;
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const std::int64_t t = task_begin();
  if (t < a.row_work.tasks()) {
    const WorkItem item = item_of(a.row_work, t);
    A dq[T::V * T::R] = {};
    row_gradient<S, T>(a, g, lane, item, dq);
    sum_groups(dq, lane);
    if (lane.group != 0) return;
    if (item.part < 0) {
      store_row<T::V>(g.dq + item.row * g.dq_stride + head_offset, lane, dq, a.scale);
    } else {
      const std::int64_t part = static_cast<std::int64_t>(item.part) * a.heads * a.width;
      store_row<T::V>(static_cast<A*>(a.row_work.partial) + part + head_offset, lane, dq, a.scale);
    }
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
      A product[kSize], sum = 0;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        product[i] = q[u][i] * a.scale;
        sum += product[i] * k[i] * edge[u][i];
      }
      const Weight<A> weight = weight_of(a, lane, sum);
      const A dweight = sum_head(dout[u].dot(v), lane), share = weight.value * inverse[u];
      const A dscore = weight.inside ? share * (dweight - delta[u]) : A(0);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        dk[i] += (dscore + dw[u][i]) * product[i] * edge[u][i];
        dv[i] += share * dout[u][i];
      }
    }
  }
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    column_gradient_kernel(EdgeAttention<S> a, EdgeAttentionGradient<S> g, LaneShape shape) {
  using A = compute_t<S>;
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
  const std::int64_t t = task_begin();
  if (t < g.column_work.tasks()) {
    const WorkItem item = item_of(g.column_work, t);
    A dk[T::V * T::R] = {}, dv[T::V * T::R] = {};
    column_gradient<S, T>(a, g, lane, item, dk, dv);
    sum_groups(dk, lane);
    sum_groups(dv, lane);
    if (lane.group != 0) return;
    if (item.part < 0) {
      store_row<T::V>(g.dk + item.row * g.dk_stride + head_offset, lane, dk);
      store_row<T::V>(g.dv + item.row * g.dv_stride + head_offset, lane, dv);
    } else {
      A* partial = static_cast<A*>(g.column_work.partial) + item.part * 2 * width + head_offset;
      store_row<T::V>(partial, lane, dk);
      store_row<T::V>(partial + width, lane, dv);
    }
  }
}

template <class S>
bool gradient_takes_packs(const EdgeAttention<S>& a, const EdgeAttentionGradient<S>& g) {
  const auto bytes = static_cast<std::int64_t>(sizeof(S));
  return takes_packs(a) && whole_packs(g.dq_stride * bytes) && whole_packs(g.dk_stride * bytes) &&
         whole_packs(g.dv_stride * bytes) && whole_packs(g.dout) && whole_packs(g.dw) &&
         whole_packs(g.dq) && whole_packs(g.dk) && whole_packs(g.dv) && whole_packs(g.dedge);
}

template <class S, class T>
void launch_gradients(const EdgeAttention<S>& a, const EdgeAttentionGradient<S>& g, Stream stream) {
  const LaneShape shape = lane_shape(a.heads, a.width, T::V);
  const auto head_blocks = static_cast<unsigned>(shape.head_blocks());
  const dim3 block(32 * kWarps);
  if (a.row_work.tasks() > 0) {
    launch(row_gradient_kernel<S, T>, dim3(warp_blocks(a.row_work.tasks()), head_blocks), block, 0,
           stream, a, g, shape);
  }
  if (g.column_work.tasks() > 0) {
    launch(column_gradient_kernel<S, T>, dim3(warp_blocks(g.column_work.tasks()), head_blocks),
           block, 0, stream, a, g, shape);
  }
}

}  // namespace

template <class S>
void edge_attention_backward(const EdgeAttention<S>& a, const EdgeAttentionGradient<S>& g,
                             Stream stream) {
  with_tile<S>(gradient_takes_packs(a, g), a.width,
               [&](auto tile) { launch_gradients<S, decltype(tile)>(a, g, stream); });
  const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
  sum_partials(a.row_work, width, 0, width, g.dq, g.dq_stride, stream);
  sum_partials(g.column_work, 2 * width, 0, width, g.dk, g.dk_stride, stream);
  sum_partials(g.column_work, 2 * width, width, width, g.dv, g.dv_stride, stream);
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
