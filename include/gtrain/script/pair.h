// The operators of libgtrain_ops over pairs of nodes of a graph: patterns that an exported module
// builds once a forward, attention over them, and Graphormer's edges along paths. `batch` is the
// graph of each node, int64 [N], ascending; `source` and `target` are edges sorted by target.
// Errors: c10::Error that begins with the argument's name.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gtrain::script {

// BigBird's pairs of every graph (ops/attention_pattern.h), as row_start int64 [N+1] and column
// int32 [P].
std::vector<at::Tensor> bigbird_pattern(const at::Tensor& batch, std::int64_t window,
                                        std::int64_t random, std::int64_t global,
                                        std::int64_t seed);

// Softmax attention over such pairs; qkv [N, 3D] -> [N, D].
at::Tensor sparse_attention(const at::Tensor& qkv, at::TensorList pattern, std::int64_t heads);

// Every two different nodes j, i of a graph without an edge j -> i: int64 [2, P], by i, then j.
at::Tensor other_pairs(const at::Tensor& source, const at::Tensor& target, const at::Tensor& batch);

// Sums along paths, for every ordered pair of nodes of a graph, row-major, P in all:
//   out_p = sum_{s < S} table[s][code_s(p)]
// where code_s is the kind of the s-th step of the pair's path, and 0 from its end or from step
// `cap` on. The path of (i, j): none where hops is 0 or 255; one step, of kind[i, j], where `inner`
// is -1; else that of (i, inner) and then that of (inner, j), inner being a node's number in its
// graph.
//   hops, inner, kind  int64 [P]      table [S, R, H], kind < R      returns [P, H]
// O(P S H).
at::Tensor path_sum(const at::Tensor& hops, const at::Tensor& inner, const at::Tensor& kind,
                    const at::Tensor& table, const at::Tensor& batch, std::int64_t cap);

}  // namespace gtrain::script
