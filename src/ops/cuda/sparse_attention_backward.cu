#include "ops/cuda/sparse_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

using ops::detail::WorkItem;

// One shared table [types, heads of a warp] a warp, for the gradient of the type bias. The groups
// add in turn, so that a type met by two of them is added twice, in a fixed order.
template <class S>
struct TypeTable {
  compute_t<S>* own = nullptr;
  int heads = 0;

  __device__ __forceinline__ void clear(const SparseAttentionGradient<S>& g,
                                        const LaneShape& shape) {
    heads = 1 << shape.log_heads;
    own = dynamic_shared<compute_t<S>>() + static_cast<int>(threadIdx.x >> 5) * g.types * heads;
    for (int i = static_cast<int>(threadIdx.x) & 31; i < g.types * heads; i += 32) own[i] = 0;
    __syncwarp();
  }

  __device__ __forceinline__ void add(const Lane& lane, bool present, int type,
                                      compute_t<S> value) {
    for (int turn = 0; turn < lane.groups; ++turn) {
      if (turn == lane.group && present) own[type * heads + lane.slot] += value;
      __syncwarp();
    }
  }
};

template <class S>
__device__ __forceinline__ void store_type_table(const SparseAttention<S>& a,
                                                 const SparseAttentionGradient<S>& g,
                                                 const LaneShape& shape) {
  const int heads = 1 << shape.log_heads, size = g.types * heads;
  const auto* tables = dynamic_shared<compute_t<S>>();
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    const int head = static_cast<int>(blockIdx.y) * heads + i % heads;
    if (head >= a.heads) continue;
    compute_t<S> sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += tables[warp * size + i];
    const std::int64_t entry = static_cast<std::int64_t>(i / heads) * a.heads + head;
    g.type_partial[entry * gridDim.x + blockIdx.x] = sum;
  }
}

// A warp an entry of the table: its `blocks` partial sums.
template <class S>
__global__ void type_sum_kernel(const compute_t<S>* partial, int blocks, int entries, S* out) {
  const auto entry = static_cast<int>(task_begin());
  compute_t<S> sum = 0;
  if (entry < entries) {
    for (int b = static_cast<int>(threadIdx.x) & 31; b < blocks; b += 32) {
      sum += partial[static_cast<std::int64_t>(entry) * blocks + b];
    }
  }
  for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (entry < entries && (threadIdx.x & 31) == 0) out[entry] = from_float<S>(sum);
}

template <class S, class T>
__device__ __forceinline__ void row_gradient(const SparseAttention<S>& a,
                                             const SparseAttentionGradient<S>& g, const Lane& lane,
                                             const WorkItem& item, TypeTable<S>& table,
                                             compute_t<S> (&dq)[T::V * T::R]) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>;
  const std::int64_t head_offset = head_offset_of(a, lane);
  const std::int64_t row = static_cast<std::int64_t>(item.row) * a.heads;
  A q[T::V * T::R];
  load_scaled<T::V>(a.q + item.row * a.q_stride + head_offset, lane,
                    a.scale * static_cast<A>(kLog2E), q);
  LaneRow<S, T::V, T::R> dout;
  const A delta = load_delta<T>(a, g, lane, item, dout);
  const A lse = lane.has_head() ? a.lse[row + lane.head] : A(INFINITY);
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
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count && lane.has_head();
      A score = sum_head(k[u].dot(q), lane);
      const A dweight = sum_head(v[u].dot(dout), lane);
      A dscore = 0;
      if (present) {
        const std::int64_t p = item.begin + e;
        score += bias_of(a, p, lane.head);
        dscore = exp2_of(score - lse) * (dweight * keep_factor(a, p, lane.head) - delta);
        if (lane.leads && g.dpair_bias != nullptr) {
          g.dpair_bias[p * a.heads + lane.head] = from_float<S>(dscore);
        }
      }
      if (g.dtype_bias != nullptr) {
        const bool adds = present && lane.leads;
        table.add(lane, adds, adds && a.type != nullptr ? a.type[item.begin + e] : 0, dscore);
      }
#pragma unroll
      for (int i = 0; i < T::V * T::R; ++i) dq[i] += dscore * k[u][i];
    }
  }
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    row_gradient_kernel(SparseAttention<S> a, SparseAttentionGradient<S> g, LaneShape shape) {
  const Lane lane = lane_of(shape, T::V);
  TypeTable<S> table;
  if (g.dtype_bias != nullptr) table.clear(g, shape);
  for (std::int64_t t = task_begin(); t < a.row_work.tasks(); t += task_step()) {
    const WorkItem item = item_of(a.row_work, t);
    compute_t<S> dq[T::V * T::R] = {};
    row_gradient<S, T>(a, g, lane, item, table, dq);
    give_query_gradient<T>(a, g, lane, item, dq);
  }
  if (g.dtype_bias != nullptr) store_type_table(a, g, shape);
}

