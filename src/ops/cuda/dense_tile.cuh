// One warp's share of attention by tiles: 16 rows of one operand (queries; in the pass over keys:
// keys) against 32 columns of the other, both in shared memory. Two ways with one interface, so
// that each kernel is written once:
//   MmaTile<S, D>  bf16 and f16 on the tensor cores (mma.sync m16n8k16, k8 for D = 8), D channels
//   FmaTile<A, D>  float and double by fused multiply-adds, the result D channels at a time
// Both spread a tile over the lanes as value[i][j], i < kRows, j < kColumns: row(i), column(j) of
// the 16 x 32 scores, and result[i][k] for channel(k) of the same rows. The kLanes lanes that share
// rows differ in the low bits of the lane number.
//
// Rows in shared memory are stride(depth) elements apart, such that neither ldmatrix nor 16-byte
// reads of 8 rows meet in a bank: an odd number of 16-byte units.
#pragma once

#include <cmath>

#include "ops/cuda/device.cuh"
#include "ops/cuda/storage.h"

namespace gtrain::ops::cuda {

constexpr int kTileRows = 16, kTileColumns = 32;
constexpr double kLog2E = 1.4426950408889634;
constexpr unsigned kEveryLane = 0xffffffffu;

__device__ __forceinline__ int lane_number() { return static_cast<int>(threadIdx.x & 31u); }

__device__ __forceinline__ float exp_base2(float x) { return fast_exp2(x); }
__device__ __forceinline__ double exp_base2(double x) { return exp2(x); }
__device__ __forceinline__ float log_base2(float x) { return log2f(x); }
__device__ __forceinline__ double log_base2(double x) { return log2(x); }

template <class A>
__device__ __forceinline__ A infinity() {
  return static_cast<A>(HUGE_VAL);
}

// Sum and maximum over `lanes` lanes whose numbers differ in the low bits; every lane gets it.
template <class A>
__device__ __forceinline__ A sum_over(A x, int lanes) {
  for (int offset = 1; offset < lanes; offset *= 2) x += __shfl_xor_sync(kEveryLane, x, offset);
  return x;
}
template <class A>
__device__ __forceinline__ A largest_over(A x, int lanes) {
  for (int offset = 1; offset < lanes; offset *= 2) {
    const A other = __shfl_xor_sync(kEveryLane, x, offset);
    x = other > x ? other : x;
  }
  return x;
}

template <int R, int K, class Real>
__device__ __forceinline__ void clear(Real (&value)[R][K]) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int k = 0; k < K; ++k) value[i][k] = 0;
  }
}

template <class S, int D>
struct MmaTile {
  using Storage = S;
  using Real = float;
  static constexpr int kRows = 2, kColumns = 8, kLanes = 4;
  static constexpr int kSlice = D, kChannels = D / 4;
  static constexpr int kScratch = 0;  // Reals a warp needs besides

  __host__ __device__ static int padded(int) { return D; }
  __host__ __device__ static int stride(int) { return D == 8 ? 8 : D + 8; }
  __device__ static int row(int i) { return lane_number() / 4 + 8 * i; }
  __device__ static int column(int j) { return j / 2 * 8 + lane_number() % 4 * 2 + j % 2; }
  __device__ static int channel(int k) { return column(k); }

