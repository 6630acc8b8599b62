// What the passes of linear attention share. Exponents are in base 2 throughout: u, h and the
// maxima carry log2(e).
#pragma once

#include "ops/cuda/dense_tile.cuh"
#include "ops/cuda/linear_attention.h"

namespace gtrain::ops::cuda {

constexpr int kLinearThreads = 2 * kLinearRows;  // a warp has 16 rows

// d^-1/4 of the data, m^-1/2 of the features, and eps; of the type kernels compute in.
template <class Real>
struct LinearScale {
  Real data, feature, eps;
};

struct LinearPlace {
  std::int64_t piece, graph, start;  // start: first node of the graph
  int n, first, end, head;           // nodes; the block's rows are [first, end)
};

// A block for each piece and head, `parts` of them where a piece's rows are split.
__device__ __forceinline__ LinearPlace linear_place(const LinearAttention& a, int parts) {
  LinearPlace p;
  std::int64_t block = static_cast<std::int64_t>(blockIdx.x);
  p.head = static_cast<int>(block % a.heads);
  block /= a.heads;
  p.piece = block / parts;
  const VarlenItem piece = a.pieces[p.piece];
  p.graph = piece.graph;
  p.start = a.graph_start[piece.graph];
  p.n = static_cast<int>(a.graph_start[piece.graph + 1] - p.start);
  const int rows = a.piece_rows / parts;
  p.first = piece.first + static_cast<int>(block % parts) * rows;
  p.end = p.first + rows < p.n ? p.first + rows : p.n;
  return p;
}

// The part of a [N, 3 H d] matrix (operand 0: q, 1: k, 2: v) or of an [N, H d] one (operand 0).
template <class S>
__device__ __forceinline__ Span<S> linear_rows(const LinearAttention& a, const LinearPlace& p,
                                               const void* matrix, std::int64_t stride, int operand,
                                               int first) {
  const std::int64_t channel = (static_cast<std::int64_t>(operand) * a.heads + p.head) * a.width;
  return {static_cast<const S*>(matrix) + (p.start + first) * stride + channel, stride,
          static_cast<std::int64_t>(p.end) - first};
}

// Features [first, m) of the projection, or of a state with rows of d + 1.
template <class A>
__device__ __forceinline__ Span<A> feature_rows(const void* matrix, std::int64_t stride, int first,
                                                int features) {
  return {static_cast<const A*>(matrix) + first * stride, stride,
          static_cast<std::int64_t>(features) - first};
}

// Shared memory: two operands of the block's rows, two of a tile's columns, what else a column has.
template <class Tile>
struct LinearRoom {
  using Real = typename Tile::Real;
  Real *left[2], *right[2], *scratch, *half, *column[4];

  __host__ __device__ static int reals(int width) {
    return (2 * kLinearRows + 2 * kTileColumns) * Tile::stride(width) +
           kLinearRows / kTileRows * Tile::kScratch + kLinearRows + 4 * kTileColumns;
  }
  __device__ explicit LinearRoom(int width) {
    const int stride = Tile::stride(width);
    Real* at = dynamic_shared<Real>();
    for (int o = 0; o < 2; ++o, at += kLinearRows * stride) left[o] = at;
    for (int o = 0; o < 2; ++o, at += kTileColumns * stride) right[o] = at;
    scratch = at + static_cast<int>(threadIdx.x) / 32 * Tile::kScratch;
    half = at + kLinearRows / kTileRows * Tile::kScratch;
    for (int c = 0; c < 4; ++c) column[c] = half + kLinearRows + c * kTileColumns;
  }
};

// Rows to shared memory, a warp a row, widened and times `scale`; zero where there is none. `half`:
// takes |x|²/2 of each, in base 2.
template <class Tile, class RowAt>
__device__ __forceinline__ void bring(typename Tile::Real* to, const RowAt& row_at, int rows,
                                      int depth, typename Tile::Real scale,
                                      typename Tile::Real* half = nullptr) {
  using Real = typename Tile::Real;
  const int stride = Tile::stride(depth), padded = Tile::padded(depth);
  for (int r = static_cast<int>(threadIdx.x) / 32; r < rows; r += kLinearThreads / 32) {
    const auto* from = row_at(r);
    Real sum = 0;
    for (int c = lane_number(); c < padded; c += 32) {
      const bool there = from != nullptr && c < depth;
      const Real x = there ? static_cast<Real>(to_float(from[c])) * scale : 0;
      to[r * stride + c] = x;
      sum += x * x;
    }
    if (half != nullptr) {
      sum = sum_over(sum, 32);
      if (lane_number() == 0) half[r] = sum * static_cast<Real>(kLog2E / 2);
    }
  }
}

// A warp's 16 rows of a slice from shared memory to rows [row, end) of a matrix of S.
template <class Tile, class S>
__device__ __forceinline__ void give(const typename Tile::Real* rows, int depth, int slice, S* to,
                                     std::int64_t stride, int count) {
  const int left = depth - slice, width = left < Tile::kSlice ? left : Tile::kSlice;
  for (int i = lane_number(); i < count * width; i += 32) {
    const int r = i / width, c = slice + i % width;
    to[r * stride + c] = from_float<S>(rows[r * Tile::stride(depth) + c]);
  }
}

// Where the state of (graph, head) begins, and its rows.
__device__ __forceinline__ std::int64_t state_at(const LinearAttention& a, const LinearPlace& p) {
  return (p.graph * a.heads + p.head) * (a.features + 1) * (a.width + 1);
}
__host__ __device__ __forceinline__ std::int64_t partial_size(const LinearAttention& a) {
  return static_cast<std::int64_t>(a.features) * (a.width + 3) + a.width;
}

template <class Real>
LinearScale<Real> linear_scale(const LinearAttention& a) {
  return {static_cast<Real>(1 / std::sqrt(std::sqrt(static_cast<double>(a.width)))),
          static_cast<Real>(1 / std::sqrt(static_cast<double>(a.features))),
          static_cast<Real>(a.eps)};
}

template <class S, class Run>
void with_linear_slice(int width, const Run& run) {
  using A = compute_t<S>;
  if constexpr (sizeof(A) == 8) {
    run(FmaTile<A, 32>{}, S{});
  } else if (width <= 16) {
    run(FmaTile<A, 16>{}, S{});
  } else {
    run(FmaTile<A, 64>{}, S{});
  }
}

// Calls run(tile, S) with the tile and storage types.
template <class Run>
void with_linear_tile(const LinearAttention& a, const Run& run) {
  switch (a.storage) {
    case Storage::kFloat:
      return with_linear_slice<float>(a.width, run);
    case Storage::kDouble:
      return with_linear_slice<double>(a.width, run);
    case Storage::kBFloat16:
      return with_linear_slice<bf16>(a.width, run);
    case Storage::kHalf:
      return with_linear_slice<f16>(a.width, run);
  }
}

template <class Tile>
inline unsigned linear_slices(int width) {
  return static_cast<unsigned>((width + Tile::kSlice - 1) / Tile::kSlice);
}

}  // namespace gtrain::ops::cuda
