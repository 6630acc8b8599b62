// Where a front door hands over to the CUDA kernels: every op has a twin of its own name and
// parameters in ops::device, defined by the glue in src/ops/cuda where gtrain is built with
// GTRAIN_CUDA, else in meta.cpp for tensors of the meta device. A front door checks shapes, then
// says
//   if (detail::on_device("gather", x)) return device::gather(x, index);
// Index tensors (starts, edges, patterns) may stay on the CPU: their copies on the device are kept
// as long as they live.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/edge_index.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/sparse_attention.h"
#include "gtrain/ops/top_m.h"
#include "gtrain/ops/varlen_attention.h"

namespace gtrain::ops {
namespace detail {

// Whether x lies on a CUDA device, or on meta where this build is without CUDA. Throws c10::Error
// for other devices than these and the CPU, and for operands (undefined ones aside) that are not
// where x is: kernels read them by address.
bool on_device(const char* op, const at::Tensor& x, at::TensorList operands = {});

}  // namespace detail

namespace device {

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start);
at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start);

at::Tensor gather(const at::Tensor& x, const RowIndex& index);
at::Tensor scatter_add(const at::Tensor& x, const RowIndex& index);

at::Tensor activate_rows(const at::Tensor& x, const at::Tensor& bias, const RowOptions& options,
                         const at::Tensor& residual);
at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& residual, const BatchNormState& state,
                      bool training, double dropout, std::uint64_t key);
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const LayerNormOptions& options);
at::Tensor graph_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& graph_start,
                      const LayerNormOptions& options);

// kept: int64 [R+1], CPU, where each segment's selection begins; returns the positions.
at::Tensor top_m(const at::Tensor& score, const at::Tensor& start, const at::Tensor& kept);

at::Tensor gine_aggregate(const at::Tensor& x, const at::Tensor& edge, const EdgeIndex& edges);
std::pair<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                            const EdgeIndex& edges);
at::Tensor weighted_aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                              const EdgeIndex& edges);

// q, k, v: [rows, H, d]; the pattern lists its pairs; options as the front door resolved them.
at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionPattern& pattern, const SparseAttentionOptions& options);
std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& edge,
                                                 const AttentionPattern& pattern,
                                                 const EdgeAttentionOptions& options);
at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, const VarlenOptions& options);
at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options);

}  // namespace device
}  // namespace gtrain::ops