  // value = a b^T: a has 16 rows, b 32.
  __device__ static void products(const S* a, const S* b, int stride, int,
                                  float (&value)[kRows][kColumns]) {
    const int lane = lane_number();
    float c[4][4] = {};
    if constexpr (D == 8) {
      std::uint32_t left[2], right[4];
      ldmatrix_x2(left, a + lane % 16 * stride);
      ldmatrix_x4(right, b + lane * stride);
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        const std::uint32_t one[1] = {right[t]};
        mma_m16n8k8(c[t], left, one, S{});
      }
    } else {
#pragma unroll
      for (int depth = 0; depth < D; depth += 16) {
        std::uint32_t left[4];
        ldmatrix_x4(left, a + lane % 16 * stride + depth + lane / 16 * 8);
#pragma unroll
        for (int t = 0; t < 4; t += 2) {
          std::uint32_t right[4];
          const int from = t * 8 + lane / 16 * 8 + lane % 8;
          ldmatrix_x4(right, b + from * stride + depth + lane / 8 % 2 * 8);
          const std::uint32_t low[2] = {right[0], right[1]}, high[2] = {right[2], right[3]};
          mma_m16n8k16(c[t], left, low, S{});
          mma_m16n8k16(c[t + 1], left, high, S{});
        }
      }
    }
#pragma unroll
    for (int t = 0; t < 4; ++t) unspread(c[t], value, t);
  }

  // result += value b: b has 32 rows of D channels.
  __device__ static void accumulate(const float (&value)[kRows][kColumns], const S* b, int stride,
                                    int, float*, float (&result)[kRows][kChannels]) {
    const int lane = lane_number();
#pragma unroll
    for (int u = 0; u < 2; ++u) {  // 16 columns of value, rows of b
      const int j = 4 * u;
      const std::uint32_t left[4] = {pack_pair<S>(value[0][j], value[0][j + 1]),
                                     pack_pair<S>(value[1][j], value[1][j + 1]),
                                     pack_pair<S>(value[0][j + 2], value[0][j + 3]),
                                     pack_pair<S>(value[1][j + 2], value[1][j + 3])};
      const S* from = b + (16 * u + lane % 16) * stride;
      if constexpr (D == 8) {
        std::uint32_t right[2];
        ldmatrix_x2_trans(right, from);
        step(left, right, result, 0);
      } else {
#pragma unroll
        for (int t = 0; t < D / 8; t += 2) {
          std::uint32_t right[4];
          ldmatrix_x4_trans(right, from + t * 8 + lane / 16 * 8);
          const std::uint32_t low[2] = {right[0], right[1]}, high[2] = {right[2], right[3]};
          step(left, low, result, t);
          step(left, high, result, t + 1);
        }
      }
    }
  }

  // The result times `factor` to 16 rows in shared memory.
  __device__ static void put(const float (&result)[kRows][kChannels], float factor, S* rows,
                             int stride, int) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int k = 0; k < kChannels; k += 2) {
        *reinterpret_cast<std::uint32_t*>(rows + row(i) * stride + channel(k)) =
            pack_pair<S>(result[i][k] * factor, result[i][k + 1] * factor);
      }
    }
  }

 private:
  template <int C>
  __device__ static void unspread(const float (&c)[4], float (&value)[kRows][C], int t) {
    value[0][2 * t] = c[0];
    value[0][2 * t + 1] = c[1];
    value[1][2 * t] = c[2];
    value[1][2 * t + 1] = c[3];
  }
  __device__ static void step(const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
                              float (&result)[kRows][kChannels], int t) {
    float c[4] = {result[0][2 * t], result[0][2 * t + 1], result[1][2 * t], result[1][2 * t + 1]};
    mma_m16n8k16(c, left, right, S{});
    unspread(c, result, t);
  }
};

template <class A, int D>
struct FmaTile {
  using Storage = A;
  using Real = A;
  static constexpr int kRows = 4, kColumns = 4, kLanes = 8;
  static constexpr int kVector = 16 / static_cast<int>(sizeof(A));
  static constexpr int kSlice = D, kChannels = D / 8;
  static constexpr int kOwn = kChannels < kVector ? kChannels : kVector;  // adjacent channels
  static constexpr int kScratchRow = kTileRows + kVector;
  static constexpr int kScratch = kTileColumns * kScratchRow;

  __host__ __device__ static int padded(int depth) {
    return (depth + kVector - 1) / kVector * kVector;
  }
  __host__ __device__ static int stride(int depth) {
    return (padded(depth) / kVector | 1) * kVector;
  }
  __device__ static int row(int i) { return lane_number() / 8 * 4 + i; }
  __device__ static int column(int j) { return lane_number() % 8 + 8 * j; }
  __device__ static int channel(int k) {
    return (k / kOwn * 8 + lane_number() % 8) * kOwn + k % kOwn;
  }

  __device__ static void products(const A* a, const A* b, int stride, int depth,
                                  A (&value)[kRows][kColumns]) {
    clear(value);
    for (int c = 0; c < depth; c += kVector) {
      Pack<A> left[kRows], right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) left[i] = load_shared_pack(a + row(i) * stride + c);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) right[j] = load_shared_pack(b + column(j) * stride + c);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
#pragma unroll
          for (int v = 0; v < kVector; ++v) value[i][j] += left[i][v] * right[j][v];
        }
      }
    }
  }

  // The first of the D channels is b's; `depth` channels are there.
  __device__ static void accumulate(const A (&value)[kRows][kColumns], const A* b, int stride,
                                    int depth, A* scratch, A (&result)[kRows][kChannels]) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      A* to = scratch + column(j) * kScratchRow + row(0);
