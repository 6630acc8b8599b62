// Launchers of softmax attention over CSR pairs by dense tiles (ops/cuda/block_pattern.h), for
// patterns whose rows share columns; sparse_attention.h has the equations and takes any pattern. No
// bias. A block has one window of 16 rows and one head, its 4 warps share the window's tiles and
// are merged in order; masked places of a tile are computed and thrown away. No atomics: the pass
// over the transposed pattern writes dk and dv.
//
// All pointers are device pointers. S is the storage type, A its accumulator: double for double,
// else float. Tensors of S have unit stride inside a row; row strides are in elements. bf16 and f16
// are multiplied on tensor cores, weights and dS rounded to S for it. 16-byte copies where every
// base, row stride and width is a multiple of 16 bytes, else single elements.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/storage.h"

namespace gtrain::ops::cuda {

// BlockPattern's arrays on the device.
struct BlockTiles {
  std::int64_t rows = 0, windows = 0;
  const std::int64_t* window_start = nullptr;
  const std::int32_t* column = nullptr;
  const std::uint32_t* mask = nullptr;
  const std::int64_t* entry = nullptr;
  // [P]: the pair an entry is, for the transposed pattern; null: entries are pairs. With dropout.
  const std::int64_t* pair = nullptr;
};

struct BlockSparseAttention {
  Storage storage = Storage::kFloat;
  int heads = 1, width = 1;                             // H, d
  const void *q = nullptr, *k = nullptr, *v = nullptr;  // S [N, H, d], [M, H, d] twice
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  double scale = 1;
  std::uint32_t threshold = 0;  // of dropout; 0: none. Stream of pair p, index head
  double keep_scale = 1;        // 1/(1-p)
  std::uint64_t key = 0;
  BlockTiles by_row;
  void* out = nullptr;  // S [N, H d]
  std::int64_t out_stride = 0;
  void* lse = nullptr;  // A [N, H]: log2 of the row's sum of exponentials, +inf where it is 0
};

struct BlockSparseAttentionGradient {
  const void* dout = nullptr;  // S [N, H d]
  std::int64_t dout_stride = 0;
  void* delta = nullptr;                             // A [N, H], workspace
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;  // S, written everywhere
  std::int64_t dq_stride = 0, dk_stride = 0, dv_stride = 0;
  BlockTiles by_column;
};

// Whether the kernels take this width: d <= 128, for double d <= 48.
bool block_sparse_attention_runs(Storage storage, int width);

// 1 launch; none without rows.
void block_sparse_attention_forward(const BlockSparseAttention& a, Stream stream);
// 2 launches; none where there are no rows or no columns.
void block_sparse_attention_backward(const BlockSparseAttention& a,
                                     const BlockSparseAttentionGradient& g, Stream stream);

}  // namespace gtrain::ops::cuda
