// Row-wise kernels over rows [begin, end) of packed matrices with d columns. S is the storage type;
// parameters and statistics of columns and rows are in T, what is computed in.
#pragma once

#include <cstdint>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

// Which elements are kept (detail/random.h), and the factor 1/(1-p) of those. threshold 0: all.
template <class T>
struct Keep {
  std::uint32_t threshold;
  T scale;
  std::uint64_t key;
};

// y = residual + Drop(act(x + bias)); residual and bias may be null. act: 0 none, 1 ReLU, 2 GELU.
// Backward: dx = act'(x + bias) * keep * g, and its column sums over the rows into `sums`.
template <class S>
struct Activate {
  const S* x;
  const Compute<S>* bias;
  const S* residual;
  int activation;
  Keep<Compute<S>> keep;
  S* y;
  const S* g;
  S* dx;
  Compute<S>* sums;
};

// Rows normalised by statistics of their own or of their graph: mean and rstd [N], weight [d].
template <class S>
struct RowNorm {
  const S* z;
  const Compute<S>*mean, *rstd, *weight, *bias;
  S* y;
  // Backward. sums [N, 2]: of weight g, and of weight g (z - mean) rstd, over each row; then what
  // is subtracted (their means). Column sums over the rows into dweight and dbias [d].
  const S* g;
  Compute<S>* sums;
  S* dz;
  Compute<S>*dweight, *dbias;
};

template <class S>
struct RowKernels {
  using Index = std::int64_t;
  using T = Compute<S>;
  // z = residual + x * keep; residual may be null
  void (*residual_dropout)(Index begin, Index end, Index d, const S* x, const S* residual,
                           Keep<T> keep, S* z);
  // Of each column over the rows: mean, and sum of squared deviations.
  void (*moments)(Index begin, Index end, Index d, const S* z, T* mean, T* m2);
  // y = (z - mean) * scale + shift per column
  void (*scale_shift)(Index begin, Index end, Index d, const S* z, const T* mean, const T* scale,
                      const T* shift, S* y);
  // Column sums of g and of g * (z - mean) over the rows.
  void (*norm_sums)(Index begin, Index end, Index d, const S* g, const S* z, const T* mean,
                    T* sum_g, T* sum_gz);
  // dz = a g + b (z - mean) + c per column
  void (*norm_backward)(Index begin, Index end, Index d, const S* g, const S* z, const T* mean,
                        const T* a, const T* b, const T* c, S* dz);
  void (*column_sum)(Index begin, Index end, Index d, const S* g, T* sum);

  void (*activate)(Index begin, Index end, Index d, const Activate<S>& a);
  void (*activate_backward)(Index begin, Index end, Index d, const Activate<S>& a);

  // moments [N, 2]: mean of each row, and its sum of squared deviations.
  void (*row_moments)(Index begin, Index end, Index d, const S* z, T* moments);
  void (*row_norm)(Index begin, Index end, Index d, const RowNorm<S>& a);
  void (*row_norm_sums)(Index begin, Index end, Index d, const RowNorm<S>& a);
  void (*row_norm_backward)(Index begin, Index end, Index d, const RowNorm<S>& a);

  // In place: y = max(y + bias, 0) or y + bias; bias may be null. And dz = dy [y > 0].
  void (*bias_relu)(Index begin, Index end, Index d, const T* bias, bool relu, S* y);
  void (*relu_backward)(Index begin, Index end, Index d, const S* y, const S* dy, S* dz);
};

}  // namespace gtrain::ops::detail
