// The walk over edges that all message passing shares: sums over the entries of each row of a CSR,
// all channels at once. What an entry adds and what becomes of the sums is the operation's:
//
//   struct Operation<S, V> {                        V: channels of a lane
//     static constexpr int kSums;
//     struct Own;                                   what all entries of a row read
//     struct Entry;                                 what one entry reads
//     void begin(Own&, row, const Lane&);
//     void load(Entry&, slot, const Lane&);       of a present entry
//     void add(const Own&, const Entry&, A (&sums)[kSums][V], slot, const Lane&);
//     template <int N> void finish(row, channel, const A (&sums)[kSums][N]);  N channels
//   };
#pragma once

#include "ops/cuda/channel.cuh"
#include "ops/cuda/lane.cuh"

namespace gtrain::ops::cuda {

// Of operations whose entries read nothing of their row.
struct None {};

// A lane's place among the channels of block y.
__device__ __forceinline__ Lane channel_lane(const LaneShape& shape, int per_load) {
  Lane lane = lane_of(shape, per_load);
  lane.head = 0;
  lane.first += static_cast<int>(blockIdx.y) * lane.step;
  lane.end = shape.width;
  return lane;
}

template <class S, int V, class Operation>
__global__ void __launch_bounds__(32 * kWarps, kBlocks)
    message_kernel(Operation operation, Work work, LaneShape shape) {
  using A = compute_t<S>;
  constexpr int U = sizeof(A) * V > 16 ? 2 : 4, kSums = Operation::kSums;
  const Lane lane = channel_lane(shape, V);
  const bool has_channel = lane.first < lane.end;
  const std::int64_t t = task_begin();
  if (t < work.tasks()) {
    const ops::detail::WorkItem item = item_of(work, t);
    typename Operation::Own own{};
    A sums[kSums][V] = {};
    if (has_channel) operation.begin(own, item.row, lane);
    for (std::int64_t base = item.begin; base < item.end; base += U * lane.groups) {
      typename Operation::Entry entry[U];
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const std::int64_t slot = base + u * lane.groups + lane.group;
        if (slot < item.end && has_channel) operation.load(entry[u], slot, lane);
      }
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const std::int64_t slot = base + u * lane.groups + lane.group;
        if (slot < item.end && has_channel) operation.add(own, entry[u], sums, slot, lane);
      }
    }
#pragma unroll
    for (int s = 0; s < kSums; ++s) sum_groups(sums[s], lane);
    if (lane.group != 0 || !has_channel) return;
    if (item.part < 0) {
      operation.template finish<V>(item.row, lane.first, sums);
    } else {
      A* partial = static_cast<A*>(work.partial) +
                   static_cast<std::int64_t>(item.part) * kSums * shape.width;
#pragma unroll
      for (int s = 0; s < kSums; ++s) {
        store_channels<V>(partial + s * shape.width + lane.first, sums[s]);
      }
    }
  }
}

// A block a cut row, a thread a channel.
template <class S, class Operation>
__global__ void message_merge_kernel(Operation operation, Work work, int width) {
  using A = compute_t<S>;
  constexpr int kSums = Operation::kSums;
  const ops::detail::CutRow cut = work.cuts[blockIdx.x];
  for (int c = static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x)) {
    A sums[kSums][1] = {};
    for (std::int32_t p = 0; p < cut.parts; ++p) {
      const A* partial = static_cast<const A*>(work.partial) +
                         (cut.first_part + static_cast<std::int64_t>(p)) * kSums * width;
      for (int s = 0; s < kSums; ++s) sums[s][0] += partial[s * width + c];
    }
    operation.template finish<1>(cut.row, c, sums);
  }
}

template <class S, template <class, int> class Operation, class Arguments>
void launch_message(const Arguments& a, const Work& work, bool packs, Stream stream) {
  if (a.width == 0) return;
  const auto run = [&](auto tile) {
    using T = decltype(tile);
    const LaneShape shape = lane_shape(1, a.width, T::V);
    const int span = T::V << shape.log_lanes;
    launch_tasks(message_kernel<S, T::V, Operation<S, T::V>>, work, (a.width + span - 1) / span,
                 stream, Operation<S, T::V>{a}, work, shape);
  };
  if (packs) {
    run(Tile<Pack<S>::kSize, 1>{});
  } else {
    run(Tile<1, 1>{});
  }
  launch_cuts(message_merge_kernel<S, Operation<S, 1>>, work, stream, Operation<S, 1>{a}, work,
              a.width);
}

}  // namespace gtrain::ops::cuda
