// With phi' = phi_q without its factor m^-1/2 (it cancels in out = num / den) and S = [sum phi_k v,
// z]:
//   dnum_i = dO_i / den_i        dden_i = -dO_i · O_i / den_i
//   dS_f = sum_i phi'_if [dnum_i, dden_i]       dphi'_if = [dnum_i, dden_i] · S_f
//   dV_j = sum_f phi_jf dS_f                    dphi_jf = [V_j, 1] · dS_f
// and through phi = exp(W x - |x|²/2 - max) + eps of x = s q or s k, with dx_f = exp(..) dphi_f:
//   dq = s (sum_f dx_f W_f - (sum_f dx_f) x)
#include "ops/cuda/linear_attention.cuh"

namespace gtrain::ops::cuda {
namespace {

// The warp's part of the rows' gradient to a matrix of S: s (sum - total x), x its rows in `own`.
template <class Tile, class S>
__device__ void give_gradient(typename Tile::Real (&sum)[Tile::kRows][Tile::kChannels],
                              const typename Tile::Real (&total)[Tile::kRows],
                              typename Tile::Real scale, typename Tile::Real* own, int width,
                              int slice, S* to, std::int64_t stride, int count) {
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const typename Tile::Real all = sum_over(total[i], Tile::kLanes);
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) {
      const int c = slice + Tile::channel(k);
      if (c < width) sum[i][k] -= all * own[Tile::row(i) * Tile::stride(width) + c];
    }
  }
  Tile::put(sum, scale, own + slice, Tile::stride(width), width - slice);
  __syncwarp();
  give<Tile>(own, width, slice, to, stride, count);
}

// A tile of features: the projection, `state` and its last column.
template <class Tile>
__device__ void bring_features(const LinearAttention& a, const LinearRoom<Tile>& room,
                               const typename Tile::Real* state, int feature) {
  using Real = typename Tile::Real;
  const int thread = static_cast<int>(threadIdx.x), row = a.width + 1;
  __syncthreads();
  bring<Tile>(room.right[0], feature_rows<Real>(a.projection, a.width, feature, a.features),
              kTileColumns, a.width, 1);
  bring<Tile>(room.right[1], feature_rows<Real>(state, row, feature, a.features), kTileColumns,
              a.width, 1);
  if (thread < kTileColumns) {
    const int f = feature + thread;
    room.column[0][thread] = f < a.features ? state[f * row + a.width] : 0;
  }
  __syncthreads();
}

