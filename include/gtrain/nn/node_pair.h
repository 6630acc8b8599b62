// All pairs of different nodes of a graph, as a pattern with its pairs listed and as the script
// that lists them in the same order: by the attending node, then by the attended one. 17 bytes a
// pair; attention that never lists its pairs is nn/attention.h.
#pragma once

#include <string>

#include "gtrain/ops/attention_pattern.h"

namespace gtrain::nn {

// graph_start int64 [G+1] on the CPU; P = sum of n_g (n_g - 1).
ops::AttentionPattern other_node_pattern(const at::Tensor& graph_start);

// Method other_nodes(batch: Tensor) -> [2, P]: attended nodes first, attending ones second.
std::string other_node_script();

}  // namespace gtrain::nn
