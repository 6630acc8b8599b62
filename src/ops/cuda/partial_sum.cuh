// Sums of the partial results of rows that a work list has cut.
#pragma once

#include "ops/cuda/lane.cuh"

namespace gtrain::ops::cuda {

// out_row = sum of the row's partial results, ascending. partial [parts, part_size], of which
// `width` columns from `offset` on. A block a cut row.
template <class S>
struct PartialSum {
  const ops::detail::CutRow* cuts;
  const compute_t<S>* partial;
  std::int64_t part_size, offset, width;
  S* out;
  std::int64_t out_stride;
};

template <class S>
__global__ void partial_sum_kernel(PartialSum<S> a) {
  const ops::detail::CutRow cut = a.cuts[blockIdx.x];
  for (std::int64_t c = threadIdx.x; c < a.width; c += blockDim.x) {
    compute_t<S> sum = 0;
    for (std::int32_t p = 0; p < cut.parts; ++p) {
      sum +=
          a.partial[(cut.first_part + static_cast<std::int64_t>(p)) * a.part_size + a.offset + c];
    }
    a.out[cut.row * a.out_stride + c] = from_float<S>(sum);
  }
}

// `width` columns of the partial results from column `offset` on.
template <class S>
void sum_partials(const Work& work, std::int64_t part_size, std::int64_t offset, std::int64_t width,
                  S* out, std::int64_t out_stride, Stream stream) {
  const PartialSum<S> sum{
      work.cuts, static_cast<const compute_t<S>*>(work.partial), part_size, offset, width, out,
      out_stride};
  launch_cuts(partial_sum_kernel<S>, work, stream, sum);
}

}  // namespace gtrain::ops::cuda
