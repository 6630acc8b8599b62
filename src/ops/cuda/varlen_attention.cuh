// What the passes of varlen attention share: where a block works, its shared memory, the bias.
#pragma once

#include "ops/cuda/dense_tile.cuh"
#include "ops/cuda/varlen_attention.h"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda {

constexpr int kVarlenThreads = 128;
constexpr int kHopBytes = 640;  // of a warp: 16 rows of 36 or 32 of 20

// How a kernel runs, chosen on the host; and its numbers, so that no kernel for float meets a
// double.
template <class Real>
struct VarlenMode {
  bool vector = false;  // 16-byte copies
  int stages = 1;       // buffers of columns: 2 where a graph has more than one tile of them
  Real scale = 1, keep_scale = 1;
};

template <class Real>
VarlenMode<Real> varlen_mode(const VarlenAttention& a, bool vector) {
  return {vector, a.longest > kTileColumns ? 2 : 1, static_cast<Real>(a.scale),
          static_cast<Real>(a.keep_scale)};
}

struct VarlenPlace {
  std::int64_t item, start, pair;  // first node of the graph, number of its first pair
  int n, first, head;              // nodes, the block's first row
};

__device__ __forceinline__ VarlenPlace varlen_place(const VarlenAttention& a) {
  VarlenPlace p;
  p.item = static_cast<std::int64_t>(blockIdx.x) / a.heads;
  p.head = static_cast<int>(static_cast<std::int64_t>(blockIdx.x) % a.heads);
  const VarlenItem item = a.items[p.item];
  p.start = a.graph_start[item.graph];
  p.n = static_cast<int>(a.graph_start[item.graph + 1] - p.start);
  p.first = item.first;
  p.pair = a.pair_offset == nullptr ? 0 : a.pair_offset[item.graph];
  return p;
}

// Byte offsets of the parts of the shared memory. Both sides compute it.
template <class Tile>
struct VarlenRoom {
  using Real = typename Tile::Real;
  int rows, operand, left, right, scratch, table, gradient, hops, columns, total;

  // `lefts`: operands whose rows stay; `gradients`: columns of the table's gradient, one per warp.
  __host__ __device__ VarlenRoom(int warps, int lefts, int stages, int width, int buckets,
                                 bool gradients, bool by_key) {
    rows = warps * kTileRows;
    operand = kTileColumns * row_bytes(width);
    left = 0;
    right = left + lefts * rows * row_bytes(width);
    scratch = right + stages * 2 * operand;
    table = scratch + warps * Tile::kScratch * static_cast<int>(sizeof(Real));
    const int column = (buckets * static_cast<int>(sizeof(Real)) + 15) / 16 * 16;
    gradient = table + column;
    hops = gradient + (gradients ? warps * column : 0);
    columns = hops + (buckets > 0 ? warps * kHopBytes : 0);
    total = columns + (by_key ? stages * column_bytes() : 0);
  }
  __host__ __device__ static int row_bytes(int width) {
    return Tile::stride(width) * static_cast<int>(sizeof(typename Tile::Storage));
  }
  // Per column of a tile: lse, delta and the stream of its dropout.
  __host__ __device__ static int column_bytes() {
    return kTileColumns * (2 * static_cast<int>(sizeof(Real)) + 8);
  }
};

// The bytes of word `word`, those beyond the last pair 0.
__device__ __forceinline__ std::uint32_t hop_word(const std::uint8_t* hop, std::int64_t pairs,
                                                  std::int64_t word) {
  const std::int64_t first = word * 4;
  if (first + 4 <= pairs) return reinterpret_cast<const std::uint32_t*>(hop)[word];
  std::uint32_t bytes = 0;
#pragma unroll 1
  for (int b = 0; first + b < pairs; ++b) {
    bytes |= static_cast<std::uint32_t>(hop[first + b]) << (8 * b);
  }
  return bytes;
}

// Hops of `kQueries` x `kKeys` pairs of a warp to shared memory, rows kKeys + 4 bytes apart. Rows
// of the matrix are n bytes long, so each word of a row lies across two aligned words.
template <int kQueries, int kKeys>
__device__ __forceinline__ void stage_hops(std::uint8_t* to, const VarlenAttention& a,
                                           const VarlenPlace& p, int query, int key) {
  constexpr int kWords = kKeys / 4;
  for (int i = lane_number(); i < kQueries * kWords; i += 32) {
    const int r = i / kWords, c = i % kWords * 4;
    std::uint32_t word = 0;
    if (query + r < p.n && key + c < p.n) {
      const std::int64_t at = p.pair + static_cast<std::int64_t>(query + r) * p.n + key + c;
      const int shift = static_cast<int>(at & 3), wanted = p.n - key - c;
      const std::uint32_t low = hop_word(a.hop, a.pairs, at / 4);
      const bool across = shift + (wanted < 4 ? wanted : 4) > 4;
      const std::uint32_t high = across ? hop_word(a.hop, a.pairs, at / 4 + 1) : 0;
      word = __funnelshift_r(low, high, static_cast<unsigned>(8 * shift));
    }
    *reinterpret_cast<std::uint32_t*>(to + r * (kKeys + 4) + c) = word;
  }
}

