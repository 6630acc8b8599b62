// Between torch and the tiles of block_sparse_attention.h: which calls of sparse_attention they
// serve.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/sparse_attention.h"

namespace gtrain::ops::cuda {

// sparse_attention with gradients where tiles are worth it: no bias, heads that the tiles take, and
// pattern and transpose both a useful_block_pattern(). Else nothing, for the warp-per-row kernels.
// q, k, v: [rows, H, d] on one device; options as the front door resolved them. The tiles are made
// on the host at a pattern's first call, and kept as long as its columns live.
std::optional<at::Tensor> attention_by_tiles(const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& v, const AttentionPattern& pattern,
                                             const SparseAttentionOptions& options);

}  // namespace gtrain::ops::cuda
