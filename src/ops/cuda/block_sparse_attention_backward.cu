#include "ops/cuda/block_sparse_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

// Pass over queries: dq and delta.
template <class Tile>
__global__ void __launch_bounds__(kBlockThreads, kTileBlocks<Tile>)
    block_backward_queries(BlockSparseAttention a, BlockSparseAttentionGradient g,
                           BlockMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const BlockPlace<Tile> p(a, a.by_row);
  const BlockRoom<Tile> room(2, a.width);
  const int stride = Tile::stride(a.width);
  auto* shared = dynamic_shared<unsigned char>();
  auto *q = reinterpret_cast<S*>(shared), *dout = reinterpret_cast<S*>(shared + room.rows);
  auto* k = reinterpret_cast<S*>(shared + room.tiles) + p.warp * 2 * kTileColumns * stride;
  auto* v = k + kTileColumns * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + p.warp * Tile::kScratch;
  const S *q_head = head_of<S>(a, a.q, p.head), *k_head = head_of<S>(a, a.k, p.head),
          *v_head = head_of<S>(a, a.v, p.head), *dout_head = head_of<S>(a, g.dout, p.head);
  stage<Tile>(q, Span<S>{q_head + p.row * a.q_stride, a.q_stride, p.count}, kTileRows, a.width,
              mode.vector, q_head);
  stage<Tile>(dout, Span<S>{dout_head + p.row * g.dout_stride, g.dout_stride, p.count}, kTileRows,
              a.width, mode.vector, dout_head);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();

  Real lse[Tile::kRows], delta[Tile::kRows], dq[Tile::kRows][Tile::kChannels];
  clear(dq);
  row_dots<Tile>(
      Span<S>{head_of<S>(a, a.out, p.head) + p.row * a.out_stride, a.out_stride, p.count}, dout,
      a.width, delta);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const std::int64_t at = (p.row + Tile::row(i)) * a.heads + p.head;
    lse[i] = Tile::row(i) < p.count ? static_cast<const Real*>(a.lse)[at] : infinity<Real>();
    if (p.warp == 0 && p.slice == 0 && lane_number() % Tile::kLanes == 0 &&
        Tile::row(i) < p.count) {
      static_cast<Real*>(g.delta)[at] = delta[i];
    }
  }
  const std::int64_t end = a.by_row.window_start[p.window + 1];
  for (std::int64_t tile = a.by_row.window_start[p.window] + p.warp; tile < end;
       tile += kBlockWarps) {
    const std::int32_t* column = a.by_row.column + tile * kTileColumns;
    stage_columns<Tile>(k, {k_head, a.k_stride, column}, {v_head, a.v_stride, column}, a.width,
                        mode.vector);
    cp_async_wait<0>();
    __syncwarp();
    const BlockPlaces<Tile> places(a.by_row, tile);
    Real value[Tile::kRows][Tile::kColumns], ds[Tile::kRows][Tile::kColumns];
    Tile::products(q, k, stride, a.width, value);
    Tile::products(dout, v, stride, a.width, ds);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const bool there = places.there(i, j);
        Real factor = 1;
        if (a.threshold != 0 && there) factor = places.factor(a, p.head, mode.keep_scale, i, j);
        const Real s = value[i][j] * mode.scale * static_cast<Real>(kLog2E);
        ds[i][j] = there ? exp_base2(s - lse[i]) * (factor * ds[i][j] - delta[i]) : 0;
      }
    }
    Tile::accumulate(ds, k + p.slice, stride, p.depth, scratch, dq);
    __syncwarp();
  }
  __syncthreads();
  auto* parts = reinterpret_cast<Real*>(shared + room.tiles);
  put_part<Tile>(dq, p.depth, parts);
  __syncthreads();
  give_parts<Tile>(
      parts, p.depth, p.count, [&](int, int) { return mode.scale; },
      static_cast<S*>(g.dq) + p.row * g.dq_stride + p.head * a.width + p.slice, g.dq_stride);
}

