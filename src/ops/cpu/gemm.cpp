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

template <int R, int V>
void tile(const Product& p, Index row, Index column, Index first, Index last, __mmask16 tail) {
  __m512 acc[R][V];
  float* c = p.c + row * p.c_row + column;
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      const __mmask16 mask = v + 1 == V ? tail : static_cast<__mmask16>(0xffff);
      acc[r][v] = first == 0 ? _mm512_setzero_ps()
                             : _mm512_maskz_loadu_ps(mask, c + r * p.c_row + v * kLanes);
    }
  }
  for (Index k = first; k < last; ++k) {
    const float* b = p.b + k * p.b_row + column;
    __m512 rows[V];
    for (int v = 0; v < V; ++v) {
      const __mmask16 mask = v + 1 == V ? tail : static_cast<__mmask16>(0xffff);
      rows[v] = _mm512_maskz_loadu_ps(mask, b + v * kLanes);
    }
    for (int r = 0; r < R; ++r) {
      const __m512 a = _mm512_set1_ps(p.a[(row + r) * p.a_row + k * p.a_column]);
      for (int v = 0; v < V; ++v) acc[r][v] = _mm512_fmadd_ps(a, rows[v], acc[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      const __mmask16 mask = v + 1 == V ? tail : static_cast<__mmask16>(0xffff);
      _mm512_mask_storeu_ps(c + r * p.c_row + v * kLanes, mask, acc[r][v]);
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
