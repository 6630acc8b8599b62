// Launchers of linear attention by positive random features (FAVOR+), equations in
// gtrain/ops/linear_attention.h. Each product is a pass of attention by tiles (dense_tile.cuh) with
// the features in the place of keys or queries, so no [N, m] matrix exists: forward sums the keys'
// state over pieces of each graph, merges the pieces in order, then reads it with the queries.
//
// All pointers are device pointers. S is the storage type, A its accumulator: double for double,
// else float; all products are in A. Row strides are in elements. Widths: linear_attention_runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/cuda/element.h"
#include "ops/cuda/storage.h"
#include "ops/cuda/varlen_plan.h"

namespace gtrain::ops::cuda {

constexpr int kLinearRows = 64;  // rows or features a block works on

struct LinearAttention {
  Storage storage = Storage::kFloat;
  int heads = 1, width = 1, features = 1;  // H, d, m
  const void* qkv = nullptr;               // S [N, 3 H d]: q | k | v
  std::int64_t qkv_stride = 0;
  const void* projection = nullptr;           // A [m, d]
  const std::int64_t* graph_start = nullptr;  // [G+1]
  std::int64_t graphs = 0;
  const VarlenItem* pieces = nullptr;         // of LinearPlan, copied to the device
  const std::int64_t* piece_start = nullptr;  // [G+1], of LinearPlan
  std::int64_t piece_count = 0;
  int piece_rows = kLinearRows;  // of LinearPlan
  double eps = 1e-4;
  std::int64_t padded_length = 0;
  void* out = nullptr;  // S [N, H d]
  std::int64_t out_stride = 0;
  void* partial = nullptr;  // A [piece_count, H, m (d + 3) + d], workspace of both directions
  // Written by forward, read by backward.
  void* state = nullptr;  // A [G, H, m + 1, d + 1]: sums of phi_k(j)_f [v_j, 1]; row m: of the
                          // rows before it
  void* key_largest = nullptr;  // A [G, H]
  void* row_largest = nullptr;  // A [N, H]: of the query's u
  void* row_sum = nullptr;      // A [N, H]: the denominator
};

struct LinearAttentionGradient {
  const void* dout = nullptr;  // S [N, H d]
  std::int64_t dout_stride = 0;
  void* dqkv = nullptr;  // S [N, 3 H d], written everywhere
  std::int64_t dqkv_stride = 0;
  void* dsum = nullptr;    // A [N, H], workspace: gradient of the denominator
  void* dstate = nullptr;  // A [G, H, m + 1, d + 1], workspace
};

// The pieces of each graph, graphs in order, at most 512 rows each.
struct LinearPlan {
  int piece_rows = kLinearRows;
  std::vector<VarlenItem> pieces;
  std::vector<std::int64_t> piece_start{0};
};

inline LinearPlan linear_plan(const std::int64_t* graph_start, std::int64_t graphs) {
  LinearPlan plan;
  std::int64_t longest = 0;
  for (std::int64_t g = 0; g < graphs; ++g) {
    longest = std::max(longest, graph_start[g + 1] - graph_start[g]);
  }
  while (plan.piece_rows < longest && plan.piece_rows < 512) plan.piece_rows *= 2;
  for (std::int64_t g = 0; g < graphs; ++g) {
    for (std::int64_t i = 0; i < graph_start[g + 1] - graph_start[g]; i += plan.piece_rows) {
      plan.pieces.push_back({static_cast<std::int32_t>(g), static_cast<std::int32_t>(i)});
    }
    plan.piece_start.push_back(static_cast<std::int64_t>(plan.pieces.size()));
  }
  return plan;
}

// Whether the kernels take this width: d <= 128, for double d <= 64.
bool linear_attention_runs(Storage storage, int width);

// 3 launches; none without pieces.
void linear_attention_forward(const LinearAttention& a, Stream stream);
// 4 launches; none without pieces.
void linear_attention_backward(const LinearAttention& a, const LinearAttentionGradient& g,
                               Stream stream);

}  // namespace gtrain::ops::cuda
