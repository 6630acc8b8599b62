#include "ops/cuda/block_sparse_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

template <class Tile>
__global__ void __launch_bounds__(kBlockThreads, kTileBlocks<Tile>)
    block_forward(BlockSparseAttention a, BlockMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const BlockPlace<Tile> p(a, a.by_row);
  const BlockRoom<Tile> room(1, a.width);
  const int stride = Tile::stride(a.width);
  auto* shared = dynamic_shared<unsigned char>();
  auto* q = reinterpret_cast<S*>(shared);
  auto* k = reinterpret_cast<S*>(shared + room.tiles) + p.warp * 2 * kTileColumns * stride;
  auto* v = k + kTileColumns * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + p.warp * Tile::kScratch;
  const S *q_head = head_of<S>(a, a.q, p.head), *k_head = head_of<S>(a, a.k, p.head),
          *v_head = head_of<S>(a, a.v, p.head);
  stage<Tile>(q, Span<S>{q_head + p.row * a.q_stride, a.q_stride, p.count}, kTileRows, a.width,
              mode.vector, q_head);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();

  OnlineSoftmax<Tile> softmax;
  const std::int64_t end = a.by_row.window_start[p.window + 1];
  for (std::int64_t tile = a.by_row.window_start[p.window] + p.warp; tile < end;
       tile += kBlockWarps) {
    const std::int32_t* column = a.by_row.column + tile * kTileColumns;
    stage_columns<Tile>(k, {k_head, a.k_stride, column}, {v_head, a.v_stride, column}, a.width,
                        mode.vector);
    cp_async_wait<0>();
    __syncwarp();
    const BlockPlaces<Tile> places(a.by_row, tile);
    Real value[Tile::kRows][Tile::kColumns];
    Tile::products(q, k, stride, a.width, value);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        value[i][j] = places.there(i, j) ? value[i][j] * mode.scale * static_cast<Real>(kLog2E)
                                         : -infinity<Real>();
      }
    }
    softmax.weigh(value);
    if (a.threshold != 0) {
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kColumns; ++j) {
          if (places.there(i, j)) value[i][j] *= places.factor(a, p.head, mode.keep_scale, i, j);
        }
      }
    }
    Tile::accumulate(value, v + p.slice, stride, p.depth, scratch, softmax.result);
    __syncwarp();
  }

  __syncthreads();
  auto* parts = reinterpret_cast<Real*>(shared + room.tiles);
  Real* tops = parts + kBlockWarps * kTileRows * room.kPitch;
  Real* sums = tops + kBlockWarps * kTileRows;
  put_part<Tile>(softmax.result, p.depth, parts);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const Real sum = sum_over(softmax.sum[i], Tile::kLanes);
    if (lane_number() % Tile::kLanes == 0) {
      tops[p.warp * kTileRows + Tile::row(i)] = softmax.largest[i];
      sums[p.warp * kTileRows + Tile::row(i)] = sum;
    }
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kTileRows) {  // tops become the warps' shares of their row
    Real top = -infinity<Real>(), sum = 0;
    for (int w = 0; w < kBlockWarps; ++w) {
      const Real other = tops[w * kTileRows + thread];
      top = other > top ? other : top;
    }
    const Real reference = top == -infinity<Real>() ? 0 : top;
    for (int w = 0; w < kBlockWarps; ++w) {
      Real& share = tops[w * kTileRows + thread];
      share = exp_base2(share - reference);
      sum += share * sums[w * kTileRows + thread];
    }
    for (int w = 0; w < kBlockWarps && sum > 0; ++w) tops[w * kTileRows + thread] /= sum;
    if (p.slice == 0 && thread < p.count) {
      static_cast<Real*>(a.lse)[(p.row + thread) * a.heads + p.head] =
          sum > 0 ? top + log_base2(sum) : infinity<Real>();
    }
  }
  __syncthreads();
  give_parts<Tile>(
      parts, p.depth, p.count, [&](int warp, int r) { return tops[warp * kTileRows + r]; },
      static_cast<S*>(a.out) + p.row * a.out_stride + p.head * a.width + p.slice, a.out_stride);
}

}  // namespace

bool block_sparse_attention_runs(Storage storage, int width) {
  return width <= (storage == Storage::kDouble ? 48 : 128);
}

void block_sparse_attention_forward(const BlockSparseAttention& a, Stream stream) {
  if (a.by_row.rows == 0) return;
  with_block_tile(a, block_vector(a), [&](auto tile, auto mode) {
    using Tile = decltype(tile);
    launch(block_forward<Tile>, block_grid<Tile>(a, a.by_row), dim3(kBlockThreads),
           static_cast<std::size_t>(BlockRoom<Tile>(1, a.width).total), stream, a, mode);
  });
}

}  // namespace gtrain::ops::cuda