#pragma unroll
      for (int i = 0; i < kRows; i += kVector) {
        Pack<A> pack;
#pragma unroll
        for (int v = 0; v < kVector; ++v) pack[v] = value[i + v][j];
        store_shared_pack(to + i, pack);
      }
    }
    __syncwarp();
    for (int column = 0; column < kTileColumns; ++column) {
      A left[kRows];
#pragma unroll
      for (int i = 0; i < kRows; i += kVector) {
        const Pack<A> pack = load_shared_pack(scratch + column * kScratchRow + row(i));
#pragma unroll
        for (int v = 0; v < kVector; ++v) left[i + v] = pack[v];
      }
#pragma unroll
      for (int k = 0; k < kChannels; k += kOwn) {
        if (channel(k) >= depth) continue;
        A right[kOwn];
        load_own(b + column * stride + channel(k), right);
#pragma unroll
        for (int v = 0; v < kOwn; ++v) {
#pragma unroll
          for (int i = 0; i < kRows; ++i) result[i][k + v] += left[i] * right[v];
        }
      }
    }
    __syncwarp();
  }

  __device__ static void put(const A (&result)[kRows][kChannels], A factor, A* rows, int stride,
                             int depth) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int k = 0; k < kChannels; k += kOwn) {
        A* to = rows + row(i) * stride + channel(k);
        if (channel(k) >= depth) continue;  // the rest of a pack lies in the row's padding
        if constexpr (kOwn == kVector) {
          Pack<A> pack;
#pragma unroll
          for (int v = 0; v < kOwn; ++v) pack[v] = result[i][k + v] * factor;
          store_shared_pack(to, pack);
        } else {
#pragma unroll
          for (int v = 0; v < kOwn; ++v) to[v] = result[i][k + v] * factor;
        }
      }
    }
  }

 private:
  __device__ static void load_own(const A* from, A (&right)[kOwn]) {
    if constexpr (kOwn == kVector) {
      const Pack<A> pack = load_shared_pack(from);
#pragma unroll
      for (int v = 0; v < kOwn; ++v) right[v] = pack[v];
    } else {
#pragma unroll
      for (int v = 0; v < kOwn; ++v) right[v] = from[v];
    }
  }
};

// Softmax over tiles of columns, a lane's rows: the largest score so far, this lane's part of the
// sum of exponentials, and the result relative to them.
template <class Tile>
struct OnlineSoftmax {
  using Real = typename Tile::Real;
  Real largest[Tile::kRows], sum[Tile::kRows], result[Tile::kRows][Tile::kChannels];

  __device__ OnlineSoftmax() {
    clear(result);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      largest[i] = -infinity<Real>();
      sum[i] = 0;
    }
  }

  // Scores in base 2 to exponentials; what was summed before is scaled to the new maximum.
  // `share`: what each column counts in the sum, null: 1.
  __device__ void weigh(Real (&value)[Tile::kRows][Tile::kColumns], const Real* share = nullptr) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      Real top = largest[i];
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) top = value[i][j] > top ? value[i][j] : top;
      top = largest_over(top, Tile::kLanes);
      const Real reference = top == -infinity<Real>() ? 0 : top;
      const Real rescale = exp_base2(largest[i] - reference);
      largest[i] = top;
      sum[i] *= rescale;
#pragma unroll
      for (int k = 0; k < Tile::kChannels; ++k) result[i][k] *= rescale;
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j) {
        value[i][j] = exp_base2(value[i][j] - reference);
        sum[i] += share == nullptr ? value[i][j] : value[i][j] * share[Tile::column(j)];
      }
    }
  }
};

// Blocks of 128 threads a multiprocessor shall hold at least: without it ptxas spills some
// registers to hold more.
template <class Tile>
constexpr int kTileBlocks = sizeof(typename Tile::Real) == 8 ? 2 : 1;

// Row r of a matrix, or null where there is none: rows of a tile that lie one after another.
template <class S>
struct Span {
  const S* first;
  std::int64_t stride;
  std::int64_t count;
  __device__ const S* operator()(int r) const { return r < count ? first + r * stride : nullptr; }
};

