// With P the weights, f the dropout factors (0 or 1/(1-p)) and delta_i = dO_i · O_i:
//   dV_j = sum_i P_ij f_ij dO_i        dS_ij = P_ij (f_ij dO_i · V_j - delta_i)
//   dQ_i = scale sum_j dS_ij K_j       dK_j = scale sum_i dS_ij Q_i
// The bias's gradient is dS. Weights are computed again in both passes, 7 products of tiles in all
// instead of 5: then every sum has one owner.
#include "ops/cuda/varlen_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

constexpr int kReduceParts = 8;  // of the items, summed in order

// Adds a tile's dS to the warp's column of the table's gradient: the buckets that occur, one after
// another, each summed by a butterfly, so the order is fixed.
template <class Tile>
__device__ void add_to_table(const VarlenPairs<Tile, false>& pairs, int buckets,
                             const typename Tile::Real (&ds)[Tile::kRows][Tile::kColumns],
                             typename Tile::Real* gradient) {
  for (int first = 0; first < buckets; first += 32) {
    unsigned present = 0;
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const int b = pairs.hop(i, j) - first;
        if (pairs.there(i, j) && b >= 0 && b < 32) present |= 1u << b;
      }
    }
    present = __reduce_or_sync(kEveryLane, present);
    for (; present != 0; present &= present - 1) {
      const int b = first + __ffs(static_cast<int>(present)) - 1;
      typename Tile::Real sum = 0;
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kColumns; ++j) {
          if (pairs.hop(i, j) == b && pairs.there(i, j)) sum += ds[i][j];
        }
      }
      sum = sum_over(sum, 32);
      if (lane_number() == 0) gradient[b] += sum;
    }
  }
}

