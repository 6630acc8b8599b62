// How a warp shares the work on rows of a CSR: its 32 lanes are groups × heads × channels. A group
// works on one entry, all groups side by side; the lanes of a head hold its channels, V of them in
// one load (16 bytes, or one element where rows are not aligned), R loads a lane. Counts are powers
// of two, so some lanes may have no head or no channel: they load nothing but take part in
// shuffles.
#pragma once

#include "ops/cuda/device.cuh"
#include "ops/cuda/work.h"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda {

constexpr int kWarps = 4;  // of a block
// Blocks of a multiprocessor at least, for __launch_bounds__: without a number ptxas trades a few
// bytes of spills for one block more.
constexpr int kBlocks = 2;
constexpr unsigned kAllLanes = 0xffffffffu;

// Chosen on the host: lanes of a head and heads of a warp, as powers of two.
struct LaneShape {
  int heads = 1, width = 1;  // all heads, channels of each
  int log_lanes = 0, log_heads = 0;

  int warp_heads() const { return 1 << log_heads; }
  int head_blocks() const { return (heads + warp_heads() - 1) / warp_heads(); }
};

// As many lanes for a head as loads of `per_load` channels reach its width with.
inline LaneShape lane_shape(int heads, int width, int per_load) {
  LaneShape shape{heads, width, 0, 0};
  while (shape.log_lanes < 5 && (per_load << shape.log_lanes) < width) ++shape.log_lanes;
  while (shape.log_lanes + shape.log_heads < 5 && shape.warp_heads() < heads) ++shape.log_heads;
  return shape;
}

struct Lane {
  int group, groups;     // entries base + group, then every groups-th
  int head, slot;        // slot: the head's number in its warp
  int first, step, end;  // channels first, first + step, ... below end (0 without a head)
  int span, lanes;       // lanes of a group and of a head
  bool leads;            // writes what a head has one of

  __device__ __forceinline__ bool has_head() const { return end > 0; }
};

__device__ __forceinline__ Lane lane_of(const LaneShape& shape, int per_load) {
  const int id = static_cast<int>(threadIdx.x) & 31, log_span = shape.log_lanes + shape.log_heads;
  Lane l;
  l.lanes = 1 << shape.log_lanes;
  l.span = 1 << log_span;
  l.group = id >> log_span;
  l.groups = 32 >> log_span;
  l.slot = (id & (l.span - 1)) >> shape.log_lanes;
  l.head = (static_cast<int>(blockIdx.y) << shape.log_heads) + l.slot;
  l.first = (id & (l.lanes - 1)) * per_load;
  l.step = l.lanes * per_load;
  l.end = l.head < shape.heads ? shape.width : 0;
  l.leads = l.first == 0 && l.has_head();
  return l;
}

// What one load brings, as stored.
template <class S, int V>
struct Piece {
  static_assert(V == Pack<S>::kSize, "16 bytes");
  Pack<S> pack;
  __device__ __forceinline__ void load(const S* p) { pack = load_pack(p); }
  __device__ __forceinline__ void fill(S x) {
#pragma unroll
    for (int i = 0; i < V; ++i) pack[i] = x;
  }
  __device__ __forceinline__ compute_t<S> operator[](int i) const { return to_float(pack[i]); }
};
template <class S>
struct Piece<S, 1> {
  S value;
  __device__ __forceinline__ void load(const S* p) { value = *p; }
  __device__ __forceinline__ void fill(S x) { value = x; }
  __device__ __forceinline__ compute_t<S> operator[](int) const { return to_float(value); }
};

// A lane's channels of one row: zeros where there is no entry and beyond the head's width.
template <class S, int V, int R>
struct LaneRow {
  static constexpr int kSize = V * R;
  Piece<S, V> piece[R];

  __device__ __forceinline__ void load(const S* head_row, const Lane& lane, bool present) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int c = lane.first + r * lane.step;
      piece[r] = Piece<S, V>{};
      if (present && c < lane.end) piece[r].load(head_row + c);
    }
  }
  __device__ __forceinline__ compute_t<S> operator[](int i) const { return piece[i / V][i % V]; }

  __device__ __forceinline__ void fill(S value) {
#pragma unroll
    for (int r = 0; r < R; ++r) piece[r].fill(value);
  }

  // Of the channels of this lane alone.
  template <class X>
  __device__ __forceinline__ compute_t<S> dot(const X& x) const {
    compute_t<S> sum = 0;
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum += x[i] * (*this)[i];
    return sum;
  }
};