// `rows` rows of `depth` channels to shared memory by the block, or by one warp, zero where there
// is no row and up to the padded depth. `vector`: bases, strides and depth are whole 16-byte units;
// then the copy is asynchronous and the caller commits and waits. `base`: any address in the
// matrix.
template <class Tile, bool kByWarp = false, class RowAt>
__device__ __forceinline__ void stage(typename Tile::Storage* to, const RowAt& row_at, int rows,
                                      int depth, bool vector, const typename Tile::Storage* base) {
  using S = typename Tile::Storage;
  const int stride = Tile::stride(depth), padded = Tile::padded(depth);
  const int unit = vector ? 16 / static_cast<int>(sizeof(S)) : 1, units = padded / unit;
  const int thread = kByWarp ? lane_number() : static_cast<int>(threadIdx.x);
  const int threads = kByWarp ? 32 : static_cast<int>(blockDim.x);
  for (int i = thread; i < rows * units; i += threads) {
    const int r = i / units, c = i % units * unit;
    const S* from = row_at(r);
    const bool there = from != nullptr && c < depth;
    if (vector) {
      cp_async_16(to + r * stride + c, there ? from + c : base, there ? 16 : 0);
    } else {
      to[r * stride + c] = there ? from[c] : S{};
    }
  }
}

// Channels [first, first + count) of a warp's own rows from shared to global memory.
template <class Tile>
__device__ __forceinline__ void unstage(const typename Tile::Storage* rows, int stride,
                                        typename Tile::Storage* to, std::int64_t to_stride,
                                        int valid, int first, int count, bool vector) {
  using S = typename Tile::Storage;
  const int unit = vector ? 16 / static_cast<int>(sizeof(S)) : 1, units = count / unit;
  for (int i = lane_number(); i < valid * units; i += 32) {
    const int r = i / units, c = first + i % units * unit;
    if (vector) {
      store_pack(to + r * to_stride + c, load_shared_pack(rows + r * stride + c));
    } else {
      to[r * to_stride + c] = rows[r * stride + c];
    }
  }
}

// The product of each of a warp's 16 rows in shared memory with a row of a matrix; all lanes work
// on one row at a time.
template <class Tile>
__device__ void row_dots(const Span<typename Tile::Storage>& row_at,
                         const typename Tile::Storage* rows, int depth,
                         typename Tile::Real (&dot)[Tile::kRows]) {
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) dot[i] = 0;
  for (int r = 0; r < kTileRows; ++r) {
    const auto* from = row_at(r);
    typename Tile::Real sum = 0;
    for (int c = lane_number(); from != nullptr && c < depth; c += 32) {
      sum += to_float(rows[r * Tile::stride(depth) + c]) * to_float(from[c]);
    }
    sum = sum_over(sum, 32);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) dot[i] = Tile::row(i) == r ? sum : dot[i];
  }
}

inline int storage_size(Storage storage) {
  return storage == Storage::kDouble ? 8 : storage == Storage::kFloat ? 4 : 2;
}

// Whether the heads of a matrix's rows, `width` elements each, are whole 16-byte units.
inline bool whole_units(Storage storage, int width, const void* matrix, std::int64_t stride) {
  const std::int64_t size = storage_size(storage);
  return reinterpret_cast<std::uintptr_t>(matrix) % 16 == 0 && stride * size % 16 == 0 &&
         width * size % 16 == 0;
}

// Calls run(tile) with the tile type for the storage and width.
template <class Run>
void with_dense_tile(Storage storage, int width, const Run& run) {
  const auto mma = [&](auto zero) {
    using S = decltype(zero);
    if (width <= 8) return run(MmaTile<S, 8>{});
    if (width <= 16) return run(MmaTile<S, 16>{});
    if (width <= 32) return run(MmaTile<S, 32>{});
    if (width <= 64) return run(MmaTile<S, 64>{});
    return run(MmaTile<S, 128>{});
  };
  if (storage == Storage::kBFloat16) return mma(bf16{});
  if (storage == Storage::kHalf) return mma(f16{});
  if (storage == Storage::kDouble) return run(FmaTile<double, 32>{});
  if (width <= 16) return run(FmaTile<float, 16>{});
  if (width <= 32) return run(FmaTile<float, 32>{});
  return run(FmaTile<float, 64>{});
}

}  // namespace gtrain::ops::cuda