// Pass over queries: dq, delta and the bias's gradient.
template <class Tile>
__global__ void __launch_bounds__(kVarlenThreads, kTileBlocks<Tile>)
    varlen_backward_queries(VarlenAttention a, VarlenAttentionGradient g,
                            VarlenMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int slice = static_cast<int>(blockIdx.y) * Tile::kSlice, depth = a.width - slice;
  const int stride = Tile::stride(a.width);
  const bool table_gradient = g.dtable != nullptr && slice == 0;
  const VarlenPlace p = varlen_place(a);
  const VarlenRoom<Tile> room(warps, 2, mode.stages, a.width, a.buckets, g.dtable != nullptr,
                              false);
  auto* shared = dynamic_shared<unsigned char>();
  auto* q = reinterpret_cast<S*>(shared + room.left);
  auto* dout = q + room.rows * stride;
  auto* own_q = q + warp * kTileRows * stride;
  auto* own_dout = dout + warp * kTileRows * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + warp * Tile::kScratch;
  auto* table = reinterpret_cast<Real*>(shared + room.table);
  auto* gradients = reinterpret_cast<Real*>(shared + room.gradient);
  const int pitch = (room.hops - room.gradient) / warps / static_cast<int>(sizeof(Real));

  const S* base = static_cast<const S*>(a.qkv);
  const auto load = [&](int tile) {
    stage_keys<Tile>(a, p, mode, tile, shared + room.right + tile % mode.stages * 2 * room.operand,
                     room.operand);
  };
  stage_table(table, a, p);
  if (table_gradient) {
    for (int b = static_cast<int>(threadIdx.x); b < warps * pitch; b += warps * 32) {
      gradients[b] = 0;
    }
  }
  stage<Tile>(q, rows_of<S>(a, p, a.qkv, a.qkv_stride, 0, p.first), room.rows, a.width, mode.vector,
              base);
  stage<Tile>(dout, rows_of<S>(a, p, g.dout, g.dout_stride, 0, p.first), room.rows, a.width,
              mode.vector, static_cast<const S*>(g.dout));
  load(0);

  const int row = p.first + warp * kTileRows;
  Real lse[Tile::kRows], delta[Tile::kRows], dq[Tile::kRows][Tile::kChannels];
  std::uint64_t stream[Tile::kRows];
  clear(dq);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const int query = row + Tile::row(i);
    stream[i] = varlen_stream(a, p, query);
    lse[i] = query < p.n ? static_cast<const Real*>(a.lse)[(p.start + query) * a.heads + p.head]
                         : infinity<Real>();
  }
  const int tiles = (p.n + kTileColumns - 1) / kTileColumns;
  for (int tile = 0; tile < tiles; ++tile) {
    await_tile(load, tile, tiles);
    if (row < p.n) {  // else the warp only helps with the copies
      if (tile == 0) {
        row_dots<Tile>(rows_of<S>(a, p, a.out, a.out_stride, 0, row), own_dout, a.width, delta);
      }
      const unsigned char* right = shared + room.right + tile % mode.stages * 2 * room.operand;
      const auto* k = reinterpret_cast<const S*>(right);
      const VarlenPairs<Tile, false> pairs{
          a, p, mode.scale, row, tile * kTileColumns, table, shared + room.hops + warp * kHopBytes};
      Real value[Tile::kRows][Tile::kColumns], ds[Tile::kRows][Tile::kColumns];
      Tile::products(own_q, k, stride, a.width, value);
      Tile::products(own_dout, reinterpret_cast<const S*>(right + room.operand), stride, a.width,
                     ds);
      pairs.score(value);
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kColumns; ++j) {
          Real factor = 1;
          if (a.threshold != 0) {
            factor = pairs.keeps(stream[i], i, j) ? mode.keep_scale : 0;
          }
          ds[i][j] = exp_base2(value[i][j] - lse[i]) * (factor * ds[i][j] - delta[i]);
          if (g.dpair_bias != nullptr && slice == 0 && pairs.there(i, j)) {
            static_cast<Real*>(g.dpair_bias)[pairs.bias_index(i, j)] = ds[i][j];
          }
        }
      }
      if (table_gradient) add_to_table<Tile>(pairs, a.buckets, ds, gradients + warp * pitch);
      Tile::accumulate(ds, k + slice, stride, depth, scratch, dq);
    }
    __syncthreads();
  }

  if (slice == 0 && lane_number() % Tile::kLanes == 0) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const int query = row + Tile::row(i);
      if (query < p.n) static_cast<Real*>(g.delta)[(p.start + query) * a.heads + p.head] = delta[i];
    }
  }
  if (table_gradient) {
    Real* to =
        static_cast<Real*>(g.table_partial) + static_cast<std::int64_t>(blockIdx.x) * a.buckets;
    for (int b = static_cast<int>(threadIdx.x); b < a.buckets; b += warps * 32) {
      Real sum = 0;
      for (int w = 0; w < warps; ++w) sum += gradients[w * pitch + b];
      to[b] = sum;
    }
  }
  Tile::put(dq, mode.scale, own_q + slice, stride, depth);
  __syncwarp();
  S* to = static_cast<S*>(g.dqkv) + (p.start + row) * g.dqkv_stride + p.head * a.width;
  const int left = p.n - row;
  unstage<Tile>(own_q, stride, to, g.dqkv_stride, left < kTileRows ? left : kTileRows, slice,
                depth < Tile::kSlice ? depth : Tile::kSlice, mode.vector);
}

// What a tile of queries brings besides its rows.
template <class Real>
struct VarlenColumns {
  Real *lse, *delta;
  std::uint64_t* stream;
  __device__ explicit VarlenColumns(unsigned char* at)
      : lse(reinterpret_cast<Real*>(at)),
        delta(lse + kTileColumns),
        stream(reinterpret_cast<std::uint64_t*>(delta + kTileColumns)) {}

  __device__ void stage(const VarlenAttention& a, const void* deltas, const VarlenPlace& p,
                        int first) const {
    const int c = static_cast<int>(threadIdx.x), query = first + c;
    if (c >= kTileColumns) return;
    const std::int64_t at = (p.start + query) * a.heads + p.head;
    lse[c] = query < p.n ? static_cast<const Real*>(a.lse)[at] : infinity<Real>();
    delta[c] = query < p.n ? static_cast<const Real*>(deltas)[at] : 0;
    stream[c] = varlen_stream(a, p, query);
  }
};

