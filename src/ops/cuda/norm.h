// Batch norm, layer norm and graph norm over packed rows on the device, each of z = residual +
// Drop(x) (include/gtrain/ops/batch_norm.h and layer_norm.h have the definitions):
//   y = weight (z - mean) rstd + bias
//   dz = rstd (weight g - m1 - xhat m2),   xhat = (z - mean) rstd,
//   m1, m2 = means of weight g and of weight g xhat over what shares the statistics
// Statistics are merged means and squared deviations (Chan et al. 1983) over the chunks of
// segment.h: no atomics, and the bits depend on the sizes alone.
//
// S: float, double, bf16, f16. Parameters, statistics and their gradients are A = compute_t<S>.
// Matrices are contiguous [rows, width]; layer norm takes a width of up to kLayerNormWidth<A>.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/row.h"
#include "ops/cuda/segment.h"

namespace gtrain::ops::cuda {

template <class S>
struct Norm {
  const S* x = nullptr;
  const S* residual = nullptr;  // or null
  Mask mask;
  // z as stored, which is what is normalised; null: z is x (no residual, no mask).
  S* z = nullptr;
  const compute_t<S>* weight = nullptr;  // [width]
  const compute_t<S>* bias = nullptr;
  compute_t<S>* mean = nullptr;  // written: [width], [rows] or [segments]
  compute_t<S>* rstd = nullptr;
  S* y = nullptr;
  double eps = 1e-5;
};

template <class S>
struct NormGradient {
  const S* g = nullptr;
  const S* z = nullptr;
  const compute_t<S>* weight = nullptr;
  const compute_t<S>* mean = nullptr;
  const compute_t<S>* rstd = nullptr;
  S* dz = nullptr;  // the gradient of z, which is that of the residual; or null
  S* dx = nullptr;  // Drop(dz); or null
  Mask mask;
  compute_t<S>* dweight = nullptr;  // [width]
  compute_t<S>* dbias = nullptr;
};

// The batch's statistics (3 launches). running_mean and running_var [width] of A move by `momentum`
// towards the batch's mean and unbiased variance (that of one row counts as 0).
template <class S>
struct Running {
  compute_t<S>* mean = nullptr;
  compute_t<S>* var = nullptr;
  double momentum = 0.1;
};
template <class S>
void batch_norm(std::int64_t rows, std::int64_t width, const Norm<S>& norm,
                const Running<S>& running, void* workspace, Stream stream);

// Running statistics (2 launches): norm.z must be null; mean and rstd are written for backward.
template <class S>
void batch_norm_inference(std::int64_t rows, std::int64_t width, const Norm<S>& norm,
                          const Running<S>& running, Stream stream);

// training: the statistics were the batch's. 3 launches.
template <class S>
void batch_norm_backward(std::int64_t rows, std::int64_t width, const NormGradient<S>& gradient,
                         bool training, void* workspace, Stream stream);

// A row stays in shared memory between its three passes: what a block of sm_80 may have.
template <class A>
constexpr std::int64_t kLayerNormWidth = 163 * 1024 / static_cast<std::int64_t>(sizeof(A));

// Each row's own statistics: 1 launch forward, 3 backward.
template <class S>
void layer_norm(std::int64_t rows, std::int64_t width, const Norm<S>& norm, Stream stream);
template <class S>
void layer_norm_backward(std::int64_t rows, std::int64_t width, const NormGradient<S>& gradient,
                         void* workspace, Stream stream);

// Statistics over all channels of all rows of a segment. scratch: 2 G D + 2 G of A.
template <class S>
void graph_norm(const Segments& segments, const Norm<S>& norm, compute_t<S>* scratch,
                void* workspace, Stream stream);
template <class S>
void graph_norm_backward(const Segments& segments, const NormGradient<S>& gradient,
                         compute_t<S>* scratch, void* workspace, Stream stream);

}  // namespace gtrain::ops::cuda
