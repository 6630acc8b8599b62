// Launchers of full attention inside each graph of a packed batch, see ops::varlen_attention:
//   out_i = sum_j Drop_p(softmax_j(s_ij)) v_j,  j in graph(i)
//   s_ij = scale q_i · k_j + table[hop_ij, h] + pair_bias_ij,h
// FlashAttention-2's tiling (Dao 2023): a warp owns 16 rows and walks over tiles of 32 columns that
// its block shares; scores never leave registers. Nothing is summed by atomics: one pass over
// queries writes dq, one over keys dk and dv, the table's gradient goes through partial sums.
//
// All pointers are device pointers. S is the storage type, A its accumulator: double for double,
// else float. Tensors of S have unit stride inside a row; row strides are in elements. bf16 and f16
// are multiplied on tensor cores, weights and dS rounded to S for it; float and double by fused
// multiply-adds. 16-byte copies are used where every base, row stride and width is a multiple of 16
// bytes, else single elements. Widths: varlen_attention_runs.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/storage.h"
#include "ops/cuda/varlen_plan.h"

namespace gtrain::ops::cuda {

struct VarlenAttention {
  Storage storage = Storage::kFloat;
  int heads = 1, width = 1;   // H, d
  const void* qkv = nullptr;  // S [N, 3 H d]: q | k | v
  std::int64_t qkv_stride = 0;
  double scale = 1;                           // 1/sqrt(d)
  const std::int64_t* graph_start = nullptr;  // [G+1]
  const VarlenItem* items = nullptr;          // varlen_items(..., tile_rows), copied to the device
  std::int64_t item_count = 0;
  int tile_rows = 64;  // 16, 32 or 64: varlen_tile_rows
  int longest = 0;     // nodes of the largest graph
  // Bias, each part optional. Pair (i, j) of graph g has number pair_offset[g] + i n + j.
  const std::int64_t* pair_offset = nullptr;  // [G+1], sums of n²; needed by hop and pair_bias
  std::int64_t pairs = 0;                     // pair_offset[G]
  const std::uint8_t* hop = nullptr;          // [pairs], base 4-byte aligned, values < buckets
  const void* table = nullptr;                // A [buckets, H], with hop
  int buckets = 0;                            // at most 256
  const void* pair_bias = nullptr;            // A [H, pairs]
  std::uint32_t threshold = 0;                // of dropout; 0: none
  double keep_scale = 1;                      // 1/(1-p)
  std::uint64_t key = 0;
  void* out = nullptr;  // S [N, H d]
  std::int64_t out_stride = 0;
  void* lse = nullptr;  // A [N, H]: log2 of the row's sum of exponentials, +inf where it is 0
};

// What backward adds. Reads forward's out and lse.
struct VarlenAttentionGradient {
  const void* dout = nullptr;  // S [N, H d]
  std::int64_t dout_stride = 0;
  void* delta = nullptr;  // A [N, H], workspace
  void* dqkv = nullptr;   // S [N, 3 H d], written everywhere
  std::int64_t dqkv_stride = 0;
  void* dtable = nullptr;         // A [buckets, H], or null: not wanted
  void* table_partial = nullptr;  // A [item_count, H, buckets], workspace with dtable
  void* dpair_bias = nullptr;     // A [H, pairs], written everywhere, or null: not wanted
};

// Whether the kernels take this width: d <= 128, for double d <= 64.
bool varlen_attention_runs(Storage storage, int width);

// 1 launch; none without items.
void varlen_attention_forward(const VarlenAttention& a, Stream stream);
// 2 launches, 1 more with dtable; none without items (then dtable is not written).
void varlen_attention_backward(const VarlenAttention& a, const VarlenAttentionGradient& g,
                               Stream stream);

}  // namespace gtrain::ops::cuda