// Pass over keys: dk and dv. The tile's rows are keys, its columns queries.
template <class Tile>
__global__ void __launch_bounds__(kVarlenThreads, kTileBlocks<Tile>)
    varlen_backward_keys(VarlenAttention a, VarlenAttentionGradient g,
                         VarlenMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int slice = static_cast<int>(blockIdx.y) * Tile::kSlice, depth = a.width - slice;
  const int stride = Tile::stride(a.width);
  const VarlenPlace p = varlen_place(a);
  const VarlenRoom<Tile> room(warps, 2, mode.stages, a.width, a.buckets, false, true);
  auto* shared = dynamic_shared<unsigned char>();
  auto* k = reinterpret_cast<S*>(shared + room.left);
  auto* v = k + room.rows * stride;
  auto* own_k = k + warp * kTileRows * stride;
  auto* own_v = v + warp * kTileRows * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + warp * Tile::kScratch;
  auto* table = reinterpret_cast<Real*>(shared + room.table);

  const S *base = static_cast<const S*>(a.qkv), *dout_base = static_cast<const S*>(g.dout);
  const auto columns = [&](int tile) {
    return VarlenColumns<Real>(shared + room.columns + tile % mode.stages * room.column_bytes());
  };
  const auto load = [&](int tile) {
    unsigned char* to = shared + room.right + tile % mode.stages * 2 * room.operand;
    const int first = tile * kTileColumns;
    stage<Tile>(reinterpret_cast<S*>(to), rows_of<S>(a, p, a.qkv, a.qkv_stride, 0, first),
                kTileColumns, a.width, mode.vector, base);
    stage<Tile>(reinterpret_cast<S*>(to + room.operand),
                rows_of<S>(a, p, g.dout, g.dout_stride, 0, first), kTileColumns, a.width,
                mode.vector, dout_base);
    columns(tile).stage(a, g.delta, p, first);
    cp_async_commit();
  };
  stage_table(table, a, p);
  stage<Tile>(k, rows_of<S>(a, p, a.qkv, a.qkv_stride, 1, p.first), room.rows, a.width, mode.vector,
              base);
  stage<Tile>(v, rows_of<S>(a, p, a.qkv, a.qkv_stride, 2, p.first), room.rows, a.width, mode.vector,
              base);
  load(0);

  const int row = p.first + warp * kTileRows;
  Real dk[Tile::kRows][Tile::kChannels], dv[Tile::kRows][Tile::kChannels];
  clear(dk);
  clear(dv);
  const int tiles = (p.n + kTileColumns - 1) / kTileColumns;
  for (int tile = 0; tile < tiles; ++tile) {
    await_tile(load, tile, tiles);
    if (row < p.n) {  // else the warp only helps with the copies
      const unsigned char* right = shared + room.right + tile % mode.stages * 2 * room.operand;
      const auto* q = reinterpret_cast<const S*>(right);
      const auto* dout = reinterpret_cast<const S*>(right + room.operand);
      const VarlenColumns<Real> of = columns(tile);
      const VarlenPairs<Tile, true> pairs{
          a, p, mode.scale, row, tile * kTileColumns, table, shared + room.hops + warp * kHopBytes};
      Real weight[Tile::kRows][Tile::kColumns], ds[Tile::kRows][Tile::kColumns];
      Tile::products(own_k, q, stride, a.width, weight);
      Tile::products(own_v, dout, stride, a.width, ds);
      pairs.score(weight);
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kColumns; ++j) {
          const int c = Tile::column(j);
          Real factor = 1;
          if (a.threshold != 0) {
            factor = pairs.keeps(of.stream[c], i, j) ? mode.keep_scale : 0;
          }
          const Real w = exp_base2(weight[i][j] - of.lse[c]);
          ds[i][j] = w * (factor * ds[i][j] - of.delta[c]);
          weight[i][j] = w * factor;
        }
      }
      Tile::accumulate(weight, dout + slice, stride, depth, scratch, dv);
      Tile::accumulate(ds, q + slice, stride, depth, scratch, dk);
    }
    __syncthreads();
  }

  Tile::put(dk, mode.scale, own_k + slice, stride, depth);
  Tile::put(dv, 1, own_v + slice, stride, depth);
  __syncwarp();
  const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
  S* to = static_cast<S*>(g.dqkv) + (p.start + row) * g.dqkv_stride + width + p.head * a.width;
  const int left = p.n - row, valid = left < kTileRows ? left : kTileRows;
  const int count = depth < Tile::kSlice ? depth : Tile::kSlice;
  unstage<Tile>(own_k, stride, to, g.dqkv_stride, valid, slice, count, mode.vector);
  unstage<Tile>(own_v, stride, to + width, g.dqkv_stride, valid, slice, count, mode.vector);
}

