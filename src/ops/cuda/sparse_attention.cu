#include "ops/cuda/sparse_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

using ops::detail::CutRow;
using ops::detail::WorkItem;

// Sums of exponentials relative to the largest score seen so far.
template <class A, int N>
struct Softmax {
  A max = -INFINITY, sum = 0, out[N] = {};

  __device__ __forceinline__ void raise(A larger) {
    const A factor = exp2_of(max - reference(larger));
    max = larger;
    sum *= factor;
#pragma unroll
    for (int i = 0; i < N; ++i) out[i] *= factor;
  }

  // With what the other groups have; group 0 ends with all.
  __device__ __forceinline__ void merge(const Lane& lane) {
    for (int offset = lane.span; offset < 32; offset <<= 1) {
      const A other = __shfl_xor_sync(kAllLanes, max, offset);
      raise(other > max ? other : max);
      sum += __shfl_xor_sync(kAllLanes, sum, offset);
#pragma unroll
      for (int i = 0; i < N; ++i) out[i] += __shfl_xor_sync(kAllLanes, out[i], offset);
    }
  }
};

template <class S, class T>
__device__ __forceinline__ void attend(const SparseAttention<S>& a, const Lane& lane,
                                       const WorkItem& item,
                                       Softmax<compute_t<S>, T::V * T::R>& softmax) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>;
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  A q[T::V * T::R];
  load_scaled<T::V>(a.q + item.row * a.q_stride + head_offset, lane,
                    a.scale * static_cast<A>(kLog2E), q);
  const int count = static_cast<int>(item.end - item.begin);
  const std::int32_t* column = a.column + item.begin;
  for (int base = 0; base < count; base += U * lane.groups) {
    LaneRow<S, T::V, T::R> k[U], v[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count;
      const std::int64_t j = present ? column[e] : 0;
      k[u].load(a.k + j * a.k_stride + head_offset, lane, present);
      v[u].load(a.v + j * a.v_stride + head_offset, lane, present);
    }
    A score[U], largest = softmax.max;
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      score[u] = sum_head(k[u].dot(q), lane);
      score[u] = e < count && lane.has_head() ? score[u] + bias_of(a, item.begin + e, lane.head)
                                              : -INFINITY;
      largest = score[u] > largest ? score[u] : largest;
    }
    softmax.raise(largest);
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      A weight = exp2_of(score[u] - reference(largest));
      softmax.sum += weight;
      weight *= keep_factor(a, item.begin + e, lane.head);
#pragma unroll
      for (int i = 0; i < T::V * T::R; ++i) softmax.out[i] += weight * v[u][i];
    }
  }
}

// The partial results of a row: H d sums of values, and after those of all parts H maxima and H
// sums of exponentials each.
template <class S>
struct Partial {
  compute_t<S>* out;
  compute_t<S>* statistics;
  __device__ __forceinline__ Partial(const SparseAttention<S>& a, std::int64_t part) {
    const std::int64_t size = static_cast<std::int64_t>(a.heads) * a.width;
    out = static_cast<compute_t<S>*>(a.row_work.partial) + part * size;
    statistics = static_cast<compute_t<S>*>(a.row_work.partial) + a.row_work.parts * size +
                 part * 2 * a.heads;
  }
};

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    forward_kernel(SparseAttention<S> a, LaneShape shape) {
  using A = compute_t<S>;
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const std::int64_t t = task_begin();
  if (t < a.row_work.tasks()) {
    const WorkItem item = item_of(a.row_work, t);
    Softmax<A, T::V * T::R> softmax;
    attend<S, T>(a, lane, item, softmax);
    softmax.merge(lane);
    if (lane.group != 0) return;
    if (item.part < 0) {
      const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
      const A inverse = softmax.sum == 0 ? A(0) : A(1) / softmax.sum;
      store_row<T::V>(a.out + row * a.width + head_offset, lane, softmax.out, inverse);
      if (lane.leads) {
        a.lse[row + lane.head] =
            softmax.sum == 0 ? A(INFINITY) : softmax.max + log2_of(softmax.sum);
      }
    } else {
      const Partial<S> partial(a, item.part);
      store_row<T::V>(partial.out + head_offset, lane, softmax.out);
      if (lane.leads) {
        partial.statistics[lane.head] = softmax.max;
        partial.statistics[a.heads + lane.head] = softmax.sum;
      }
    }
  }
}

// A block a cut row, a thread a channel.
template <class S>
__global__ void merge_kernel(SparseAttention<S> a) {
  using A = compute_t<S>;
  const CutRow cut = a.row_work.cuts[blockIdx.x];
  const int width = a.heads * a.width;
  for (int c = static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x)) {
    const int head = c / a.width;
    A max = -INFINITY, sum = 0, out = 0;
    for (std::int32_t p = 0; p < cut.parts; ++p) {
      const A other = Partial<S>(a, cut.first_part + p).statistics[head];
      max = other > max ? other : max;
    }
    for (std::int32_t p = 0; p < cut.parts; ++p) {
      const Partial<S> partial(a, cut.first_part + p);
      const A factor = exp2_of(partial.statistics[head] - reference(max));
      sum += partial.statistics[a.heads + head] * factor;
      out += partial.out[c] * factor;
    }
    a.out[static_cast<std::int64_t>(cut.row) * width + c] =
        from_float<S>(sum == 0 ? A(0) : out / sum);
    if (c % a.width == 0) {
      a.lse[static_cast<std::int64_t>(cut.row) * a.heads + head] =
          sum == 0 ? A(INFINITY) : max + log2_of(sum);
    }
  }
}

}  // namespace

template <class S>
bool sparse_attention_takes(const SparseAttention<S>& a) {
  return takes_heads(a);
}

template <class S>
void sparse_attention_forward(const SparseAttention<S>& a, Stream stream) {
  with_tile<S>(nodes_take_packs(a), a.width, [&](auto tile) {
    using T = decltype(tile);
    const LaneShape shape = lane_shape(a.heads, a.width, T::V);
    launch_tasks(forward_kernel<S, T>, a.row_work, shape.head_blocks(), stream, a, shape);
  });
  launch_cuts(merge_kernel<S>, a.row_work, stream, a);
}

#define GTRAIN_INSTANTIATE(S)                                         \
  template bool sparse_attention_takes<S>(const SparseAttention<S>&); \
  template void sparse_attention_forward<S>(const SparseAttention<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
