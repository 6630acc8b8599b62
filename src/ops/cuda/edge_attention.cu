#include "ops/cuda/edge_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

using ops::detail::CutRow;
using ops::detail::WorkItem;

template <class S, class T>
struct RowSums {
  compute_t<S> total = 0, out[T::V * T::R] = {};
};

template <class S, class T>
__device__ __forceinline__ void attend(const EdgeAttention<S>& a, const Lane& lane,
                                       const WorkItem& item, RowSums<S, T>& sums) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>, kSize = T::V * T::R;
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  A q[kSize];
  load_scaled<T::V>(a.q + item.row * a.q_stride + head_offset, lane, a.scale, q);
  const int count = static_cast<int>(item.end - item.begin);
  const std::int32_t* column = a.column + item.begin;
  for (int base = 0; base < count; base += U * lane.groups) {
    Row<S, T> k[U], v[U], edge[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count;
      const std::int64_t j = present ? column[e] : 0;
      k[u].load(a.k + j * a.k_stride + head_offset, lane, present);
      v[u].load(a.v + j * a.v_stride + head_offset, lane, present);
      load_edge<S, T>(a, lane, item.begin + e, present, edge[u]);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count;
      A w[kSize], sum = 0;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        w[i] = q[i] * k[u][i] * edge[u][i];
        sum += w[i];
      }
      if (a.w != nullptr && present) {
        store_row<T::V>(a.w + ((item.begin + e) * a.heads + lane.head) * a.width, lane, w);
      }
      const A weight = weight_of(a, lane, sum).value;
      if (!present) continue;
      sums.total += weight;
#pragma unroll
      for (int i = 0; i < kSize; ++i) sums.out[i] += weight * v[u][i];
    }
  }
}

// Partial results of a row: H d sums of values; behind those of all parts, H sums of exponentials
// each.
template <class S>
__device__ __forceinline__ compute_t<S>* partial_out(const EdgeAttention<S>& a, std::int64_t part) {
  return static_cast<compute_t<S>*>(a.row_work.partial) + part * a.heads * a.width;
}
template <class S>
__device__ __forceinline__ compute_t<S>* partial_total(const EdgeAttention<S>& a,
                                                       std::int64_t part) {
  return partial_out(a, a.row_work.parts) + part * a.heads;
}

// 1 / (total + epsilon), 0 for a row without entries.
template <class S>
__device__ __forceinline__ compute_t<S> inverse_of(const EdgeAttention<S>& a, compute_t<S> total) {
  const compute_t<S> sum = total + a.epsilon;
  return sum == 0 ? compute_t<S>(0) : compute_t<S>(1) / sum;
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    forward_kernel(EdgeAttention<S> a, LaneShape shape) {
  using A = compute_t<S>;
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const std::int64_t t = task_begin();
  if (t < a.row_work.tasks()) {
    const WorkItem item = item_of(a.row_work, t);
    RowSums<S, T> sums;
    attend<S, T>(a, lane, item, sums);
    sums.total = sum_groups(sums.total, lane);
    sum_groups(sums.out, lane);
    if (lane.group != 0) return;
    if (item.part < 0) {
      const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
      const A inverse = inverse_of(a, sums.total);
      store_row<T::V>(a.out + row * a.width + head_offset, lane, sums.out, inverse);
      if (lane.leads) a.inverse[row + lane.head] = inverse;
    } else {
      store_row<T::V>(partial_out(a, item.part) + head_offset, lane, sums.out);
      if (lane.leads) partial_total(a, item.part)[lane.head] = sums.total;
    }
  }
}

// A block a cut row, a thread a channel.
template <class S>
__global__ void merge_kernel(EdgeAttention<S> a) {
  using A = compute_t<S>;
  const CutRow cut = a.row_work.cuts[blockIdx.x];
  const int width = a.heads * a.width;
  for (int c = static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x)) {
    const int head = c / a.width;
    A total = 0, out = 0;
    for (std::int32_t p = 0; p < cut.parts; ++p) {
      total += partial_total(a, cut.first_part + p)[head];
      out += partial_out(a, cut.first_part + p)[c];
    }
    const A inverse = inverse_of(a, total);
    a.out[static_cast<std::int64_t>(cut.row) * width + c] = from_float<S>(out * inverse);
    if (c % a.width == 0) {
      a.inverse[static_cast<std::int64_t>(cut.row) * a.heads + head] = inverse;
    }
  }
}

}  // namespace

template <class S>
bool edge_attention_takes(const EdgeAttention<S>& a) {
  return takes_heads(a);
}

template <class S>
void edge_attention_forward(const EdgeAttention<S>& a, Stream stream) {
  with_tile<S>(takes_packs(a), a.width, [&](auto tile) {
    using T = decltype(tile);
    const LaneShape shape = lane_shape(a.heads, a.width, T::V);
    launch_tasks(forward_kernel<S, T>, a.row_work, shape.head_blocks(), stream, a, shape);
  });
  launch_cuts(merge_kernel<S>, a.row_work, stream, a);
}

#define GTRAIN_INSTANTIATE(S)                                     \
  template bool edge_attention_takes<S>(const EdgeAttention<S>&); \
  template void edge_attention_forward<S>(const EdgeAttention<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