// dtable[b, h]: the items' partial sums, a thread per (h, b) and part of the items, parts in order.
template <class Real>
__global__ void __launch_bounds__(32 * kReduceParts)
    varlen_table_gradient(const Real* partial, std::int64_t items, int heads, int buckets,
                          Real* dtable) {
  auto* sums = dynamic_shared<Real>();
  const int lane = lane_number(), part = static_cast<int>(threadIdx.x) / 32;
  const int columns = heads * buckets, column = static_cast<int>(blockIdx.x) * 32 + lane;
  const std::int64_t share = (items + kReduceParts - 1) / kReduceParts;
  const std::int64_t end = (part + 1) * share < items ? (part + 1) * share : items;
  Real sum = 0;
  for (std::int64_t i = part * share; column < columns && i < end; ++i) {
    sum += partial[i * columns + column];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (part == 0 && column < columns) {
    for (int other = 1; other < kReduceParts; ++other) sum += sums[other * 32 + lane];
    dtable[column % buckets * heads + column / buckets] = sum;
  }
}

template <class Real>
void reduce_table(const VarlenAttention& a, const VarlenAttentionGradient& g, Stream stream) {
  const unsigned columns = static_cast<unsigned>(a.heads * a.buckets);
  launch(varlen_table_gradient<Real>, dim3((columns + 31) / 32), dim3(32 * kReduceParts),
         32 * kReduceParts * sizeof(Real), stream, static_cast<const Real*>(g.table_partial),
         a.item_count, a.heads, a.buckets, static_cast<Real*>(g.dtable));
}

}  // namespace

void varlen_attention_backward(const VarlenAttention& a, const VarlenAttentionGradient& g,
                               Stream stream) {
  if (a.item_count == 0) return;
  const bool vector = varlen_vector(a) && whole_units(a.storage, a.width, g.dqkv, g.dqkv_stride) &&
                      whole_units(a.storage, a.width, g.dout, g.dout_stride);
  with_dense_tile(a.storage, a.width, [&](auto tile) {
    using Tile = decltype(tile);
    const auto mode = varlen_mode<typename Tile::Real>(a, vector);
    const int warps = a.tile_rows / kTileRows;
    const dim3 grid(grid_blocks(a.item_count * a.heads),
                    static_cast<unsigned>((a.width + Tile::kSlice - 1) / Tile::kSlice));
    const dim3 block(static_cast<unsigned>(warps * 32));
    const VarlenRoom<Tile> queries(warps, 2, mode.stages, a.width, a.buckets, g.dtable != nullptr,
                                   false);
    launch(varlen_backward_queries<Tile>, grid, block, static_cast<std::size_t>(queries.total),
           stream, a, g, mode);
    const VarlenRoom<Tile> keys(warps, 2, mode.stages, a.width, a.buckets, false, true);
    launch(varlen_backward_keys<Tile>, grid, block, static_cast<std::size_t>(keys.total), stream, a,
           g, mode);
    if (g.dtable != nullptr) reduce_table<typename Tile::Real>(a, g, stream);
  });
}

}  // namespace gtrain::ops::cuda