template <class S, class T>
__device__ __forceinline__ void column_gradient(const SparseAttention<S>& a,
                                                const SparseAttentionGradient<S>& g,
                                                const Lane& lane, const WorkItem& item,
                                                compute_t<S> (&dk)[T::V * T::R],
                                                compute_t<S> (&dv)[T::V * T::R]) {
  using A = compute_t<S>;
  constexpr int U = kAhead<S, T>;
  const std::int64_t head_offset = static_cast<std::int64_t>(lane.head) * a.width;
  const bool needs_pair = a.pair_bias != nullptr || a.type_bias != nullptr || a.threshold != 0;
  A k[T::V * T::R];
  load_scaled<T::V>(a.k + item.row * a.k_stride + head_offset, lane,
                    a.scale * static_cast<A>(kLog2E), k);
  LaneRow<S, T::V, T::R> v;
  v.load(a.v + item.row * a.v_stride + head_offset, lane, true);
  const int count = static_cast<int>(item.end - item.begin);
  const std::int32_t* rows = g.row + item.begin;
  const std::int64_t* pairs = g.pair + item.begin;
  for (int base = 0; base < count; base += U * lane.groups) {
    LaneRow<S, T::V, T::R> q[U], dout[U];
    A lse[U], delta[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      const bool present = e < count;
      const std::int64_t i = present ? rows[e] : 0;
      q[u].load(a.q + i * a.q_stride + head_offset, lane, present);
      dout[u].load(g.dout + i * a.heads * a.width + head_offset, lane, present);
      const bool scored = present && lane.has_head();
      lse[u] = scored ? a.lse[i * a.heads + lane.head] : A(INFINITY);
      delta[u] = scored ? g.delta[i * a.heads + lane.head] : A(0);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int e = base + u * lane.groups + lane.group;
      A score = sum_head(q[u].dot(k), lane);
      const A dweight = sum_head(dout[u].dot(v), lane);
      A keep = 1;
      if (needs_pair && e < count && lane.has_head()) {
        const std::int64_t p = pairs[e];
        score += bias_of(a, p, lane.head);
        keep = keep_factor(a, p, lane.head);
      }
      const A weight = exp2_of(score - lse[u]), dscore = weight * (dweight * keep - delta[u]);
#pragma unroll
      for (int i = 0; i < T::V * T::R; ++i) {
        dk[i] += dscore * q[u][i];
        dv[i] += weight * keep * dout[u][i];
      }
    }
  }
}

template <class S, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    column_gradient_kernel(SparseAttention<S> a, SparseAttentionGradient<S> g, LaneShape shape) {
  const Lane lane = lane_of(shape, T::V);
  const std::int64_t t = task_begin();
  if (t < g.column_work.tasks()) {
    const WorkItem item = item_of(g.column_work, t);
    compute_t<S> dk[T::V * T::R] = {}, dv[T::V * T::R] = {};
    column_gradient<S, T>(a, g, lane, item, dk, dv);
    give_key_gradients<T>(a, g, lane, item, dk, dv);
  }
}

// Rows in as many blocks as share the sums of types, and those sums. A warp takes no more heads
// than leave its tables room beside those of other blocks.
template <class S, class T>
void launch_typed_rows(const SparseAttention<S>& a, const SparseAttentionGradient<S>& g,
                       LaneShape shape, Stream stream) {
  const dim3 block(32 * kWarps);
  const unsigned shares = warp_blocks(a.row_work.tasks(), g.type_blocks);
  const std::size_t column = sizeof(compute_t<S>) * static_cast<std::size_t>(kWarps * g.types);
  while (shape.log_heads > 0 && (column << shape.log_heads) > kEasyShared) --shape.log_heads;
  if (shares > 0) {
    launch(row_gradient_kernel<S, T>, dim3(shares, static_cast<unsigned>(shape.head_blocks())),
           block, column << shape.log_heads, stream, a, g, shape);
  }
  const int entries = g.types * a.heads;
  launch(type_sum_kernel<S>, dim3(warp_blocks(entries)), block, 0, stream, g.type_partial,
         static_cast<int>(shares), entries, g.dtype_bias);
}

}  // namespace

template <class S>
void sparse_attention_backward(const SparseAttention<S>& a, const SparseAttentionGradient<S>& g,
                               Stream stream) {
  with_tile<S>(nodes_take_packs(a) && node_gradients_take_packs(g), a.width, [&](auto tile) {
    using T = decltype(tile);
    const LaneShape shape = lane_shape(a.heads, a.width, T::V);
    const int across = shape.head_blocks();
    if (g.dtype_bias != nullptr) {
      launch_typed_rows<S, T>(a, g, shape, stream);
    } else {
      launch_tasks(row_gradient_kernel<S, T>, a.row_work, across, stream, a, g, shape);
    }
    launch_tasks(column_gradient_kernel<S, T>, g.column_work, across, stream, a, g, shape);
  });
  sum_cut_gradients(a, g, stream);
}

#define GTRAIN_INSTANTIATE(S)                                           \
  template void sparse_attention_backward<S>(const SparseAttention<S>&, \
                                             const SparseAttentionGradient<S>&, Stream);
GTRAIN_INSTANTIATE(float)
GTRAIN_INSTANTIATE(double)
GTRAIN_INSTANTIATE(bf16)
GTRAIN_INSTANTIATE(f16)
#undef GTRAIN_INSTANTIATE

}  // namespace gtrain::ops::cuda
