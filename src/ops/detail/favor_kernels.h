// The element-wise parts of linear attention for n rows of one graph and head; the products between
// them are dense. Rows of q, k, v and of the results lie `stride` apart in storage S; everything
// between is contiguous in T. m: features, d: channels.
#pragma once

#include <cstdint>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

template <class T>
struct FavorFeatures {
  std::int64_t n, m;
  T* u;           // [n, m]: projections in, features out
  const T* half;  // [n]: half the square of the scaled row
  T ratio, eps;   // phi = ratio (exp(u - half - maximum) + eps)
};

template <class S>
struct FavorKernels {
  using Index = std::int64_t;
  using T = Compute<S>;
  // out = scale x, out [n, width], width = d or, for values, d + 1 with a last column of ones;
  // half (may be null) = half the square of each row of out.
  void (*pack)(Index n, Index d, const S* x, Index stride, T scale, T* out, Index width, T* half);
  T (*maximum)(Index count, const T* u);
  // With the maximum of each row, or one for all rows.
  void (*query_features)(const FavorFeatures<T>& f);
  void (*key_features)(const FavorFeatures<T>& f, T maximum);
  // dphi becomes du = dphi (phi - floor), floor = ratio eps; sums [n] = sum of du over the row.
  void (*features_backward)(Index n, Index m, const T* phi, T floor, T* dphi, T* sums);
  // out = o_{0..d-1} / o_d, o [n, d+1]; keeps o_d in denominator.
  void (*divide)(Index n, Index d, const T* o, S* out, Index stride, T* denominator,
                 Index denominator_stride);
  // dout [n, d+1] = (g / denominator | -(g · out) / denominator)
  void (*divide_backward)(Index n, Index d, const S* g, const S* out, Index stride,
                          const T* denominator, Index denominator_stride, T* dout);
  // out = scale (dx - sums x), dx [n, width], x [n, d]; sums null: scale dx.
  void (*unpack)(Index n, Index d, const T* dx, Index width, const T* x, const T* sums, T scale,
                 S* out, Index stride);
};

}  // namespace gtrain::ops::detail