// Queries: dq and the denominator's gradient.
template <class Tile, class S>
__device__ void query_gradient(const LinearAttention& a, const LinearAttentionGradient& g,
                               const LinearScale<typename Tile::Real>& scale,
                               const LinearPlace& p) {
  using Real = typename Tile::Real;
  const LinearRoom<Tile> room(a.width);
  const int stride = Tile::stride(a.width), slice = static_cast<int>(blockIdx.y) * Tile::kSlice;
  const int in_block = static_cast<int>(threadIdx.x) / 32 * kTileRows, row0 = p.first + in_block;
  const Real* state = static_cast<const Real*>(a.state) + state_at(a, p);
  Real *own = room.left[0] + in_block * stride, *own_dout = room.left[1] + in_block * stride;
  bring<Tile>(room.left[0], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 0, p.first), kLinearRows,
              a.width, scale.data, room.half);
  bring<Tile>(room.left[1], linear_rows<S>(a, p, g.dout, g.dout_stride, 0, p.first), kLinearRows,
              a.width, 1);
  __syncthreads();

  Real inverse[Tile::kRows], dsum[Tile::kRows], shift[Tile::kRows], total[Tile::kRows] = {};
  Real dq[Tile::kRows][Tile::kChannels];
  clear(dq);
  const Span<S> out = linear_rows<S>(a, p, a.out, a.out_stride, 0, row0);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const std::int64_t at = (p.start + row0 + Tile::row(i)) * a.heads + p.head;
    const bool there = row0 + Tile::row(i) < p.end;
    inverse[i] = there ? 1 / static_cast<const Real*>(a.row_sum)[at] : 0;
    shift[i] = there ? static_cast<const Real*>(a.row_largest)[at] : infinity<Real>();
    shift[i] += room.half[in_block + Tile::row(i)];
    const S* from = out(Tile::row(i));
    Real dot = 0;  // the lanes of a row share its channels
    for (int c = lane_number() % Tile::kLanes; there && c < a.width; c += Tile::kLanes) {
      dot += own_dout[Tile::row(i) * stride + c] * static_cast<Real>(to_float(from[c]));
    }
    dsum[i] = -sum_over(dot, Tile::kLanes) * inverse[i];
    if (there && slice == 0 && lane_number() % Tile::kLanes == 0) {
      static_cast<Real*>(g.dsum)[at] = dsum[i];
    }
  }
  for (int feature = 0; feature < a.features; feature += kTileColumns) {
    bring_features(a, room, state, feature);
    if (row0 >= p.end) continue;
    Real value[Tile::kRows][Tile::kColumns], dx[Tile::kRows][Tile::kColumns];
    Tile::products(own, room.right[0], stride, a.width, value);
    Tile::products(own_dout, room.right[1], stride, a.width, dx);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const bool there = feature + Tile::column(j) < a.features;
        const Real e = exp_base2(value[i][j] * static_cast<Real>(kLog2E) - shift[i]);
        const Real dphi = dx[i][j] * inverse[i] + dsum[i] * room.column[0][Tile::column(j)];
        dx[i][j] = there ? e * dphi : 0;
        total[i] += dx[i][j];
      }
    }
    Tile::accumulate(dx, room.right[0] + slice, stride, a.width - slice, room.scratch, dq);
  }
  const int left = p.end - row0;
  give_gradient<Tile>(dq, total, scale.data, own, a.width, slice,
                      static_cast<S*>(g.dqkv) + (p.start + row0) * g.dqkv_stride + p.head * a.width,
                      g.dqkv_stride, left < kTileRows ? left : kTileRows);
}

// Keys: dk and dv.
template <class Tile, class S>
__device__ void key_gradient(const LinearAttention& a, const LinearAttentionGradient& g,
                             const LinearScale<typename Tile::Real>& scale, const LinearPlace& p) {
  using Real = typename Tile::Real;
  const LinearRoom<Tile> room(a.width);
  const int stride = Tile::stride(a.width), slice = static_cast<int>(blockIdx.y) * Tile::kSlice;
  const int in_block = static_cast<int>(threadIdx.x) / 32 * kTileRows, row0 = p.first + in_block;
  const Real* dstate = static_cast<const Real*>(g.dstate) + state_at(a, p);
  const Real top = static_cast<const Real*>(a.key_largest)[p.graph * a.heads + p.head];
  Real *own_k = room.left[0] + in_block * stride, *own_v = room.left[1] + in_block * stride;
  bring<Tile>(room.left[0], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 1, p.first), kLinearRows,
              a.width, scale.data, room.half);
  bring<Tile>(room.left[1], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 2, p.first), kLinearRows,
              a.width, 1);

  const Real ratio = scale.feature, eps = scale.eps;
  Real total[Tile::kRows] = {}, dk[Tile::kRows][Tile::kChannels], dv[Tile::kRows][Tile::kChannels];
  clear(dk);
  clear(dv);
  for (int feature = 0; feature < a.features; feature += kTileColumns) {
    bring_features(a, room, dstate, feature);
    if (row0 >= p.end) continue;
    Real phi[Tile::kRows][Tile::kColumns], dx[Tile::kRows][Tile::kColumns];
    Tile::products(own_k, room.right[0], stride, a.width, phi);
    Tile::products(own_v, room.right[1], stride, a.width, dx);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const Real shift = room.half[in_block + Tile::row(i)] + top;
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        const bool there = feature + Tile::column(j) < a.features;
        const Real e = exp_base2(phi[i][j] * static_cast<Real>(kLog2E) - shift);
        dx[i][j] = there ? ratio * e * (dx[i][j] + room.column[0][Tile::column(j)]) : 0;
        phi[i][j] = there ? ratio * (e + eps) : 0;
        total[i] += dx[i][j];
      }
    }
    Tile::accumulate(dx, room.right[0] + slice, stride, a.width - slice, room.scratch, dk);
    Tile::accumulate(phi, room.right[1] + slice, stride, a.width - slice, room.scratch, dv);
  }
  const std::int64_t width = static_cast<std::int64_t>(a.heads) * a.width;
  S* to = static_cast<S*>(g.dqkv) + (p.start + row0) * g.dqkv_stride + width + p.head * a.width;
  const int left = p.end - row0, count = left < kTileRows ? left : kTileRows;
  give_gradient<Tile>(dk, total, scale.data, own_k, a.width, slice, to, g.dqkv_stride, count);
  Tile::put(dv, 1, own_v + slice, stride, a.width - slice);
  __syncwarp();
  give<Tile>(own_v, a.width, slice, to + width, g.dqkv_stride, count);
}