// One warp's view of its tile of pairs. By key: the tile's rows are keys, its columns queries.
template <class Tile, bool kByKey>
struct VarlenPairs {
  using Real = typename Tile::Real;
  const VarlenAttention& a;
  const VarlenPlace& p;
  Real scale;
  int row, column;  // of the graph, where the tile begins
  const Real* table;
  std::uint8_t* hops;

  __device__ int query(int i, int j) const {
    return kByKey ? column + Tile::column(j) : row + Tile::row(i);
  }
  __device__ int key(int i, int j) const {
    return kByKey ? row + Tile::row(i) : column + Tile::column(j);
  }
  __device__ bool there(int i, int j) const { return query(i, j) < p.n && key(i, j) < p.n; }
  __device__ int hop(int i, int j) const {
    return kByKey ? hops[Tile::column(j) * (kTileRows + 4) + Tile::row(i)]
                  : hops[Tile::row(i) * (kTileColumns + 4) + Tile::column(j)];
  }
  // Neighbouring keys are neighbours in memory: each head has its own stretch.
  __device__ std::int64_t bias_index(int i, int j) const {
    return p.head * a.pairs + p.pair + static_cast<std::int64_t>(query(i, j)) * p.n + key(i, j);
  }
  __device__ bool keeps(std::uint64_t stream, int i, int j) const {
    return ops::detail::draw<std::uint32_t>(stream, static_cast<std::uint32_t>(key(i, j))) >=
           a.threshold;
  }

  // Products to scores in base 2; -inf where there is no pair.
  __device__ void score(Real (&value)[Tile::kRows][Tile::kColumns]) const {
    if (a.hop != nullptr) {
      __syncwarp();
      if constexpr (kByKey) {
        stage_hops<kTileColumns, kTileRows>(hops, a, p, column, row);
      } else {
        stage_hops<kTileRows, kTileColumns>(hops, a, p, row, column);
      }
      __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        if (!there(i, j)) {
          value[i][j] = -infinity<Real>();
          continue;
        }
        value[i][j] *= scale * static_cast<Real>(kLog2E);
        if (a.hop != nullptr) value[i][j] += table[hop(i, j)];
        if (a.pair_bias != nullptr) {
          value[i][j] +=
              static_cast<const Real*>(a.pair_bias)[bias_index(i, j)] * static_cast<Real>(kLog2E);
        }
      }
    }
  }
};

// Begins the copies of the next tile of columns and waits for those of this one.
template <class Load>
__device__ __forceinline__ void await_tile(const Load& load, int tile, int tiles) {
  if (tile + 1 < tiles) {
    load(tile + 1);
    cp_async_wait<1>();
  } else {
    cp_async_wait<0>();
  }
  __syncthreads();
}

// The stream of one query's dropout.
__device__ __forceinline__ std::uint64_t varlen_stream(const VarlenAttention& a,
                                                       const VarlenPlace& p, int query) {
  return ops::detail::row_key(a.key,
                              static_cast<std::uint64_t>((p.start + query) * a.heads + p.head));
}

// The head's column of the table, in base 2, by the whole block.
template <class Real>
__device__ __forceinline__ void stage_table(Real* to, const VarlenAttention& a,
                                            const VarlenPlace& p) {
  for (int b = static_cast<int>(threadIdx.x); b < a.buckets; b += static_cast<int>(blockDim.x)) {
    to[b] = static_cast<const Real*>(a.table)[static_cast<std::int64_t>(b) * a.heads + p.head] *
            static_cast<Real>(kLog2E);
  }
}

// Rows [first, n) of one operand of qkv (0: q, 1: k, 2: v) or of another [N, H d] matrix.
template <class S>
__device__ __forceinline__ Span<S> rows_of(const VarlenAttention& a, const VarlenPlace& p,
                                           const void* matrix, std::int64_t stride, int operand,
                                           int first) {
  const std::int64_t channel = (static_cast<std::int64_t>(operand) * a.heads + p.head) * a.width;
  return {static_cast<const S*>(matrix) + (p.start + first) * stride + channel, stride,
          static_cast<std::int64_t>(p.n) - first};
}

// Keys and values of a tile of columns to shared memory, `operand` bytes each.
template <class Tile, class Real>
__device__ __forceinline__ void stage_keys(const VarlenAttention& a, const VarlenPlace& p,
                                           const VarlenMode<Real>& mode, int tile,
                                           unsigned char* to, int operand) {
  using S = typename Tile::Storage;
  for (int of = 1; of <= 2; ++of, to += operand) {
    stage<Tile>(reinterpret_cast<S*>(to),
                rows_of<S>(a, p, a.qkv, a.qkv_stride, of, tile * kTileColumns), kTileColumns,
                a.width, mode.vector, static_cast<const S*>(a.qkv));
  }
  cp_async_commit();
}

bool varlen_vector(const VarlenAttention& a);

}  // namespace gtrain::ops::cuda
