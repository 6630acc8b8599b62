// Kernels over segments of rows: segment g is [start_g, start_g+1). Entries named part_ reduce the
// rows [begin, end) of one segment; what they return is merged by the caller. d columns; S is the
// storage type, T what is computed in.
#pragma once

#include <cstdint>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

template <class S>
struct SegmentKernels {
  using Index = std::int64_t;
  using T = Compute<S>;
  // out_g = sum of rows position_k (null: k) over the segment; mean: divided by their number.
  void (*sum)(Index begin, Index end, Index d, const S* x, const Index* position,
              const Index* start, bool mean, S* out);
  void (*part_sum)(Index begin, Index end, Index d, const S* x, const Index* position, T* out);
  // dx_k = scale g for the rows of one segment; g [d].
  void (*part_spread)(Index begin, Index end, Index d, const S* g, T scale, S* dx);

  // Empty: 0 and -1. The first of equal rows wins, NaN over any number.
  void (*max)(Index begin, Index end, Index d, const S* x, const Index* start, S* out,
              Index* argmax);
  void (*part_max)(Index begin, Index end, Index d, const S* x, T* value, Index* argmax);

  void (*softmax)(Index begin, Index end, Index d, const S* x, const Index* start, S* y);
  // Largest entry (0 where all are -inf), and sum of exponentials about it.
  void (*part_exponentials)(Index begin, Index end, Index d, const S* x, T* largest, T* sum);
  // y = exp(x - largest) * inverse
  void (*part_softmax)(Index begin, Index end, Index d, const S* x, const T* largest,
                       const T* inverse, S* y);

  // dx = y (g - sum over the segment of y g)
  void (*softmax_backward)(Index begin, Index end, Index d, const S* y, const S* g,
                           const Index* start, S* dx);
  void (*part_dot)(Index begin, Index end, Index d, const S* y, const S* g, T* dot);
  void (*part_softmax_backward)(Index begin, Index end, Index d, const S* y, const S* g,
                                const T* dot, S* dx);

  // out_p = x_{index_p}
  void (*gather)(Index begin, Index end, Index d, const S* x, const Index* index, S* out);
};

}  // namespace gtrain::ops::detail
