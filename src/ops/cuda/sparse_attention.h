// Launchers of softmax attention over CSR pairs (include/gtrain/ops/sparse_attention.h has the
// equations). One warp works on all heads of one item of a work list, 16 bytes of channels a lane;
// no atomics: a pass over rows writes what belongs to rows, one over the transpose what belongs to
// columns, and rows in several items are merged in ascending order by another kernel.
//
// All pointers are device pointers. S is float, double, bf16 or f16; A = compute_t<S> accumulates:
// double for double, else float. Rows of S have unit stride inside; the row strides of q, k, v, dq,
// dk, dv are in elements; out and dout are [N, H, d] without gaps. 16-byte loads are used where
// every base, row stride and d · sizeof(S) is a multiple of 16 bytes, else single elements (several
// times slower). Scores and lse are in units of log2.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/work.h"

namespace gtrain::ops::cuda {

template <class S>
struct SparseAttention {
  using A = compute_t<S>;
  int heads = 1, width = 1;                          // H, d
  const S *q = nullptr, *k = nullptr, *v = nullptr;  // [N, H, d], [M, H, d], [M, H, d]
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  const std::int32_t* column = nullptr;  // [P]
  const std::uint8_t* type = nullptr;    // [P], or null: all 0
  const S* pair_bias = nullptr;          // [P, H] or null
  const S* type_bias = nullptr;          // [types, H] or null
  A scale = 1;
  std::uint32_t threshold = 0;  // of dropout, see detail/random.h; 0: none
  A keep_scale = 1;             // 1/(1-p)
  std::uint64_t key = 0;
  S* out = nullptr;  // [N, H, d]
  A* lse = nullptr;  // [N, H]: log2 of the row's sum of exponentials; +inf where that is 0
  Work row_work;     // over row_start. partial: A [parts, H (d + 2)]
};

// What backward adds; it reads forward's out and lse.
template <class S>
struct SparseAttentionGradient {
  using A = compute_t<S>;
  const S* dout = nullptr;                        // [N, H, d]
  A* delta = nullptr;                             // [N, H], workspace
  S *dq = nullptr, *dk = nullptr, *dv = nullptr;  // written everywhere
  std::int64_t dq_stride = 0, dk_stride = 0, dv_stride = 0;
  S* dpair_bias = nullptr;  // [P, H], or null: not wanted
  S* dtype_bias = nullptr;  // [types, H], or null: not wanted
  int types = 0;            // rows of dtype_bias
  // Blocks at most that share its sum: more are faster up to what the device holds at once. A
  // constant, so that the bits are the same on any device.
  int type_blocks = 1024;
  A* type_partial = nullptr;           // [types H, type_blocks], workspace of dtype_bias
  const std::int32_t* row = nullptr;   // [P]: the transpose, in the order of column_work
  const std::int64_t* pair = nullptr;  // [P]
  Work column_work;                    // over column_start. partial: A [parts, 2 H d]
};

// Whether the kernels take heads of this width: 512 channels at most, 256 of double.
template <class S>
bool sparse_attention_takes(const SparseAttention<S>& a);

// 1 launch, 2 with cut rows; none where N = 0.
template <class S>
void sparse_attention_forward(const SparseAttention<S>& a, Stream stream);

// 2 launches, 1 more with dtype_bias, with cut rows, and 2 more with cut columns.
template <class S>
void sparse_attention_backward(const SparseAttention<S>& a, const SparseAttentionGradient<S>& g,
                               Stream stream);

}  // namespace gtrain::ops::cuda
