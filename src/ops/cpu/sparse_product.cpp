// Up to 64 rows of x lie transposed in scratch memory, so that an entry of W meets all of them as
// whole vectors: one broadcast and a load and multiply-add a vector, as many as the entries there
// are. Sums run over a row of W in order, whatever rows of x stand beside each other.
#include "ops/detail/sparse_product.h"

#include "ops/detail/simd.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using Index = std::int64_t;
constexpr Index kBlock = 8;  // transposed at once

template <class T>
void transpose_block(const T* from, Index from_row, T* to, Index to_row) {
  for (Index r = 0; r < kBlock; ++r) {
    for (Index c = 0; c < kBlock; ++c) to[c * to_row + r] = from[r * from_row + c];
  }
}

typedef float Eight __attribute__((vector_size(32)));
typedef float EightUnaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef std::int32_t Places __attribute__((vector_size(32)));

// Pairs, then quads, then halves change places.
inline void transpose_block(const float* from, Index from_row, float* to, Index to_row) {
  constexpr Places kLow = {0, 8, 1, 9, 4, 12, 5, 13}, kHigh = {2, 10, 3, 11, 6, 14, 7, 15};
  constexpr Places kFirst = {0, 1, 8, 9, 4, 5, 12, 13}, kSecond = {2, 3, 10, 11, 6, 7, 14, 15};
  constexpr Places kLeft = {0, 1, 2, 3, 8, 9, 10, 11}, kRight = {4, 5, 6, 7, 12, 13, 14, 15};
  Eight x[kBlock], pair[kBlock], quad[kBlock];
  for (int r = 0; r < kBlock; ++r) {
    x[r] = *reinterpret_cast<const EightUnaligned*>(from + r * from_row);
  }
  for (int r = 0; r < kBlock; r += 2) {
    pair[r] = __builtin_shuffle(x[r], x[r + 1], kLow);
    pair[r + 1] = __builtin_shuffle(x[r], x[r + 1], kHigh);
  }
  for (int r = 0; r < kBlock; r += 4) {
    quad[r] = __builtin_shuffle(pair[r], pair[r + 2], kFirst);
    quad[r + 1] = __builtin_shuffle(pair[r], pair[r + 2], kSecond);
    quad[r + 2] = __builtin_shuffle(pair[r + 1], pair[r + 3], kFirst);
    quad[r + 3] = __builtin_shuffle(pair[r + 1], pair[r + 3], kSecond);
  }
  for (int r = 0; r < 4; ++r) {
    *reinterpret_cast<EightUnaligned*>(to + r * to_row) =
        __builtin_shuffle(quad[r], quad[r + 4], kLeft);
    *reinterpret_cast<EightUnaligned*>(to + (r + 4) * to_row) =
        __builtin_shuffle(quad[r], quad[r + 4], kRight);
  }
}

// to [columns, rows] = from [rows, columns]^T.
template <class T>
void transpose(const T* from, Index from_row, Index rows, Index columns, T* to, Index to_row) {
  const Index whole_rows = rows / kBlock * kBlock, whole = columns / kBlock * kBlock;
  for (Index r = 0; r < whole_rows; r += kBlock) {
    for (Index c = 0; c < whole; c += kBlock) {
      transpose_block(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
    }
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index c = r < whole_rows ? whole : 0; c < columns; ++c) {
      to[c * to_row + r] = from[r * from_row + c];
    }
  }
}

// All of W with the first V vectors of rows; those behind the m-th are not read any more.
template <class T, int V>
void panel(const detail::SparseProduct<T>& p, Index row, Index rows) {
  constexpr Index kLanes = Simd<T>::kLanes, kWide = V * kLanes;
  T* x = p.scratch;
  T* y = p.scratch + kWide * p.k;
  transpose(p.x + row * p.k, p.k, rows, p.k, x, kWide);
  for (Index c = 0; c < p.k; ++c) {
    for (Index r = rows; r < kWide; ++r) x[c * kWide + r] = 0;
  }
  for (Index o = 0; o < p.o; ++o) {
    const Vec<T> first = splat<T>(p.bias != nullptr ? p.bias[o] : T(0));
    Vec<T> sum[V];
    for (int v = 0; v < V; ++v) sum[v] = first;
    for (Index e = p.start[o]; e < p.start[o + 1]; ++e) {
      const Vec<T> w = splat<T>(p.value[e]);
      const T* from = x + static_cast<Index>(p.column[e]) * kWide;
      for (int v = 0; v < V; ++v) sum[v] += w * load(from + v * kLanes);
    }
    for (int v = 0; v < V; ++v) {
      if (p.relu) sum[v] = sum[v] < 0 ? Vec<T>{} : sum[v];  // NaN stays
      store(y + o * kWide + v * kLanes, sum[v]);
    }
  }
  transpose(y, kWide, p.o, rows, p.y + row * p.o, p.o);
}

}  // namespace

template <class T>
void sparse_product(const detail::SparseProduct<T>& p) {
  constexpr int kWhole = detail::kSparseRows / Simd<T>::kLanes;
  for (Index row = 0; row < p.m; row += detail::kSparseRows) {
    const Index rows = p.m - row < detail::kSparseRows ? p.m - row : detail::kSparseRows;
    if (rows * 4 <= detail::kSparseRows) {
      panel<T, kWhole / 4>(p, row, rows);
    } else if (rows * 2 <= detail::kSparseRows) {
      panel<T, kWhole / 2>(p, row, rows);
    } else {
      panel<T, kWhole>(p, row, rows);
    }
  }
}

template void sparse_product(const detail::SparseProduct<float>&);
template void sparse_product(const detail::SparseProduct<double>&);

}  // namespace gtrain::ops::GTRAIN_CPU
