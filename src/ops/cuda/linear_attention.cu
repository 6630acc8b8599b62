#include "ops/cuda/linear_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

// Sums over one piece's keys for 64 features: rows of the tile are features, columns keys. Each
// feature is summed relative to its own largest exponent, as an online softmax does.
template <class Tile, class S>
__global__ void __launch_bounds__(kLinearThreads, kTileBlocks<Tile>)
    linear_keys(LinearAttention a, LinearScale<typename Tile::Real> scale) {
  using Real = typename Tile::Real;
  const LinearPlace p = linear_place(a, 1);
  const LinearRoom<Tile> room(a.width);
  const int stride = Tile::stride(a.width), thread = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.y) * kLinearRows,
            feature = base + thread / 32 * kTileRows;
  const int slice = static_cast<int>(blockIdx.z) * Tile::kSlice;
  const Real* own = room.left[0] + thread / 32 * kTileRows * stride;
  bring<Tile>(room.left[0], feature_rows<Real>(a.projection, a.width, base, a.features),
              kLinearRows, a.width, 1);

  OnlineSoftmax<Tile> sums;
  Real most[Tile::kRows], values = 0;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) most[i] = -infinity<Real>();
  for (int key = p.first; key < p.end; key += kTileColumns) {
    __syncthreads();
    bring<Tile>(room.right[0], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 1, key), kTileColumns,
                a.width, scale.data, room.column[0]);
    bring<Tile>(room.right[1], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 2, key), kTileColumns,
                a.width, 1);
    __syncthreads();
    for (int r = 0; base == 0 && thread < a.width && r < kTileColumns; ++r) {
      values += room.right[1][r * stride + thread];
    }
    if (feature >= a.features) continue;
    Real value[Tile::kRows][Tile::kColumns];
    Tile::products(own, room.right[0], stride, a.width, value);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const bool there = key + Tile::column(j) < p.end;
        const Real u = there ? value[i][j] * static_cast<Real>(kLog2E) : -infinity<Real>();
        most[i] = u > most[i] ? u : most[i];
        value[i][j] = u - room.column[0][Tile::column(j)];
      }
    }
    sums.weigh(value);
    Tile::accumulate(value, room.right[1] + slice, stride, a.width - slice, room.scratch,
                     sums.result);
  }

  Real* to = static_cast<Real*>(a.partial) + (p.piece * a.heads + p.head) * partial_size(a);
  const int record = a.width + 3;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const Real sum = sum_over(sums.sum[i], Tile::kLanes);
    const Real top = largest_over(most[i], Tile::kLanes);
    const int f = feature + Tile::row(i);
    if (f >= a.features) continue;
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) {
      const int c = slice + Tile::channel(k);
      if (c < a.width) to[f * record + c] = sums.result[i][k];
    }
    if (slice == 0 && lane_number() % Tile::kLanes == 0) {
      to[f * record + a.width] = sum;
      to[f * record + a.width + 1] = sums.largest[i];
      to[f * record + a.width + 2] = top;
    }
  }
  if (base == 0 && slice == 0 && thread < a.width) to[a.features * record + thread] = values;
}

// The pieces of one graph and head in order: the largest u, then the state.
template <class Real>
__global__ void __launch_bounds__(kLinearThreads, 4)
    linear_merge(LinearAttention a, LinearScale<Real> scale) {
  const int thread = static_cast<int>(threadIdx.x), record = a.width + 3, row = a.width + 1;
  const std::int64_t graph = static_cast<std::int64_t>(blockIdx.x) / a.heads;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.x) % a.heads;
  const std::int64_t first = a.piece_start[graph], end = a.piece_start[graph + 1];
  const std::int64_t n = a.graph_start[graph + 1] - a.graph_start[graph], size = partial_size(a);
  const Real* from = static_cast<const Real*>(a.partial) + (first * a.heads + head) * size;
  const std::int64_t step = a.heads * size;
  const std::int64_t more = a.padded_length > n && n > 0 ? a.padded_length - n : 0;

  auto* tops = dynamic_shared<Real>();
  Real top = more > 0 ? 0 : -infinity<Real>();
  for (std::int64_t piece = 0; piece < end - first; ++piece) {
    for (int f = thread; f < a.features; f += kLinearThreads) {
      const Real u = from[piece * step + f * record + a.width + 2];
      top = u > top ? u : top;
    }
  }
  top = largest_over(top, 32);
  if (thread % 32 == 0) tops[thread / 32] = top;
  __syncthreads();
  for (int w = 0; w < kLinearThreads / 32; ++w) top = tops[w] > top ? tops[w] : top;
  if (thread == 0) static_cast<Real*>(a.key_largest)[blockIdx.x] = top;

  Real* state =
      static_cast<Real*>(a.state) + static_cast<std::int64_t>(blockIdx.x) * (a.features + 1) * row;

  for (int i = thread; i < a.features * row; i += kLinearThreads) {
    const int f = i / row, c = i % row;
    const bool counts = c == a.width;
    Real sum = counts && more > 0 ? static_cast<Real>(more) * exp_base2(-top) : 0;
    Real plain = counts ? static_cast<Real>(n + more) : 0;
    for (std::int64_t piece = 0; piece < end - first; ++piece) {
      const Real* of = from + piece * step;
      sum += exp_base2(of[f * record + a.width + 1] - top) * of[f * record + c];
      if (!counts) plain += of[a.features * record + c];
    }
    state[i] = scale.feature * (sum + scale.eps * plain);
  }
  __syncthreads();
  for (int c = thread; c < row; c += kLinearThreads) {
    Real sum = 0;
    for (int f = 0; f < a.features; ++f) sum += state[f * row + c];
    state[a.features * row + c] = sum;
  }
}

