// The two shapes of row kernel that segments, norms and bias gradients share. segment.h says how a
// reduction is cut; what is reduced is a functor:
//
//   Fold<S, V>  State; kUnroll, the rows in flight;
//               init(); enter(segment, column), before a chunk's first row of each segment;
//               add(State (&)[V], row, column); merge(earlier, later) of two states;
//               finish(const State (&)[V], segment, column, rows), called once for each segment
//   Map<S, V>   enter(segment, column), before the first row of each segment; apply(row, column)
//
// column is the first of V channels. Functors are made from one argument struct for both V.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cuda/channel.cuh"
#include "ops/cuda/segment.h"

namespace gtrain::ops::cuda {

constexpr int kFoldThreads = 128;
constexpr int kMergeThreads = 512;
constexpr int kMergeWarps = kMergeThreads / 32;
constexpr std::int64_t kLongChunks = 64;  // segments over more chunks are merged by a block
constexpr std::int64_t kMapRows = 8;      // of one thread

// What folds that add numbers up share.
template <class A>
struct SumState {
  A sum;
};
template <class A>
struct Sum {
  __device__ static SumState<A> init() { return {A(0)}; }
  __device__ static SumState<A> merge(SumState<A> earlier, SumState<A> later) {
    return {earlier.sum + later.sum};
  }
};

struct Cut {
  std::int64_t height, chunks;
};

// The chunks of one segment.
struct Span {
  std::int64_t first, count;
};

__device__ __forceinline__ std::int64_t segment_begin(const Segments& s, std::int64_t g) {
  return s.start != nullptr ? s.start[g] : 0;
}
__device__ __forceinline__ std::int64_t segment_end(const Segments& s, std::int64_t g) {
  return s.start != nullptr ? s.start[g + 1] : s.rows;
}

// The segment that holds `row`: the last one that begins at or before it.
__device__ __forceinline__ std::int64_t segment_of(const Segments& s, std::int64_t row) {
  std::int64_t low = 0, high = s.count;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (segment_begin(s, middle) <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Parts of a chunk in the workspace: 2 c holds what continues from chunk c - 1, 2 c + 1 what begins
// in chunk c and continues.
template <class Fold, int V>
__global__ void __launch_bounds__(kFoldThreads)
    fold_chunks(Segments s, Cut cut, Fold fold, typename Fold::State* parts) {
  const std::int64_t thread =
      static_cast<std::int64_t>(blockIdx.x) * kFoldThreads + static_cast<std::int64_t>(threadIdx.x);
  const std::int64_t vectors = s.width / V;
  const std::int64_t chunk = thread / vectors;
  const std::int64_t column = (thread - chunk * vectors) * V;
  if (chunk >= cut.chunks) return;
  const std::int64_t begin = chunk * cut.height;
  const std::int64_t end = begin + cut.height < s.rows ? begin + cut.height : s.rows;
  std::int64_t g = segment_of(s, begin);
  for (std::int64_t row = begin; row < end; ++g) {
    const std::int64_t first = segment_begin(s, g), last = segment_end(s, g);
    const std::int64_t stop = last < end ? last : end;
    if (stop <= row) continue;
    typename Fold::State state[V];
#pragma unroll
    for (int i = 0; i < V; ++i) state[i] = fold.init();
    fold.enter(g, column);
#pragma unroll Fold::kUnroll
    for (; row < stop; ++row) fold.add(state, row, column);
    if (first >= begin && last <= end) {
      fold.finish(state, g, column, last - first);
    } else {
      store_values<V>(parts + (2 * chunk + (first >= begin)) * s.width + column, state);
    }
  }
}

// Merges the parts of one channel in chunks number from, from + step, … of a segment.
template <class Fold>
__device__ __forceinline__ typename Fold::State merge_parts(const Fold& fold,
                                                            const typename Fold::State* parts,
                                                            std::int64_t width, Span span, int from,
                                                            int step) {
  typename Fold::State state = fold.init();
#pragma unroll 4
  for (std::int64_t c = from; c < span.count; c += step) {
    state = Fold::merge(state, parts[(2 * (span.first + c) + (c == 0)) * width]);
  }
  return state;
}

// Threads of the first `short_blocks` blocks own one channel of one segment each; the others, a
// block for every 64 chunks and 32 channels, merge the one long segment that claims them.
template <class Fold>
__global__ void __launch_bounds__(kMergeThreads)
    merge_chunks(Segments s, Cut cut, Fold fold, const typename Fold::State* parts,
                 std::int64_t short_blocks) {
  using State = typename Fold::State;
  State* shared = dynamic_shared<State>();
  const std::int64_t block = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const bool single = block < short_blocks;
  const std::int64_t tiles = (s.width + 31) / 32;
  std::int64_t g, column;
  bool mine;
  if (single) {
    const std::int64_t thread = block * kMergeThreads + static_cast<std::int64_t>(threadIdx.x);
    g = thread / s.width;
    column = thread - g * s.width;
    mine = g < s.count;
  } else {
    const std::int64_t claim = (block - short_blocks) / tiles;
    const std::int64_t row = claim * kLongChunks * cut.height;
    g = segment_of(s, row);
    column = (block - short_blocks - claim * tiles) * 32 + lane;
    // The first multiple of 64 chunks inside a segment claims it.
    mine = column < s.width && segment_begin(s, g) > row - kLongChunks * cut.height;
  }
  const std::int64_t first = mine ? segment_begin(s, g) : 0, last = mine ? segment_end(s, g) : 0;
  const std::int64_t first_chunk = first / cut.height;
  const std::int64_t chunks = last > first ? (last - 1) / cut.height - first_chunk + 1 : 0;
  // A segment in one chunk is finished; an empty one has no chunk and is finished here.
  const bool is_long = chunks > kLongChunks;
  mine = mine && chunks != 1 && is_long != single;
  State state[1] = {fold.init()};
  if (mine) {
    state[0] = merge_parts(fold, parts + column, s.width, Span{first_chunk, chunks},
                           single ? 0 : warp, single ? 1 : kMergeWarps);
  }
  if (!single) {
    shared[threadIdx.x] = state[0];
    __syncthreads();
    for (int w = 1; w < kMergeWarps; ++w) {
      if (warp == 0) state[0] = Fold::merge(state[0], shared[w * 32 + lane]);
    }
    mine = mine && warp == 0;
  }
  if (mine) fold.finish(state, g, column, last - first);
}

template <class Map, int V>
__global__ void __launch_bounds__(kFoldThreads, 4) map_rows(Segments s, Map map) {
  const std::int64_t thread =
      static_cast<std::int64_t>(blockIdx.x) * kFoldThreads + static_cast<std::int64_t>(threadIdx.x);
  const std::int64_t vectors = s.width / V;
  const std::int64_t chunk = thread / vectors;
  const std::int64_t column = (thread - chunk * vectors) * V;
  const std::int64_t begin = chunk * kMapRows;
  if (begin >= s.rows) return;
  const std::int64_t end = begin + kMapRows < s.rows ? begin + kMapRows : s.rows;
  std::int64_t g = segment_of(s, begin);
  for (std::int64_t row = begin; row < end; ++g) {
    const std::int64_t last = segment_end(s, g);
    const std::int64_t stop = last < end ? last : end;
    if (stop <= row) continue;
    map.enter(g, column);
#pragma unroll 2
    for (; row < stop; ++row) map.apply(row, column);
  }
}

inline dim3 blocks_for(std::int64_t threads, int block) {
  return dim3(grid_blocks((threads + block - 1) / block));
}

// aligned: the functor's matrices allow 16-byte accesses.
template <template <class, int> class Fold, class S, class Arguments>
void run_fold(const Segments& s, const Arguments& arguments, bool aligned, void* workspace,
              Stream stream) {
  using Wide = Fold<S, Pack<S>::kSize>;
  using Narrow = Fold<S, 1>;
  using State = typename Narrow::State;
  static_assert(sizeof(State) <= kStateBytes, "the workspace is too small");
  if (s.count == 0 || s.width == 0) return;
  const std::int64_t height = chunk_rows(s.rows, s.width);
  const Cut cut{height, (s.rows + height - 1) / height};
  State* parts = static_cast<State*>(workspace);
  if (s.rows > 0 && aligned) {
    launch(fold_chunks<Wide, Pack<S>::kSize>,
           blocks_for(cut.chunks * (s.width / Pack<S>::kSize), kFoldThreads), dim3(kFoldThreads), 0,
           stream, s, cut, Wide(arguments), parts);
  } else if (s.rows > 0) {
    launch(fold_chunks<Narrow, 1>, blocks_for(cut.chunks * s.width, kFoldThreads),
           dim3(kFoldThreads), 0, stream, s, cut, Narrow(arguments), parts);
  }
  const std::int64_t single = (s.count * s.width + kMergeThreads - 1) / kMergeThreads;
  const std::int64_t claims = cut.chunks > kLongChunks ? (cut.chunks - 1) / kLongChunks + 1 : 0;
  launch(merge_chunks<Narrow>, dim3(grid_blocks(single + claims * ((s.width + 31) / 32))),
         dim3(kMergeThreads), sizeof(State) * kMergeThreads, stream, s, cut, Narrow(arguments),
         static_cast<const State*>(parts), single);
}

template <template <class, int> class Map, class S, class Arguments>
void run_map(const Segments& s, const Arguments& arguments, bool aligned, Stream stream) {
  using Wide = Map<S, Pack<S>::kSize>;
  using Narrow = Map<S, 1>;
  if (s.rows == 0 || s.width == 0) return;
  const std::int64_t chunks = (s.rows + kMapRows - 1) / kMapRows;
  if (aligned) {
    launch(map_rows<Wide, Pack<S>::kSize>,
           blocks_for(chunks * (s.width / Pack<S>::kSize), kFoldThreads), dim3(kFoldThreads), 0,
           stream, s, Wide(arguments));
  } else {
    launch(map_rows<Narrow, 1>, blocks_for(chunks * s.width, kFoldThreads), dim3(kFoldThreads), 0,
           stream, s, Narrow(arguments));
  }
}

}  // namespace gtrain::ops::cuda