// This lane's channels, widened, times `factor`.
template <int V, class S, int N>
__device__ __forceinline__ void load_scaled(const S* head_row, const Lane& lane,
                                            compute_t<S> factor, compute_t<S> (&out)[N]) {
  LaneRow<S, V, N / V> row;
  row.load(head_row, lane, true);
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = row[i] * factor;
}

// x · factor to this lane's channels of a row of S (or of accumulators).
template <int V, class S, int N>
__device__ __forceinline__ void store_row(S* head_row, const Lane& lane, const compute_t<S> (&x)[N],
                                          compute_t<S> factor = 1) {
#pragma unroll
  for (int r = 0; r < N / V; ++r) {
    const int c = lane.first + r * lane.step;
    if (c >= lane.end) continue;
    if constexpr (V == 1) {
      head_row[c] = from_float<S>(x[r] * factor);
    } else {
      compute_t<S> out[V];
#pragma unroll
      for (int i = 0; i < V; ++i) out[i] = x[r * V + i] * factor;
      store_vector<V>(head_row + c, out);
    }
  }
}

// Over the lanes of a head; every lane gets the sum.
template <class A>
__device__ __forceinline__ A sum_head(A x, const Lane& lane) {
  for (int offset = lane.lanes >> 1; offset > 0; offset >>= 1) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  return x;
}

// Over the groups.
template <class A>
__device__ __forceinline__ A sum_groups(A x, const Lane& lane) {
  for (int offset = lane.span; offset < 32; offset <<= 1) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  return x;
}
template <class A, int N>
__device__ __forceinline__ void sum_groups(A (&x)[N], const Lane& lane) {
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = sum_groups(x[i], lane);
}

__device__ __forceinline__ ops::detail::WorkItem item_of(const Work& work, std::int64_t task) {
  if (work.items != nullptr) return work.items[task];
  return {work.start[task], work.start[task + 1], static_cast<std::int32_t>(task), -1};
}

// The task of a warp; where blocks are fewer than tasks, every task_step-th from there on.
__device__ __forceinline__ std::int64_t task_begin() {
  return static_cast<std::int64_t>(blockIdx.x) * kWarps + (threadIdx.x >> 5);
}
__device__ __forceinline__ std::int64_t task_step() {
  return static_cast<std::int64_t>(gridDim.x) * kWarps;
}

// Blocks along x for that many tasks of a warp each, at most `most`.
inline unsigned warp_blocks(std::int64_t tasks, std::int64_t most = INT64_MAX) {
  const std::int64_t blocks = (tasks + kWarps - 1) / kWarps;
  return grid_blocks(blocks < most ? blocks : most);
}

// A warp for each task, `across` of them side by side along y.
template <class... P, class... A>
void launch_tasks(void (*kernel)(P...), const Work& work, int across, Stream stream, A... args) {
  if (work.tasks() == 0) return;
  launch(kernel, dim3(warp_blocks(work.tasks()), static_cast<unsigned>(across)), dim3(32 * kWarps),
         0, stream, args...);
}

// A block for each row that was cut.
template <class... P, class... A>
void launch_cuts(void (*kernel)(P...), const Work& work, Stream stream, A... args) {
  if (work.items == nullptr || work.cut_count == 0) return;
  launch(kernel, dim3(grid_blocks(work.cut_count)), dim3(128), 0, stream, args...);
}

// Whether an address, or a length in bytes, allows 16-byte loads.
inline bool whole_packs(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
inline bool whole_packs(std::int64_t bytes) { return bytes % 16 == 0; }

template <int V_, int R_>
struct Tile {
  static constexpr int V = V_, R = R_;
};

// Channels of a lane where heads are wider than one load of each lane: as many as registers hold.
template <class S>
constexpr int kWide = sizeof(S) == 8 ? 8 : 16;

template <class S>
constexpr int kWidthLimit = 32 * kWide<S>;

// body(Tile<V, R>{}) with lanes that span `width` channels, kWidthLimit at most.
template <class S, class Body>
void with_tile(bool packs, int width, const Body& body) {
  constexpr int kPack = Pack<S>::kSize;
  if (packs && width <= 32 * kPack) {
    body(Tile<kPack, 1>{});
  } else if (packs) {
    body(Tile<kPack, kWide<S> / kPack>{});
  } else if (width <= 32) {
    body(Tile<1, 1>{});
  } else {
    body(Tile<1, kWide<S>>{});
  }
}

}  // namespace gtrain::ops::cuda