// Rows of queries over tiles of features: out, and the row's statistics.
template <class Tile, class S>
__device__ void read_state(const LinearAttention& a, const LinearScale<typename Tile::Real>& scale,
                           const LinearPlace& p) {
  using Real = typename Tile::Real;
  const LinearRoom<Tile> room(a.width);
  const int stride = Tile::stride(a.width), thread = static_cast<int>(threadIdx.x);
  const int slice = static_cast<int>(blockIdx.y) * Tile::kSlice, in_block = thread / 32 * kTileRows;
  const Real* state = static_cast<const Real*>(a.state) + state_at(a, p);
  Real* own = room.left[0] + in_block * stride;
  bring<Tile>(room.left[0], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 0, p.first), kLinearRows,
              a.width, scale.data, room.half);

  OnlineSoftmax<Tile> sums;
  for (int feature = 0; feature < a.features; feature += kTileColumns) {
    __syncthreads();
    bring<Tile>(room.right[0], feature_rows<Real>(a.projection, a.width, feature, a.features),
                kTileColumns, a.width, 1);
    bring<Tile>(room.right[1], feature_rows<Real>(state, a.width + 1, feature, a.features),
                kTileColumns, a.width, 1);
    if (thread < kTileColumns) {
      const int f = feature + thread;
      room.column[0][thread] = f < a.features ? state[f * (a.width + 1) + a.width] : 0;
    }
    __syncthreads();
    if (p.first + in_block >= p.end) continue;
    Real value[Tile::kRows][Tile::kColumns];
    Tile::products(own, room.right[0], stride, a.width, value);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const bool there = feature + Tile::column(j) < a.features;
        value[i][j] = there ? value[i][j] * static_cast<Real>(kLog2E) : -infinity<Real>();
      }
    }
    sums.weigh(value, room.column[0]);
    Tile::accumulate(value, room.right[1] + slice, stride, a.width - slice, room.scratch,
                     sums.result);
  }

  const Real* rest = state + a.features * (a.width + 1);
  const Real eps = scale.eps;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const int row = in_block + Tile::row(i), query = p.first + row;
    const Real shrink = exp_base2(-room.half[row]);
    const Real sum = shrink * sum_over(sums.sum[i], Tile::kLanes) + eps * rest[a.width];
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) {
      const int c = slice + Tile::channel(k);
      if (c < a.width) sums.result[i][k] = (shrink * sums.result[i][k] + eps * rest[c]) / sum;
    }
    if (slice == 0 && lane_number() % Tile::kLanes == 0 && query < p.end) {
      const std::int64_t at = (p.start + query) * a.heads + p.head;
      static_cast<Real*>(a.row_largest)[at] = sums.largest[i];
      static_cast<Real*>(a.row_sum)[at] = sum;
    }
  }
  Tile::put(sums.result, 1, own + slice, stride, a.width - slice);
  __syncwarp();
  const int left = p.end - p.first - in_block;
  give<Tile>(
      own, a.width, slice,
      static_cast<S*>(a.out) + (p.start + p.first + in_block) * a.out_stride + p.head * a.width,
      a.out_stride, left < kTileRows ? left : kTileRows);
}

template <class Tile, class S>
__global__ void __launch_bounds__(kLinearThreads, kTileBlocks<Tile>)
    linear_queries(LinearAttention a, LinearScale<typename Tile::Real> scale) {
  const LinearPlace p = linear_place(a, a.piece_rows / kLinearRows);
  if (p.first < p.end) read_state<Tile, S>(a, scale, p);
}

}  // namespace

bool linear_attention_runs(Storage storage, int width) {
  return width <= (storage == Storage::kDouble ? 64 : 128);
}

void linear_attention_forward(const LinearAttention& a, Stream stream) {
  if (a.piece_count == 0) return;
  const std::int64_t pieces = a.piece_count * a.heads;
  with_linear_tile(a, [&](auto tile, auto zero) {
    using Tile = decltype(tile);
    using S = decltype(zero);
    using Real = typename Tile::Real;
    const LinearScale<Real> scale = linear_scale<Real>(a);
    const std::size_t bytes = LinearRoom<Tile>::reals(a.width) * sizeof(Real);
    const unsigned slices = linear_slices<Tile>(a.width);
    launch(linear_keys<Tile, S>,
           dim3(grid_blocks(pieces), grid_blocks((a.features + kLinearRows - 1) / kLinearRows),
                slices),
           dim3(kLinearThreads), bytes, stream, a, scale);
    launch(linear_merge<Real>, dim3(grid_blocks(a.graphs * a.heads)), dim3(kLinearThreads),
           kLinearThreads / 32 * sizeof(Real), stream, a, scale);
    launch(linear_queries<Tile, S>,
           dim3(grid_blocks(pieces * (a.piece_rows / kLinearRows)), slices), dim3(kLinearThreads),
           bytes, stream, a, scale);
  });
}

}  // namespace gtrain::ops::cuda
