#include "ops/cuda/varlen_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

template <class Tile>
__global__ void __launch_bounds__(kVarlenThreads, kTileBlocks<Tile>)
    varlen_forward(VarlenAttention a, VarlenMode<typename Tile::Real> mode) {
  using S = typename Tile::Storage;
  using Real = typename Tile::Real;
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int slice = static_cast<int>(blockIdx.y) * Tile::kSlice, depth = a.width - slice;
  const int stride = Tile::stride(a.width);
  const VarlenPlace p = varlen_place(a);
  const VarlenRoom<Tile> room(warps, 1, mode.stages, a.width, a.buckets, false, false);
  auto* shared = dynamic_shared<unsigned char>();
  auto* q = reinterpret_cast<S*>(shared + room.left);
  auto* own = q + warp * kTileRows * stride;
  auto* scratch = reinterpret_cast<Real*>(shared + room.scratch) + warp * Tile::kScratch;
  auto* table = reinterpret_cast<Real*>(shared + room.table);

  const S* base = static_cast<const S*>(a.qkv);
  const auto load = [&](int tile) {
    stage_keys<Tile>(a, p, mode, tile, shared + room.right + tile % mode.stages * 2 * room.operand,
                     room.operand);
  };
  stage_table(table, a, p);
  stage<Tile>(q, rows_of<S>(a, p, a.qkv, a.qkv_stride, 0, p.first), room.rows, a.width, mode.vector,
              base);
  load(0);

  const int row = p.first + warp * kTileRows;
  OnlineSoftmax<Tile> softmax;
  std::uint64_t stream[Tile::kRows];
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) stream[i] = varlen_stream(a, p, row + Tile::row(i));
  const int tiles = (p.n + kTileColumns - 1) / kTileColumns;
  for (int tile = 0; tile < tiles; ++tile) {
    await_tile(load, tile, tiles);
    if (row < p.n) {  // else the warp only helps with the copies
      const unsigned char* right = shared + room.right + tile % mode.stages * 2 * room.operand;
      const VarlenPairs<Tile, false> pairs{
          a, p, mode.scale, row, tile * kTileColumns, table, shared + room.hops + warp * kHopBytes};
      Real value[Tile::kRows][Tile::kColumns];
      Tile::products(own, reinterpret_cast<const S*>(right), stride, a.width, value);
      pairs.score(value);
      softmax.weigh(value);
      if (a.threshold != 0) {
#pragma unroll
        for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
          for (int j = 0; j < Tile::kColumns; ++j) {
            if (!pairs.keeps(stream[i], i, j)) value[i][j] = 0;
          }
        }
      }
      Tile::accumulate(value, reinterpret_cast<const S*>(right + room.operand) + slice, stride,
                       depth, scratch, softmax.result);
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const Real sum = sum_over(softmax.sum[i], Tile::kLanes);
    const Real factor = sum > 0 ? mode.keep_scale / sum : 0;
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) softmax.result[i][k] *= factor;
    const int query = row + Tile::row(i);
    if (lane_number() % Tile::kLanes == 0 && query < p.n && slice == 0) {
      static_cast<Real*>(a.lse)[(p.start + query) * a.heads + p.head] =
          sum > 0 ? softmax.largest[i] + log_base2(sum) : infinity<Real>();
    }
  }
  Tile::put(softmax.result, 1, own + slice, stride, depth);
  __syncwarp();
  S* out = static_cast<S*>(a.out) + (p.start + row) * a.out_stride + p.head * a.width;
  const int left = p.n - row;
  unstage<Tile>(own, stride, out, a.out_stride, left < kTileRows ? left : kTileRows, slice,
                depth < Tile::kSlice ? depth : Tile::kSlice, mode.vector);
}

}  // namespace

bool varlen_attention_runs(Storage storage, int width) {
  return width <= (storage == Storage::kDouble ? 64 : 128);
}

bool varlen_vector(const VarlenAttention& a) {
  return whole_units(a.storage, a.width, a.qkv, a.qkv_stride) &&
         whole_units(a.storage, a.width, a.out, a.out_stride);
}

void varlen_attention_forward(const VarlenAttention& a, Stream stream) {
  if (a.item_count == 0) return;
  with_dense_tile(a.storage, a.width, [&](auto tile) {
    using Tile = decltype(tile);
    const auto mode = varlen_mode<typename Tile::Real>(a, varlen_vector(a));
    const int warps = a.tile_rows / kTileRows;
    const VarlenRoom<Tile> room(warps, 1, mode.stages, a.width, a.buckets, false, false);
    const dim3 grid(grid_blocks(a.item_count * a.heads),
                    static_cast<unsigned>((a.width + Tile::kSlice - 1) / Tile::kSlice));
    launch(varlen_forward<Tile>, grid, dim3(static_cast<unsigned>(warps * 32)),
           static_cast<std::size_t>(room.total), stream, a, mode);
  });
}

}  // namespace gtrain::ops::cuda
