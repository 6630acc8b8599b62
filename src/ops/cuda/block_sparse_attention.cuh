// What the passes of attention by tiles of a pattern share: a warp's tile, where its places are,
// and the sum of the warps' results.
#pragma once

#include "ops/cuda/block_sparse_attention.h"
#include "ops/cuda/dense_tile.cuh"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda {

constexpr int kBlockWarps = 4, kBlockThreads = 32 * kBlockWarps;

template <class Real>
struct BlockMode {
  bool vector;
  Real scale, keep_scale;
};

// Columns of a tile as rows of a matrix of one head.
template <class S>
struct Gather {
  const S* matrix;
  std::int64_t stride;
  const std::int32_t* column;
  __device__ const S* operator()(int r) const {
    return column[r] < 0 ? nullptr : matrix + column[r] * stride;
  }
};

// Shared memory: `lefts` operands of the window's 16 rows, each warp's two operands of a tile,
// scratch and two numbers a column; afterwards the warps' results lie over it from the tiles on.
template <class Tile>
struct BlockRoom {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  static constexpr int kPitch = Tile::kSlice + 4;
  int rows, tiles, scratch, columns, total;  // in bytes
  __host__ __device__ BlockRoom(int lefts, int width) {
    const int row = Tile::stride(width) * static_cast<int>(sizeof(S));
    const int real = static_cast<int>(sizeof(Real));
    rows = kTileRows * row;
    tiles = lefts * rows;
    scratch = tiles + kBlockWarps * 2 * kTileColumns * row;
    columns = scratch + kBlockWarps * Tile::kScratch * real;
    total = columns + kBlockWarps * 2 * kTileColumns * real;
    const int merged = tiles + kBlockWarps * kTileRows * (kPitch + 2) * real;
    total = merged > total ? merged : total;
  }
};

// One warp's tile: which places are pairs, and their dropout.
template <class Tile>
struct BlockPlaces {
  const BlockTiles& tiles;
  std::int64_t tile;
  std::uint32_t mask[Tile::kRows];

  __device__ BlockPlaces(const BlockTiles& all, std::int64_t number) : tiles(all), tile(number) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) mask[i] = all.mask[tile * kTileRows + Tile::row(i)];
  }
  __device__ bool there(int i, int j) const { return (mask[i] >> Tile::column(j) & 1u) != 0; }
  // 0 or 1/(1-p); for a place that is a pair.
  template <class Real>
  __device__ Real factor(const BlockSparseAttention& a, int head, Real keep_scale, int i,
                         int j) const {
    const std::uint32_t before = mask[i] & ((1u << Tile::column(j)) - 1);
    std::int64_t p = tiles.entry[tile * kTileRows + Tile::row(i)] + __popc(before);
    if (tiles.pair != nullptr) p = tiles.pair[p];
    const std::uint64_t stream = ops::detail::row_key(a.key, static_cast<std::uint64_t>(p));
    const bool kept =
        ops::detail::draw<std::uint32_t>(stream, static_cast<std::uint32_t>(head)) >= a.threshold;
    return kept ? keep_scale : 0;
  }
};

// The warps' parts of a result to shared memory, [warp, 16, kPitch].
template <class Tile>
__device__ void put_part(const typename Tile::Real (&result)[Tile::kRows][Tile::kChannels],
                         int depth, typename Tile::Real* parts) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) {
      if (Tile::channel(k) >= depth) continue;
      parts[(warp * kTileRows + Tile::row(i)) * BlockRoom<Tile>::kPitch + Tile::channel(k)] =
          result[i][k];
    }
  }
}

// The sum of the parts in the order of the warps, each times share(warp, row), to rows of S.
template <class Tile, class Share>
__device__ void give_parts(const typename Tile::Real* parts, int depth, int count,
                           const Share& share, typename Tile::Storage* to, std::int64_t stride) {
  using S = typename Tile::Storage;
  const int width = depth < Tile::kSlice ? depth : Tile::kSlice;
  for (int i = static_cast<int>(threadIdx.x); i < count * width; i += kBlockThreads) {
    const int r = i / width, c = i % width;
    typename Tile::Real sum = 0;
    for (int warp = 0; warp < kBlockWarps; ++warp) {
      sum += parts[(warp * kTileRows + r) * BlockRoom<Tile>::kPitch + c] * share(warp, r);
    }
    to[r * stride + c] = from_float<S>(sum);
  }
}

template <class Tile>
struct BlockPlace {
  std::int64_t window, row;  // first row
  int head, count, slice, depth, warp;
  __device__ BlockPlace(const BlockSparseAttention& a, const BlockTiles& tiles)
      : window(static_cast<std::int64_t>(blockIdx.x) / a.heads),
        row(window * kTileRows),
        head(static_cast<int>(static_cast<std::int64_t>(blockIdx.x) % a.heads)),
        count(tiles.rows - row < kTileRows ? static_cast<int>(tiles.rows - row) : kTileRows),
        slice(static_cast<int>(blockIdx.y) * Tile::kSlice),
        depth(a.width - slice),
        warp(static_cast<int>(threadIdx.x) / 32) {}
};

template <class S>
__device__ __forceinline__ const S* head_of(const BlockSparseAttention& a, const void* matrix,
                                            int head) {
  return static_cast<const S*>(matrix) + head * a.width;
}

// Calls run(tile, mode).
template <class Run>
void with_block_tile(const BlockSparseAttention& a, bool vector, const Run& run) {
  with_dense_tile(a.storage, a.width, [&](auto tile) {
    using Real = typename decltype(tile)::Real;
    run(tile, BlockMode<Real>{vector, static_cast<Real>(a.scale), static_cast<Real>(a.keep_scale)});
  });
}

template <class Tile>
dim3 block_grid(const BlockSparseAttention& a, const BlockTiles& tiles) {
  return dim3(grid_blocks(tiles.windows * a.heads),
              static_cast<unsigned>((a.width + Tile::kSlice - 1) / Tile::kSlice));
}

inline bool block_vector(const BlockSparseAttention& a) {
  return whole_units(a.storage, a.width, a.q, a.q_stride) &&
         whole_units(a.storage, a.width, a.k, a.k_stride) &&
         whole_units(a.storage, a.width, a.v, a.v_stride);
}

// What two matrices have in the columns of a tile to shared memory, by a warp; the caller waits.
template <class Tile>
__device__ __forceinline__ void stage_columns(typename Tile::Storage* to,
                                              const Gather<typename Tile::Storage>& first,
                                              const Gather<typename Tile::Storage>& second,
                                              int width, bool vector) {
  stage<Tile, true>(to, first, kTileColumns, width, vector, first.matrix);
  stage<Tile, true>(to + kTileColumns * Tile::stride(width), second, kTileColumns, width, vector,
                    second.matrix);
  cp_async_commit();
}

}  // namespace gtrain::ops::cuda