// Pass over keys, on the transposed pattern: dk and dv. Rows of a tile are keys.
template <class Tile>
__global__ void __launch_bounds__(kBlockThreads, kTileBlocks<Tile>)
    block_backward_keys(BlockSparseAttention a, BlockSparseAttentionGradient g,
                        BlockMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const BlockPlace<Tile> p(a, g.by_column);
  const BlockRoom<Tile> room(2, a.width);
  const int stride = Tile::stride(a.width);
  auto* shared = dynamic_shared<unsigned char>();
  auto *k = reinterpret_cast<S*>(shared), *v = reinterpret_cast<S*>(shared + room.rows);
  auto* q = reinterpret_cast<S*>(shared + room.tiles) + p.warp * 2 * kTileColumns * stride;
  auto* dout = q + kTileColumns * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + p.warp * Tile::kScratch;
  auto* lse = reinterpret_cast<Real*>(shared + room.columns) + p.warp * 2 * kTileColumns;
  auto* delta = lse + kTileColumns;
  const S *q_head = head_of<S>(a, a.q, p.head), *k_head = head_of<S>(a, a.k, p.head),
          *v_head = head_of<S>(a, a.v, p.head), *dout_head = head_of<S>(a, g.dout, p.head);
  stage<Tile>(k, Span<S>{k_head + p.row * a.k_stride, a.k_stride, p.count}, kTileRows, a.width,
              mode.vector, k_head);
  stage<Tile>(v, Span<S>{v_head + p.row * a.v_stride, a.v_stride, p.count}, kTileRows, a.width,
              mode.vector, v_head);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();

  Real dk[Tile::kRows][Tile::kChannels], dv[Tile::kRows][Tile::kChannels];
  clear(dk);
  clear(dv);
  const std::int64_t end = g.by_column.window_start[p.window + 1];
  for (std::int64_t tile = g.by_column.window_start[p.window] + p.warp; tile < end;
       tile += kBlockWarps) {
    const std::int32_t* column = g.by_column.column + tile * kTileColumns;
    stage_columns<Tile>(q, {q_head, a.q_stride, column}, {dout_head, g.dout_stride, column},
                        a.width, mode.vector);
    const std::int32_t query = column[lane_number()];
    const std::int64_t at = static_cast<std::int64_t>(query) * a.heads + p.head;
    lse[lane_number()] = query < 0 ? infinity<Real>() : static_cast<const Real*>(a.lse)[at];
    delta[lane_number()] = query < 0 ? 0 : static_cast<const Real*>(g.delta)[at];
    cp_async_wait<0>();
    __syncwarp();
    const BlockPlaces<Tile> places(g.by_column, tile);
    Real weight[Tile::kRows][Tile::kColumns], ds[Tile::kRows][Tile::kColumns];
    Tile::products(k, q, stride, a.width, weight);
    Tile::products(v, dout, stride, a.width, ds);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const int c = Tile::column(j);
        const bool there = places.there(i, j);
        Real factor = 1;
        if (a.threshold != 0 && there) factor = places.factor(a, p.head, mode.keep_scale, i, j);
        const Real s = weight[i][j] * mode.scale * static_cast<Real>(kLog2E);
        const Real w = there ? exp_base2(s - lse[c]) : 0;
        ds[i][j] = w * (factor * ds[i][j] - delta[c]);
        weight[i][j] = w * factor;
      }
    }
    Tile::accumulate(weight, dout + p.slice, stride, p.depth, scratch, dv);
    Tile::accumulate(ds, q + p.slice, stride, p.depth, scratch, dk);
    __syncwarp();
  }
  __syncthreads();
  auto* parts = reinterpret_cast<Real*>(shared + room.tiles);
  put_part<Tile>(dk, p.depth, parts);
  __syncthreads();
  const int channel = p.head * a.width + p.slice;
  give_parts<Tile>(
      parts, p.depth, p.count, [&](int, int) { return mode.scale; },
      static_cast<S*>(g.dk) + p.row * g.dk_stride + channel, g.dk_stride);
  __syncthreads();
  put_part<Tile>(dv, p.depth, parts);
  __syncthreads();
  give_parts<Tile>(
      parts, p.depth, p.count, [](int, int) { return Real{1}; },
      static_cast<S*>(g.dv) + p.row * g.dv_stride + channel, g.dv_stride);
}

}  // namespace

void block_sparse_attention_backward(const BlockSparseAttention& a,
                                     const BlockSparseAttentionGradient& g, Stream stream) {
  const bool vector = block_vector(a) && whole_units(a.storage, a.width, g.dout, g.dout_stride);
  with_block_tile(a, vector, [&](auto tile, auto mode) {
    using Tile = decltype(tile);
    const std::size_t bytes = static_cast<std::size_t>(BlockRoom<Tile>(2, a.width).total);
    if (a.by_row.rows > 0) {
      launch(block_backward_queries<Tile>, block_grid<Tile>(a, a.by_row), dim3(kBlockThreads),
             bytes, stream, a, g, mode);
    }
    if (g.by_column.rows > 0) {
      launch(block_backward_keys<Tile>, block_grid<Tile>(a, g.by_column), dim3(kBlockThreads),
             bytes, stream, a, g, mode);
    }
  });
}

}  // namespace gtrain::ops::cuda