template <class Tile, class S>
__global__ void __launch_bounds__(kLinearThreads, sizeof(typename Tile::Real) == 8 ? 2 : 3)
    linear_backward_queries(LinearAttention a, LinearAttentionGradient g,
                            LinearScale<typename Tile::Real> scale) {
  const LinearPlace p = linear_place(a, a.piece_rows / kLinearRows);
  if (p.first < p.end) query_gradient<Tile, S>(a, g, scale, p);
}

template <class Tile, class S>
__global__ void __launch_bounds__(kLinearThreads, sizeof(typename Tile::Real) == 8 ? 2 : 3)
    linear_backward_keys(LinearAttention a, LinearAttentionGradient g,
                         LinearScale<typename Tile::Real> scale) {
  const LinearPlace p = linear_place(a, a.piece_rows / kLinearRows);
  if (p.first < p.end) key_gradient<Tile, S>(a, g, scale, p);
}

// The state's gradient from one piece's queries for 64 features: rows of the tile are features.
template <class Tile, class S>
__global__ void __launch_bounds__(kLinearThreads, sizeof(typename Tile::Real) == 8 ? 2 : 4)
    linear_backward_state(LinearAttention a, LinearAttentionGradient g,
                          LinearScale<typename Tile::Real> scale) {
  using Real = typename Tile::Real;
  const LinearPlace p = linear_place(a, 1);
  const LinearRoom<Tile> room(a.width);
  const int stride = Tile::stride(a.width), thread = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.y) * kLinearRows, in_block = thread / 32 * kTileRows;
  const int slice = static_cast<int>(blockIdx.z) * Tile::kSlice;
  const Real *own = room.left[0] + in_block * stride, eps = scale.eps;
  bring<Tile>(room.left[0], feature_rows<Real>(a.projection, a.width, base, a.features),
              kLinearRows, a.width, 1);
  Real dz[Tile::kRows] = {}, ds[Tile::kRows][Tile::kChannels];
  clear(ds);
  for (int query = p.first; query < p.end; query += kTileColumns) {
    __syncthreads();
    bring<Tile>(room.right[0], linear_rows<S>(a, p, a.qkv, a.qkv_stride, 0, query), kTileColumns,
                a.width, scale.data, room.column[0]);
    bring<Tile>(room.right[1], linear_rows<S>(a, p, g.dout, g.dout_stride, 0, query), kTileColumns,
                a.width, 1);
    if (thread < kTileColumns) {
      const bool there = query + thread < p.end;
      const std::int64_t at = (p.start + query + thread) * a.heads + p.head;
      room.column[1][thread] = there ? static_cast<const Real*>(a.row_largest)[at] : 0;
      room.column[2][thread] = there ? 1 / static_cast<const Real*>(a.row_sum)[at] : 0;
      room.column[3][thread] = there ? static_cast<const Real*>(g.dsum)[at] : 0;
    }
    __syncthreads();
    if (base + in_block >= a.features) continue;
    Real phi[Tile::kRows][Tile::kColumns];
    Tile::products(own, room.right[0], stride, a.width, phi);
#pragma unroll
    for (int j = 0; j < Tile::kColumns; ++j) {
      const int c = Tile::column(j);
      const Real shift = room.column[0][c] + room.column[1][c];
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
        phi[i][j] = exp_base2(phi[i][j] * static_cast<Real>(kLog2E) - shift) + eps;
        dz[i] += phi[i][j] * room.column[3][c];
        phi[i][j] *= room.column[2][c];
      }
    }
    Tile::accumulate(phi, room.right[1] + slice, stride, a.width - slice, room.scratch, ds);
  }
  Real* to = static_cast<Real*>(a.partial) + (p.piece * a.heads + p.head) * partial_size(a);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const Real sum = sum_over(dz[i], Tile::kLanes);
    const int f = base + in_block + Tile::row(i);
    if (f >= a.features) continue;
