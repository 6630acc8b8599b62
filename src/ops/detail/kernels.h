// The CPU kernels behind the ops: serial loops over a range of rows or graphs, on raw pointers, in
// float, double, Bf16 and Half storage (detail/storage.h; entries that a type lacks are null). Each
// is compiled once per instruction set (src/ops/cpu); `kernels<T>()` is the best table for this
// machine. Ops call them from TBB tasks over fixed chunks.
// All matrices are row-major and contiguous unless a stride is named; d is the row width.
#pragma once

#include <cstdint>

#include "ops/detail/favor_kernels.h"
#include "ops/detail/message_kernels.h"
#include "ops/detail/row_kernels.h"
#include "ops/detail/segment_kernels.h"
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

template <class T>
struct Kernels {
  VarlenKernels<T> varlen;
  SparseKernels<T> sparse;

  // Null where the BLAS is the better choice (detail/gemm.h decides).
  void (*product)(const Product&);

  MessageKernels<T> message;
  RowKernels<T> row;
  SegmentKernels<T> segment;
  FavorKernels<T> favor;
};

template <class T>
const Kernels<T>& kernels();

// Name of the instruction set in use: "avx512", "avx2" or "baseline".
const char* instruction_set();

}  // namespace gtrain::ops::detail
