// What attention over CSR pairs shares, by softmax and with edge features: who writes which
// gradient, and what 16-byte loads need. The arguments of both have the members named here
// (sparse_attention.h, edge_attention.h).
#pragma once

#include "ops/cuda/exponential.cuh"
#include "ops/cuda/lane.cuh"
#include "ops/cuda/partial_sum.cuh"

namespace gtrain::ops::cuda {

template <template <class> class Attention, class S>
bool takes_heads(const Attention<S>& a) {
  return a.heads > 0 && a.width > 0 && a.width <= kWidthLimit<S>;
}

// Whether 16-byte loads and stores reach all rows of nodes.
template <template <class> class Attention, class S>
bool nodes_take_packs(const Attention<S>& a) {
  const auto bytes = static_cast<std::int64_t>(sizeof(S));
  return whole_packs(a.width * bytes) && whole_packs(a.q_stride * bytes) &&
         whole_packs(a.k_stride * bytes) && whole_packs(a.v_stride * bytes) && whole_packs(a.q) &&
         whole_packs(a.k) && whole_packs(a.v) && whole_packs(a.out);
}
template <template <class> class Gradient, class S>
bool node_gradients_take_packs(const Gradient<S>& g) {
  const auto bytes = static_cast<std::int64_t>(sizeof(S));
  return whole_packs(g.dq_stride * bytes) && whole_packs(g.dk_stride * bytes) &&
         whole_packs(g.dv_stride * bytes) && whole_packs(g.dout) && whole_packs(g.dq) &&
         whole_packs(g.dk) && whole_packs(g.dv);
}

template <template <class> class Attention, class S>
__device__ __forceinline__ std::int64_t head_offset_of(const Attention<S>& a, const Lane& lane) {
  return static_cast<std::int64_t>(lane.head) * a.width;
}

// dO of an item's row, and dO · O. Every item of a row knows that; the first one tells the column
// pass.
template <class T, class Attention, class Gradient, class Row>
__device__ __forceinline__ auto load_delta(const Attention& a, const Gradient& g, const Lane& lane,
                                           const ops::detail::WorkItem& item, Row& dout) {
  const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
  const std::int64_t at = row * a.width + head_offset_of(a, lane);
  Row out;
  dout.load(g.dout + at, lane, true);
  out.load(a.out + at, lane, true);
  const auto delta = sum_head(dout.dot(out), lane);
  if (lane.group == 0 && lane.leads && item.begin == a.row_work.start[item.row]) {
    g.delta[row + lane.head] = delta;
  }
  return delta;
}

// The groups' sums times the scale to the row, or to the item's part of a cut row.
template <class T, class Attention, class Gradient, class A, int N>
__device__ __forceinline__ void give_query_gradient(const Attention& a, const Gradient& g,
                                                    const Lane& lane,
                                                    const ops::detail::WorkItem& item, A (&dq)[N]) {
  const std::int64_t head = head_offset_of(a, lane);
  sum_groups(dq, lane);
  if (lane.group != 0) return;
  if (item.part < 0) {
    store_row<T::V>(g.dq + item.row * g.dq_stride + head, lane, dq, a.scale);
  } else {
    const std::int64_t part = static_cast<std::int64_t>(item.part) * a.heads * a.width;
    store_row<T::V>(static_cast<A*>(a.row_work.partial) + part + head, lane, dq, a.scale);
  }
}

// The same of a column: dk times the scale, and dv.
template <class T, class Attention, class Gradient, class A, int N>
__device__ __forceinline__ void give_key_gradients(const Attention& a, const Gradient& g,
                                                   const Lane& lane,
                                                   const ops::detail::WorkItem& item, A (&dk)[N],
                                                   A (&dv)[N]) {
  const std::int64_t head = head_offset_of(a, lane);
  sum_groups(dk, lane);
  sum_groups(dv, lane);
  if (lane.group != 0) return;
  if (item.part < 0) {
    store_row<T::V>(g.dk + item.row * g.dk_stride + head, lane, dk, a.scale);
    store_row<T::V>(g.dv + item.row * g.dv_stride + head, lane, dv);
  } else {
    const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
    A* partial = static_cast<A*>(g.column_work.partial) + item.part * 2 * width + head;
    store_row<T::V>(partial, lane, dk, a.scale);
    store_row<T::V>(partial + width, lane, dv);
  }
}

// What the items of cut rows and columns left.
template <template <class> class Attention, template <class> class Gradient, class S>
void sum_cut_gradients(const Attention<S>& a, const Gradient<S>& g, Stream stream) {
  const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
  sum_partials(a.row_work, width, 0, width, g.dq, g.dq_stride, stream);
  sum_partials(g.column_work, 2 * width, 0, width, g.dk, g.dk_stride, stream);
  sum_partials(g.column_work, 2 * width, width, width, g.dv, g.dv_stride, stream);
}

}  // namespace gtrain::ops::cuda