#pragma unroll
    for (int k = 0; k < Tile::kChannels; ++k) {
      const int c = slice + Tile::channel(k);
      if (c < a.width) to[f * (a.width + 3) + c] = ds[i][k];
    }
    if (slice == 0 && lane_number() % Tile::kLanes == 0) to[f * (a.width + 3) + a.width] = sum;
  }
}

template <class Real>
__global__ void __launch_bounds__(kLinearThreads)
    linear_merge_gradient(LinearAttention a, LinearAttentionGradient g) {
  const int row = a.width + 1;
  const std::int64_t graph = static_cast<std::int64_t>(blockIdx.x) / a.heads;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.x) % a.heads;
  const std::int64_t first = a.piece_start[graph], end = a.piece_start[graph + 1];
  const Real* partial = static_cast<const Real*>(a.partial);
  Real* to =
      static_cast<Real*>(g.dstate) + static_cast<std::int64_t>(blockIdx.x) * (a.features + 1) * row;
  for (int i = static_cast<int>(threadIdx.x); i < a.features * row; i += kLinearThreads) {
    Real sum = 0;
    for (std::int64_t piece = first; piece < end; ++piece) {
      sum +=
          partial[(piece * a.heads + head) * partial_size(a) + i / row * (a.width + 3) + i % row];
    }
    to[i] = sum;
  }
}

}  // namespace

void linear_attention_backward(const LinearAttention& a, const LinearAttentionGradient& g,
                               Stream stream) {
  if (a.piece_count == 0) return;
  const std::int64_t pieces = a.piece_count * a.heads;
  const unsigned parts = grid_blocks(pieces * (a.piece_rows / kLinearRows));
  with_linear_tile(a, [&](auto tile, auto zero) {
    using Tile = decltype(tile);
    using S = decltype(zero);
    using Real = typename Tile::Real;
    const LinearScale<Real> scale = linear_scale<Real>(a);
    const std::size_t bytes = LinearRoom<Tile>::reals(a.width) * sizeof(Real);
    const unsigned slices = linear_slices<Tile>(a.width);
    const dim3 block(kLinearThreads);
    launch(linear_backward_queries<Tile, S>, dim3(parts, slices), block, bytes, stream, a, g,
           scale);
    launch(linear_backward_state<Tile, S>,
           dim3(grid_blocks(pieces), grid_blocks((a.features + kLinearRows - 1) / kLinearRows),
                slices),
           block, bytes, stream, a, g, scale);
    launch(linear_merge_gradient<Real>, dim3(grid_blocks(a.graphs * a.heads)), block, 0, stream, a,
           g);
    launch(linear_backward_keys<Tile, S>, dim3(parts, slices), block, bytes, stream, a, g, scale);
  });
}

}  // namespace gtrain::ops::cuda
