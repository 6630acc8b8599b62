// The largest scores of each segment, as a new list of segments. No gradient: what is kept is
// gathered by the caller (ops/gather.h).
//   score [P] or [P, 1]; start int64 [R+1]: the scores of segment r are [start[r], start[r+1])
// Equal scores: the lower index wins. NaN comes after everything else. -0 equals 0.
// A segment with no more than m scores keeps all. Expected linear time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gtrain::ops {

struct Selection {
  at::Tensor start;  // int64 [R+1]
  at::Tensor index;  // int64 [kept]: positions in score, ascending within each segment
};

Selection top_m(const at::Tensor& score, const at::Tensor& start, std::int64_t m);

// Keeps ceil(ratio n) of n scores; ratio in [0, 1].
Selection top_ratio(const at::Tensor& score, const at::Tensor& start, double ratio);

}  // namespace gtrain::ops
