// Reductions over the rows of segments on the device, and rows by index (include/gtrain/ops/
// segment.h and gather.h have the definitions). No torch and no CUDA types: device pointers, sizes.
//
// The rows are cut into chunks of fixed height, wherever the segments end. One thread owns 16 bytes
// of channels of one chunk, walks its rows and writes each segment that lies inside the chunk; what
// a chunk has of a segment that crosses its border goes to the workspace, and a second kernel
// merges these parts in ascending order (by sixteen warps in a fixed pattern where there are many).
// So one huge segment costs what many small ones do, there are no atomics, and the bits depend on
// the sizes and `start` alone.
//
// S: float, double, bf16, f16; A = compute_t<S>: float (double for double). Matrices are contiguous
// [rows, width]; 16-byte loads where width and pointers allow, else one channel a thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cuda/element.h"

namespace gtrain::ops::cuda {

struct Segments {
  std::int64_t rows = 0;                // N = start[count]
  std::int64_t count = 0;               // G
  std::int64_t width = 0;               // D
  const std::int64_t* start = nullptr;  // [G+1] on the device; null: one segment [0, rows)
};

// Height of a chunk: enough chunks to fill a large device, few enough to merge.
inline std::int64_t chunk_rows(std::int64_t rows, std::int64_t width) {
  const std::int64_t wide = width > 0 ? 262144 / width : 0;
  const std::int64_t most = wide > 2048 ? wide : 2048;
  std::int64_t height = 16;
  while (height * most < rows) height *= 2;
  return height;
}

constexpr std::size_t kStateBytes = 24;  // of one channel's largest state in a reduction

// Bytes of workspace for any reduction over rows x width.
inline std::size_t segment_workspace(std::int64_t rows, std::int64_t width) {
  const std::int64_t height = chunk_rows(rows, width);
  return static_cast<std::size_t>(2 * ((rows + height - 1) / height) * width) * kStateBytes;
}

// out_g = sum over k in segment g of x_{position[k]} (position null: x_k), [G, D]; mean divides by
// the number of rows. Empty segments give 0.
struct SegmentSum {
  Segments segments;
  const std::int64_t* position = nullptr;
  bool mean = false;
};
template <class S>
void segment_sum(const SegmentSum& sum, const S* x, S* out, void* workspace, Stream stream);

// dx_k = g_segment(k), divided by the number of rows for the mean.
template <class S>
void segment_sum_backward(const SegmentSum& sum, const S* g, S* dx, Stream stream);

// out_g = max, argmax = the first row that has it (-1 and 0 for an empty segment). NaN is larger
// than any number.
template <class S>
void segment_max(const Segments& segments, const S* x, S* out, std::int64_t* argmax,
                 void* workspace, Stream stream);

// dx_k = g_segment(k) where k is the argmax, else 0.
template <class S>
void segment_max_backward(const Segments& segments, const S* g, const std::int64_t* argmax, S* dx,
                          Stream stream);

// y = softmax of each column within each segment. statistics: [G, D, 2] of A, written (maximum and
// sum of exponentials). A column whose entries are all -inf gives 0.
template <class S>
void segment_softmax(const Segments& segments, const S* x, S* y, compute_t<S>* statistics,
                     void* workspace, Stream stream);

// dx = y (g - sum of y g over the segment). dot: [G, D] of A, written.
template <class S>
struct SoftmaxBackward {
  const S *y = nullptr, *g = nullptr;
  S* dx = nullptr;
  compute_t<S>* dot = nullptr;
};
template <class S>
void segment_softmax_backward(const Segments& segments, const SoftmaxBackward<S>& backward,
                              void* workspace, Stream stream);

// out_p = x_{index[p]}: [count, width]. Its derivative is segment_sum with `position`.
template <class S>
void gather(std::int64_t count, std::int64_t width, const std::int64_t* index, const S* x, S* out,
            Stream stream);

}  // namespace gtrain::ops::cuda
