// The CPU kernels behind the ops: serial loops over a range of rows or graphs, on raw pointers, in
// float, double, Bf16 and Half storage (detail/storage.h; entries that a type lacks are null). Each
// is compiled once per instruction set (src/ops/cpu); `kernels<T>()` is the best table for this
// machine. Ops call them from TBB tasks over fixed chunks.
// All matrices are row-major and contiguous unless a stride is named; d is the row width.
#pragma once

#include <cstdint>

#include "ops/detail/sparse_kernels.h"
#include "ops/detail/storage.h"
#include "ops/detail/varlen_kernels.h"

namespace gtrain::ops::detail {

// C [m, n] = A B with A(r, k) = a[r a_row + k a_column], rows of B and C contiguous.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  std::int64_t a_row = 0, a_column = 0;
  const float* b = nullptr;
  std::int64_t b_row = 0;
  float* c = nullptr;
  std::int64_t c_row = 0;
};

struct EdgeView {
  const std::int64_t *source, *target, *in_start, *out_start, *out_edge;
};

// Training-mode batch statistics of one chunk of rows: mean and sum of squared deviations.
template <class T>
struct Kernels {
  VarlenKernels<T> varlen;
  SparseKernels<T> sparse;

  // Null where the BLAS is the better choice (detail/gemm.h decides).
  void (*product)(const Product&);

  // out_i = x_i + sum_{j->i} relu(x_j + e_ji), rows [begin, end)
  void (*gine_forward)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x, const T* e,
                       EdgeView edges, T* out);
  // de_ji = g_i [x_j + e_ji > 0], rows = targets
  void (*gine_backward_edges)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x,
                              const T* e, const T* g, EdgeView edges, T* de);
  // dx_j = g_j + sum_{j->i} de_ji, rows = sources
  void (*gine_backward_nodes)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* g,
                              const T* de, EdgeView edges, T* dx);

  // ehat = D_i + E_j + C_ji; s = sigmoid(ehat) [gate]; h_i = A_i + sum s B_j / (sum s + eps).
  // abde: [N, 4d] = A | B | D | E. Also writes ehat, sigma [E, d] and denominator, aggregate [N,
  // d]. gate (optional, [E, d]) multiplies s.
  void (*gated_forward)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* abde,
                        const T* c, EdgeView edges, T* h, T* ehat, T* sigma, T* denominator,
                        T* aggregate);
  // Pass over targets: dehat [E, d] (dehat_in added where not null), dA and dD into dabde [N, 4d].
  void (*gated_backward_targets)(std::int64_t begin, std::int64_t end, std::int64_t d,
                                 const T* abde, const T* sigma, const T* denominator,
                                 const T* aggregate, const T* dh, const T* dehat_in, EdgeView edges,
                                 T* dehat, T* dabde);
  // Pass over sources: dB, dE into dabde.
  void (*gated_backward_sources)(std::int64_t begin, std::int64_t end, std::int64_t d,
                                 const T* sigma, const T* denominator, const T* dh, const T* dehat,
                                 EdgeView edges, T* dabde);

  // out_i = self_i x_i + sum_{k: j->i} w_k x_j (self may be null: 0)
  void (*weighted_sum)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x,
                       const T* self, const T* w, const std::int64_t* start,
                       const std::int64_t* other, const std::int64_t* edge, T* out);

  // z = residual + x * keep / (1-p); residual may be null; threshold 0: no dropout. Streams by row.
  void (*residual_dropout)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x,
                           const T* residual, std::uint32_t threshold, T keep_scale,
                           std::uint64_t key, T* z);
  void (*moments)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* z, T* mean, T* m2);
  // y = (z - mean) * scale + shift per column
  void (*scale_shift)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* z,
                      const T* mean, const T* scale, const T* shift, T* y);
  // Column sums of g and of g * (z - mean) over the rows.
  void (*norm_sums)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* g, const T* z,
                    const T* mean, T* sum_g, T* sum_gz);
  // dz = a g + b (z - mean) + c per column
  void (*norm_backward)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* g,
                        const T* z, const T* mean, const T* a, const T* b, const T* c, T* dz);
  void (*column_sum)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* g, T* sum);
  // y = max(y + bias, 0) or y + bias in place; bias may be null
  void (*bias_relu)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* bias, bool relu,
                    T* y);
  // dz = dy [y > 0]
  void (*relu_backward)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* y,
                        const T* dy, T* dz);
  // out_g = sum of rows [start_g, start_g+1) * weight_g
  void (*segment_sum)(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x,
                      const std::int64_t* start, bool mean, T* out);
};

template <class T>
const Kernels<T>& kernels();

// Name of the instruction set in use: "avx512", "avx2" or "baseline".
const char* instruction_set();

}  // namespace gtrain::ops::detail
