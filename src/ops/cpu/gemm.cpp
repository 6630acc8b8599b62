// Single-threaded float products for processors on which the BLAS leaves half of the machine
// unused: MKL runs 256-bit kernels on AMD (78 to 100 GFLOP/s on these shapes where 512-bit vectors
// reach 210 to 240). A tile of up to 6 rows by 4 vectors of C stays in registers over a block of k;
// the last vector is masked, so any shape runs without padding. k is summed in order.
#include "ops/cpu/kernel.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace gtrain::ops::GTRAIN_CPU {

#ifdef __AVX512F__
namespace {

using Index = std::int64_t;
using detail::Product;
constexpr int kTileRows = 6, kTileVectors = 4, kLanes = 16;
constexpr Index kDepth = 1024;  // of k: a panel of B of this depth stays in L2

// Every loop over the accumulators is unrolled early: else each step of k would store all of them.
template <int R, int V>
void tile(const Product& p, Index row, Index column, Index first, Index last, __mmask16 tail) {
  const Index a_row = p.a_row, a_column = p.a_column, b_row = p.b_row, c_row = p.c_row;
  const float* a = p.a + row * a_row + first * a_column;
  const float* b = p.b + first * b_row + column;
  float* c = p.c + row * c_row + column;
  const auto mask = [&](int v) { return v + 1 == V ? tail : static_cast<__mmask16>(0xffff); };
  __m512 acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      acc[r][v] = first == 0 ? _mm512_setzero_ps()
                             : _mm512_maskz_loadu_ps(mask(v), c + r * c_row + v * kLanes);
    }
  }
  for (Index k = first; k < last; ++k) {
    __m512 right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) right[v] = _mm512_maskz_loadu_ps(mask(v), b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512 left = _mm512_set1_ps(a[r * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = _mm512_fmadd_ps(left, right[v], acc[r][v]);
    }
    a += a_column;
    b += b_row;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      _mm512_mask_storeu_ps(c + r * c_row + v * kLanes, mask(v), acc[r][v]);
    }
  }
}

template <int V>
void rows_of(const Product& p, Index column, Index first, Index last, __mmask16 tail) {
  Index row = 0;
  for (; row + kTileRows <= p.m; row += kTileRows) {
    tile<kTileRows, V>(p, row, column, first, last, tail);
  }
  switch (p.m - row) {
    case 5:
      return tile<5, V>(p, row, column, first, last, tail);
    case 4:
      return tile<4, V>(p, row, column, first, last, tail);
    case 3:
      return tile<3, V>(p, row, column, first, last, tail);
    case 2:
      return tile<2, V>(p, row, column, first, last, tail);
    case 1:
      return tile<1, V>(p, row, column, first, last, tail);
    default:
      return;
  }
}

void product(const Product& p) {
  if (p.k == 0) {
    for (Index r = 0; r < p.m; ++r) std::fill_n(p.c + r * p.c_row, p.n, 0.0f);
    return;
  }
  constexpr Index width = kTileVectors * kLanes;
  for (Index first = 0; first < p.k; first += kDepth) {
    const Index last = std::min(p.k, first + kDepth);
    for (Index column = 0; column < p.n; column += width) {
      const Index left = std::min(width, p.n - column);
      const Index vectors = (left + kLanes - 1) / kLanes;
      const auto tail = static_cast<__mmask16>((1u << (left - (vectors - 1) * kLanes)) - 1);
      if (vectors == 4) rows_of<4>(p, column, first, last, tail);
      if (vectors == 3) rows_of<3>(p, column, first, last, tail);
      if (vectors == 2) rows_of<2>(p, column, first, last, tail);
      if (vectors == 1) rows_of<1>(p, column, first, last, tail);
    }
  }
}

}  // namespace

template <>
void add_product_kernel(detail::Kernels<float>& table) {
  if (__builtin_cpu_is("amd")) table.product = product;
}
#else
template <>
void add_product_kernel(detail::Kernels<float>&) {}
#endif

template <>
void add_product_kernel(detail::Kernels<double>&) {}

}  // namespace gtrain::ops::GTRAIN_CPU
