// What the operators make of the tensors that an exported module is given: edges in any order, and
// the graph of each node.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/edge_index.h"
#include "gtrain/ops/gather.h"

namespace gtrain::script {

// index: int64 [N], ascending, in [0, count): where the rows of each number begin, int64 [count+1].
// `what` names it in errors.
at::Tensor starts(const at::Tensor& index, std::int64_t count, const char* what);

// The same for the graphs of a batch: count = batch[-1] + 1.
at::Tensor graph_start(const at::Tensor& batch);

// (edge_index [2, E], edge_attr [E, Fe]) with the edges by (target, source), equal ones in their
// order: what the operators over edges expect, and how gtrain stores a graph.
std::tuple<at::Tensor, at::Tensor> sort_edges(const at::Tensor& edge_index,
                                              const at::Tensor& edge_attr, std::int64_t nodes);

// Edges sorted by target, for forward passes alone: those read nothing of how edges leave nodes,
// and out_start and out_edge only have the right shape. O(N + E).
ops::EdgeIndex forward_edges(const at::Tensor& source, const at::Tensor& target,
                             std::int64_t nodes);

// The same as pairs of attention; the transpose only has the right shape.
ops::AttentionPattern forward_pattern(const at::Tensor& source, const at::Tensor& target,
                                      std::int64_t nodes);
// The same from row_start int64 [N+1] and column int32 [P], both looked at.
ops::AttentionPattern forward_pairs(const at::Tensor& row_start, const at::Tensor& column,
                                    std::int64_t nodes);

}  // namespace gtrain::script
